"""Pictures and random weights in the place of those that a user brings."""

__all__ = ["blocks", "write_pictures", "write_vgg16", "write_weights"]

from pathlib import Path

import numpy as np
from PIL import Image

from src.models.inception import InceptionV3
from src.models.lpips import LPIPS, VGG16Features
from src.models.parameters import state_arrays
from src.utils.tensorfile import write_arrays


def blocks(seed: int, height: int = 48, width: int = 64, tint: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 of coloured squares, a function of ``seed``; ``tint`` is added to red."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3))
    coarse[:, :, 0] = (coarse[:, :, 0] + tint).clip(0, 255)
    return coarse.repeat(8, 0).repeat(8, 1).astype(np.uint8)


def write_pictures(folder: Path, pictures: dict[str, np.ndarray]) -> Path:
    """Write each picture as ``folder/NAME.png`` and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        Image.fromarray(picture).save(folder / f"{name}.png")
    return folder


def _random(arrays: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    drawn = {}
    for name, value in arrays.items():
        if name.startswith("lin"):
            drawn[name] = rng.uniform(0, 1, value.shape).astype(np.float32)
        elif value.ndim > 1:
            scale = np.float32(np.sqrt(2 / np.prod(value.shape[1:])))
            drawn[name] = rng.standard_normal(value.shape, np.float32) * scale
        else:
            drawn[name] = value
    return drawn


def write_vgg16(folder: Path) -> Path:
    """VGG16 with random weights."""
    arrays = _random(state_arrays(VGG16Features()), 0)
    return write_arrays(folder / "vgg16.safetensors", arrays).path


def write_weights(folder: Path, seed: int = 0) -> dict[str, Path]:
    """Inception, and LPIPS's heads and AlexNet, with random weights; by the option that takes each file."""
    lpips = _random(state_arrays(LPIPS("alex")), seed)
    contents = {
        "inception_net_path": _random(state_arrays(InceptionV3()), seed),
        "lpips_weights": {k: v for k, v in lpips.items() if k.startswith("lin")},
        "lpips_backbone": {k: v for k, v in lpips.items() if k.startswith("features")},
    }
    return {option: write_arrays(folder / f"{option}.safetensors", a).path for option, a in contents.items()}
