"""Small real data sets on the disk, and readers and pipelines of them."""

import hashlib
from dataclasses import fields
from pathlib import Path

import numpy as np
from PIL import Image

from src.dataset.paired import PAIRED, PairedReader, PairedRequest
from src.dataset.pipeline import Pipeline
from src.dataset.reader import Reader
from src.options.config import Config
from src.systems.programs import load_config

OPTIONS = {"load_size": 32, "fine_size": 16, "batch_size": 1, "num_workers": 2, "seed": 3, "max_instances": 32}


def options_of(model: str, root: Path, **changes) -> Config:
    """The options of a run of ``model`` on the data set in ``root``."""
    return load_config([f"--{name}={value}" for name, value in {"model": model, "data_root": root, **changes}.items()])


def asked(root: Path, **changes) -> tuple[PairedRequest, Config]:
    """The request of a tiny network and options of a run on ``root``; ``changes`` are fields or options."""
    names = {field.name for field in fields(PairedRequest)}
    request = {name: changes.pop(name) for name in names & changes.keys()}
    return PairedRequest(**{"stride": 4, "label_nc": 35, **request}), options(root, **changes)


def options(root: Path, **changes) -> Config:
    """Options of a tiny run on the data set in ``root``."""
    return options_of("pix2pixHD", root, **OPTIONS | changes).part(*PAIRED.owners)


def reader(root: Path, training: bool = True, phase: str = "train", **changes) -> PairedReader:
    """A reader of paired data; ``changes`` are those of :func:`asked`."""
    return PairedReader(*asked(root, **changes), phase, training)


def opened(
    root: Path, phase: str = "train", rank: int = 0, world: int = 1, training: bool | None = None, **changes
) -> Pipeline:
    """A pipeline of paired data; ``changes`` are those of :func:`asked`."""
    trains = phase == "train" if training is None else training
    return PAIRED.opens(*asked(root, **changes), phase, rank, world, trains)


def save(path: Path, array: np.ndarray) -> Path:
    """Write an array as the picture file its dtype and shape ask for (uint16: 16-bit grey)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def arrays(index: int, width: int = 64, height: int = 32) -> dict[str, np.ndarray]:
    """One sample: labels in blocks, two cars among the instances, a photo of noise."""
    rng = np.random.default_rng(index)
    label = np.kron(rng.integers(0, 24, (4, 8)), np.ones((height // 4, width // 8))).astype(np.uint8)
    inst = label.astype(np.uint16)
    for k in range(2):
        x, y = int(rng.integers(0, width - 16)), int(rng.integers(0, height - 8))
        label[y : y + 8, x : x + 16] = 26
        inst[y : y + 8, x : x + 16] = 26000 + k
    label[0, 0], inst[0, 0] = 33, 33001
    return {"label": label, "inst": inst, "img": rng.integers(0, 256, (height, width, 3), dtype=np.uint8)}


def write_sample(root: Path, phase: str, index: int, **size) -> None:
    """Write one sample under Cityscapes names."""
    stem = f"city_{index:06d}_000019"
    suffixes = {"label": "gtFine_labelIds", "inst": "gtFine_instanceIds", "img": "leftImg8bit"}
    for name, array in arrays(index, **size).items():
        save(root / f"{phase}_{name}" / f"{stem}_{suffixes[name]}.png", array)


def write_dataset(root: Path, count: int, phase: str = "train", **size) -> Path:
    """Write ``count`` samples and return the folder."""
    for index in range(count):
        write_sample(root, phase, index, **size)
    return root


def digest_of(reader: Reader) -> str:
    """Digest of what training sees of the first two samples in three epochs."""
    digest = hashlib.sha256()
    for epoch in range(3):
        for index in range(2):
            sample = reader.sample(reader.load(index), np.random.default_rng([3, epoch, index]))
            for name, array in sample.items():
                digest.update(f"{name}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
