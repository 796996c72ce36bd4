"""Procedural data and pix2pixHD options small enough to train and translate in seconds, for the tests that do."""

__all__ = ["TINY", "make_streets", "options_of"]

from pathlib import Path

from src.scenes.scenes import write_scenes

#: networks of a few channels on pictures of 64x32
TINY = {
    "ngf": 4,
    "ndf": 4,
    "nef": 2,
    "n_blocks_global": 1,
    "n_blocks_local": 1,
    "n_downsample_global": 2,
    "n_downsample_E": 2,
    "num_D": 1,
    "load_size": 64,
    "no_vgg_loss": True,
    "max_instances": 64,
    "niter": 1,
    "niter_decay": 0,
    "device_target": "CPU",
    "mode": "pynative",
}


def make_streets(folder: Path, train: int = 4, test: int = 2, width: int = 64, height: int = 32) -> Path:
    """Write ``train`` and ``test`` street scenes to ``folder`` and return it."""
    write_scenes(folder, "train", train, width, height, seed=1)
    write_scenes(folder, "test", test, width, height, seed=2)
    return folder


def options_of(**changes: object) -> list[str]:
    """Words of a command line: the tiny options with ``changes``; None leaves one out."""
    return [f"--{key}={value}" for key, value in (TINY | changes).items() if value is not None]
