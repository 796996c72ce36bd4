"""A segmenter from a file of the user, ONNX or MINDIR, run on images."""

__all__ = ["NetworkSegmenter", "open_segmenter"]

from collections.abc import Callable, Iterable
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from ..dataset.transforms import resize_ids, resize_photo
from ..imaging.palette import CITYSCAPES, IGNORED, to_train_ids
from ..inference.onnx_runtime import choose_providers, load_session
from ..options.config import Config
from ..utils.errors import UserError
from ..utils.files import sha256_file
from .labels import FolderSegmenter

_TRAIN_CLASSES = sum(row.train_id != IGNORED for row in CITYSCAPES)
_Network = Callable[[np.ndarray], np.ndarray]


def _onnx(path: Path, device_target: str) -> tuple[_Network, tuple[int, int]]:
    session = load_session(path, choose_providers(device_target))
    given = session.get_inputs()[0]
    sides = [side if isinstance(side, int) else 0 for side in given.shape]
    size = (sides[2], sides[3]) if len(sides) == 4 else (0, 0)

    def run(image: np.ndarray) -> np.ndarray:
        return session.run(None, {given.name: image})[0]

    return run, size


def _mindir(path: Path, device_target: str) -> tuple[_Network, tuple[int, int]]:
    try:
        network = nn.GraphCell(ms.load(str(path)))
    except Exception as error:  # MindSpore raises any exception on a file that is not a MINDIR
        raise UserError(f"{path} is not a MINDIR that MindSpore can load: {str(error).splitlines()[0]}") from None

    def run(image: np.ndarray) -> np.ndarray:
        result = network(Tensor(image))
        return (result[0] if isinstance(result, (tuple, list)) else result).asnumpy()

    return run, (0, 0)


_OPENERS = {".mindir": _mindir, ".onnx": _onnx}


class NetworkSegmenter:
    """A network from images (1, 3, H, W), normalised, to class scores (1, K, h, w) or numbers (1, h, w).

    Args:
        path: ``.onnx`` or ``.mindir``.
        config: the options ``segmenter_*`` and ``truth_ids``.

    Raises:
        UserError: the file cannot be run.
    """

    needs_pictures = True

    def __init__(self, path: Path, config: Config):
        if not path.is_file():
            raise UserError(f"the segmenter {path} does not exist")
        for key in ("segmenter_mean", "segmenter_std"):
            if len(config[key]) != 3:
                raise UserError(f"{key} {config[key]} should be three numbers, one for each colour")
        self._path = path
        self._run, own_size = _OPENERS[path.suffix.lower()](path, config.device_target)
        self._size = _chosen_size(config.segmenter_size, own_size, path)
        self._mean, self._std = (np.float32(config[f"segmenter_{key}"]) for key in ("mean", "std"))
        self._output, self._own = config.segmenter_output, config.truth_ids == "own"
        if self._output == "colours":
            raise UserError("segmenter_output colours is for folders of colour-coded images, not for a network")
        self.protocol = {
            "segmenter": path.name,
            "segmenter_sha256": sha256_file(path),
            "segmenter_input": "{}, RGB / 255, mean {}, standard deviation {}".format(
                f"{self._size[1]}x{self._size[0]} (Pillow bicubic)" if all(self._size) else "the image's own size",
                list(config.segmenter_mean),
                list(config.segmenter_std),
            ),
            "segmenter_output": self._output,
        }

    def tell_apart(self, names: Iterable[str]) -> None:
        """Names are ignored: every image is segmented by the network."""

    def missing(self, names: list[tuple[str, ...]]) -> list[str]:
        """Nothing is missing: the network segments every image."""
        return []

    def predict(self, stems: tuple[str, ...], picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Class numbers at ``size`` = (width, height) for an image, (H, W, 3) uint8."""
        height, width = (own or side for own, side in zip(self._size, picture.shape, strict=False))
        image = (resize_photo(picture, (width, height)) / np.float32(255) - self._mean) / self._std
        try:
            scores = np.asarray(self._run(np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)))
        except Exception as error:  # runtimes raise any exception on shapes that they cannot take
            raise UserError(
                f"{self._path} cannot be run on an image of {width}x{height}: {str(error).splitlines()[0][:200]}: "
                "pass --segmenter_size [HEIGHT, WIDTH]"
            ) from None
        return resize_ids(self._numbers(scores), size)

    def _numbers(self, scores: np.ndarray) -> np.ndarray:
        classes = scores.shape[1] if scores.ndim == 4 else 1
        if scores.ndim not in (3, 4) or scores.shape[0] != 1:
            raise UserError(f"{self._path} gives {scores.shape}, not class scores (1, K, H, W) or numbers (1, H, W)")
        if classes > 1:
            ids = scores[0].argmax(0).astype(np.int32)
        else:
            ids = np.rint(scores.reshape(scores.shape[-2:])).astype(np.int32)
        if self._own:
            return ids
        output = self._output
        if output == "auto":
            if classes not in (1, _TRAIN_CLASSES, len(CITYSCAPES) - 1, len(CITYSCAPES)):
                raise UserError(
                    f"{self._path} tells {classes} classes apart, neither Cityscapes' {_TRAIN_CLASSES} nor its "
                    f"{len(CITYSCAPES) - 1}: pass --segmenter_output, or --truth_ids own with --label_nc"
                )
            output = "train_ids" if classes in (1, _TRAIN_CLASSES) else "ids"
        return to_train_ids(ids).astype(np.int32) if output == "ids" else ids


def _chosen_size(wanted: list[int], own: tuple[int, int], path: Path) -> tuple[int, int]:
    if len(wanted) != 2:
        raise UserError(f"segmenter_size {wanted} should be two numbers: [HEIGHT, WIDTH]")
    if any(wanted) and any(own) and tuple(wanted) != own:
        raise UserError(f"{path} takes images of {own[1]}x{own[0]} only: leave --segmenter_size out")
    return (wanted[0], wanted[1]) if any(wanted) else own


def open_segmenter(config: Config, colours: bool = False) -> FolderSegmenter | NetworkSegmenter:
    """Open the folder or network that option ``segmenter`` names; ``colours``: a folder's default numbering.

    Raises:
        UserError: the option is empty, or names nothing usable.
    """
    if not config.segmenter:
        raise UserError(
            "miou compares what a segmenter sees in the images with their label maps: pass --segmenter FOLDER with "
            "its predictions, or the segmenter itself as an .onnx or .mindir file"
        )
    path = Path(config.segmenter)
    if path.suffix.lower() in _OPENERS:
        return NetworkSegmenter(path, config)
    if not path.is_dir():
        raise UserError(f"segmenter {path} is neither a folder nor an .onnx or .mindir file")
    output = config.segmenter_output
    if output == "auto":
        output = "colours" if colours else "ids"
    return FolderSegmenter(path, "train_ids" if output == "ids" and config.truth_ids == "own" else output)
