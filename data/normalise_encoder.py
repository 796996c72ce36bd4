"""An encoder for Hierarchy Flow's losses from a file of VGG16 or VGG19, where AdaIN's own is not at hand.

    python data/normalise_encoder.py vgg19-dcbb9e9d.pth vgg_normalised.safetensors --images FOLDER [--how_many 100]

The published ``vgg_normalised.pth`` is VGG19 up to relu4_1 whose filters are rescaled so that each has a mean response
of 1 over images and places (Gatys et al. 2016, section 2), with a first layer that turns RGB from 0 to 1 into BGR
without Caffe's means. This makes the same of torchvision's weights, over your images: what a filter responds to stays,
only the scale of its response changes. The weights differ from the published ones, and so do losses. VGG16 lacks the
fourth convolution of the third block: it becomes one that passes its input on. Nothing is overwritten.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
import numpy as np

from mindspore import Tensor

from src.dataset.folders import list_images
from src.imaging.images import image_to_unit, read_image
from src.models.hierarchyflow.vgg import LAYERS, NormalisedVgg
from src.models.parameters import load_arrays
from src.models.published_vgg import MEAN, STD, vgg19_arrays
from src.utils.errors import UserError, run_command
from src.utils.progress import track
from src.utils.tensorfile import require_new, write_arrays
from src.utils.weights import read_weights

# what Caffe subtracts from red, green and blue up to 255
_CAFFE = np.array([123.68, 116.779, 103.939])
# places of the first ten convolutions in torchvision's features, up to relu4_1; None passes its input on
PLACES = {"VGG16": (0, 2, 5, 7, 10, 12, 14, None, 17), "VGG19": (0, 2, 5, 7, 10, 12, 14, 16, 19)}

# part of a layer's mean response
_RARE = 0.1


def main(argv: list[str]) -> int:
    """Read, measure the responses, rescale and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("weights", type=Path, help="vgg16-397923af.pth, vgg19-dcbb9e9d.pth or a .safetensors of either")
    parser.add_argument("target", type=Path, help="new file, such as vgg_normalised.safetensors")
    parser.add_argument("--images", type=Path, required=True, help="folder of photos to measure responses on")
    parser.add_argument("--how_many", type=int, default=100, help="how many of them, in order of their names")
    options = parser.parse_args(argv)
    require_new(options.target)
    if options.how_many < 1:
        raise UserError(f"--how_many {options.how_many} should be at least 1")
    files = list_images(options.images)[: options.how_many]
    if not files:
        raise UserError(f"{options.images} has no images")
    kind, layers = to_caffe(vgg19_arrays(read_weights(options.weights))[0], options.weights)
    normalised = normalise(layers, files)
    note = {"source": f"{kind} of {options.weights.name}, mean responses 1 over {len(files)} images"}
    write_arrays(options.target, normalised, note, overwrite=False)
    print(f"{note['source']}: {options.target}. Use it as --vgg_pre_trained {options.target}")
    return 0


def to_caffe(arrays: dict[str, np.ndarray], path: Path) -> tuple[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Which network a file holds, and kernels and biases of the ten convolutions in the published order.

    The first takes RGB from 0 to 1 and hands on BGR from 0 to 255 without Caffe's means, as the published file does.
    The second is rescaled to that, exactly.

    Raises:
        UserError: neither VGG16 nor VGG19 of torchvision's names and shapes.
    """
    kind = "VGG16" if "17.weight" in arrays else "VGG19"
    swap = 255 * np.eye(3)[::-1].reshape(3, 3, 1, 1)
    layers = [(swap, -_CAFFE[::-1])]
    for place, (_, inputs, outputs) in zip(PLACES[kind], LAYERS[1:], strict=True):
        if place is None:
            kernel = np.zeros((outputs, inputs, 3, 3))
            kernel[range(outputs), range(inputs), 1, 1] = 1
            layers.append((kernel, np.zeros(outputs)))
            continue
        kernel, bias = (arrays.get(f"{place}.{part}", np.zeros(0)) for part in ("weight", "bias"))
        if kernel.shape != (outputs, inputs, 3, 3) or bias.shape != (outputs,):
            raise UserError(
                f"{path} is no VGG16 or VGG19 of torchvision: layer {place} should be {outputs} filters of "
                f"{inputs}x3x3 and is {kernel.shape}, with a bias of {bias.shape}"
            )
        layers.append((kernel.astype(np.float64), bias.astype(np.float64)))
    kernel, bias = layers[1]
    shift = (_CAFFE / 255 - MEAN) / STD
    bias = bias + (kernel * shift.reshape(1, 3, 1, 1)).sum((1, 2, 3))
    layers[1] = ((kernel / (255 * STD.reshape(1, 3, 1, 1)))[:, ::-1], bias)
    return kind, layers


def normalise(layers: list[tuple[np.ndarray, np.ndarray]], files: list[Path]) -> dict[str, np.ndarray]:
    """The layers under their published names, rescaled so that each filter's mean response to the images is 1.

    One that responds less than a tenth as much as its layer does on average is rescaled as if it did that much: raised
    to 1, the few places where it does respond would outweigh all others in a style loss.
    """
    responses = mean_responses(layers, files)
    arrays, before = {}, np.ones(3)
    for (index, _, _), (kernel, bias), mean in zip(LAYERS, layers, responses, strict=True):
        scale = np.maximum(mean, _RARE * mean.mean())
        kernel = kernel * before.reshape(1, -1, 1, 1) / scale.reshape(-1, 1, 1, 1)
        arrays.update(_named(index, kernel, bias / scale))
        before = scale
    return arrays


def mean_responses(layers: list[tuple[np.ndarray, np.ndarray]], files: list[Path]) -> list[np.ndarray]:
    """Of every filter after its ReLU, over images and places; 1 for the first layer, which has none."""
    vgg, arrays = NormalisedVgg(), {}
    for place, (kernel, bias) in enumerate(layers):
        arrays.update(_named(f"convs.{place}", kernel, bias))
    load_arrays(vgg, arrays, source="VGG")
    sums = [np.zeros(bias.shape) for _, bias in layers]
    for file in track(files, "measuring responses"):
        image = image_to_unit(read_image(file))
        maps = vgg.responses(Tensor((image[None] + 1) / 2))
        for total, response in zip(sums[1:], maps, strict=True):
            total += response.asnumpy().mean((0, 2, 3), dtype=np.float64)
    return [np.ones(3), *(total / len(files) for total in sums[1:])]


def _named(place: int | str, kernel: np.ndarray, bias: np.ndarray) -> dict[str, np.ndarray]:
    return {f"{place}.weight": np.ascontiguousarray(kernel, np.float32), f"{place}.bias": bias.astype(np.float32)}


if __name__ == "__main__":
    run_command(main)
