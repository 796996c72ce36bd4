"""Small real data sets on the disk, and options for them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

OPTIONS = {
    "phase": "train",
    "label_nc": 35,
    "input_nc": 3,
    "output_nc": 3,
    "no_instance": False,
    "instance_feat": False,
    "label_feat": False,
    "load_features": False,
    "feat_num": 3,
    "resize_or_crop": "scale_width",
    "load_size": 32,
    "fine_size": 16,
    "no_flip": False,
    "serial_batches": False,
    "batch_size": 1,
    "num_workers": 2,
    "max_dataset_size": 0,
    "netG": "global",
    "n_downsample_global": 2,
    "n_local_enhancers": 1,
    "seed": 3,
    "max_instances": 32,
    "use_encoded_image": False,
    "allow_8bit_instances": False,
    "record_shards": 0,
    "records_dir": "",
}


def options(root: Path, **changes) -> SimpleNamespace:
    """Options of a tiny run on the data set in ``root``."""
    return SimpleNamespace(**{**OPTIONS, "data_root": str(root), **changes})


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
