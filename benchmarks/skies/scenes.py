"""Streets of both domains: rendered ones under an open sky (A), photographed ones under trees (B)."""

__all__ = ["SIZE", "TEST", "make_data", "make_mixture", "read_part"]

from pathlib import Path

import numpy as np

from src.imaging.images import read_image, read_labels
from src.imaging.palette import to_train_ids
from src.scenes.scenes import write_scenes

#: side of all images, pixels
SIZE = 48
_STYLES = {"A": "simulated", "B": "photo"}
_TREES = {"A": 0.0, "B": 1.0}
_SEEDS = {"A": 1, "B": 2}
_JUDGE_SEED = 3
TEST = "test"


def make_data(folder: Path, train: int, test: int) -> None:
    """Write ``train`` and ``test`` scenes of each domain, unless they are there."""
    for domain, style in _STYLES.items():
        for phase, count in (("train", train), (TEST, test)):
            _write(folder / domain, phase, count, _SEEDS[domain], style, _TREES[domain])


def make_mixture(folder: Path, count: int) -> list[Path]:
    """Write ``count`` other streets in each style, with and without trees, and return the four folders.

    A judge that learns from these cannot tell what a pixel shows by the style alone.
    """
    made = []
    for style in _STYLES.values():
        for trees in _TREES.values():
            made.append(folder / f"{style}_{'trees' if trees else 'open'}")
            _write(made[-1], "train", count, _JUDGE_SEED, style, trees)
    return made


def _write(folder: Path, phase: str, count: int, seed: int, style: str, trees: float) -> None:
    done = folder / f"{phase}.done"
    if not done.is_file():
        write_scenes(folder, phase, count, SIZE, SIZE, seed=seed, style=style, trees=trees)
        done.touch()


def read_part(folder: Path, phase: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, SIZE, SIZE, 3) uint8 and label maps (N, SIZE, SIZE) uint8 of Cityscapes' train ids, by name."""
    names = sorted(path.name for path in (folder / f"{phase}_img").iterdir())
    images = [read_image(folder / f"{phase}_img" / name) for name in names]
    labels = [to_train_ids(read_labels(folder / f"{phase}_label" / name)) for name in names]
    return np.stack(images), np.stack(labels)
