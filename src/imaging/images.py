"""Reading and writing images, label maps and instance maps, safely and without losing an id.

Files from outside are decoded by Pillow: it detects truncation (OpenCV fills the missing part with grey), keeps
palettes as indices and 16 bits as 16 bits. Only PNGs that this package encoded itself are decoded by OpenCV, which
is faster.
"""

__all__ = [
    "IMAGE_EXTENSIONS",
    "MAX_PIXELS",
    "PictureInfo",
    "decode_png",
    "encode_png",
    "image_to_unit",
    "notice_once",
    "picture_info",
    "pixels_of",
    "read_image",
    "read_instances",
    "read_labels",
    "to_rgb",
    "unit_to_image",
    "verify_picture",
    "write_png",
]

import contextlib
import io
import shlex
import threading
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageFile, ImageOps

from ..utils.errors import UserError
from ..utils.files import atomic_write, explain_os_error
from ..utils.logging import get_logger

IMAGE_EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
# A closed list: decompression bombs come from decoders of rarely used formats.
PIL_FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# formats that change ids or cannot hold them, and why
_NOT_FOR_IDS = {"JPEG": "a JPEG: lossy compression changes", "WEBP": "a WebP file: it holds colours instead of"}
MAX_PIXELS = 178_956_970
# number of channels to Pillow's mode
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
# Pillow stretches grey PNGs of 1, 2 and 4 bits to 0..255; a label map needs the stored value.
STRETCHED_GREY = {"L;2": 85, "L;4": 17, "1": 1}

_said: set[str] = set()
_said_lock = threading.Lock()


class PictureInfo(NamedTuple):
    """Contents of a file's header: size in pixels, Pillow mode and file format."""

    width: int
    height: int
    mode: str
    format: str


def notice_once(key: str, message: str) -> None:
    """Log ``message`` as a warning, once for each ``key`` in this process."""
    with _said_lock:
        if key in _said:
            return
        _said.add(key)
    get_logger().warning(message)


def _check_name(path: Path) -> None:
    if path.suffix.lower() not in IMAGE_EXTENSIONS:
        raise UserError(f"{path} is not an image by its name: expected one of {', '.join(IMAGE_EXTENSIONS)}")


def _read_bytes(path: Path) -> bytes:
    _check_name(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise explain_os_error(error, path, "read") from error
    if not data:
        raise UserError(f"{path} is empty (0 bytes): copy it again or remove it with its partners")
    return data


def _open(data: bytes, path: Path) -> ImageFile.ImageFile:
    """Open a file and read its header only."""
    try:
        picture = Image.open(io.BytesIO(data), formats=PIL_FORMATS)
    except Image.DecompressionBombError as error:
        raise UserError(f"{path} has more than {MAX_PIXELS} pixels: scale it down or crop it") from error
    except Exception as error:  # decoders raise nearly anything on malformed input
        raise UserError(
            f"{path} is not a readable {', '.join(PIL_FORMATS)} file ({_reason(error)}): replace it"
        ) from error
    if picture.width * picture.height > MAX_PIXELS:
        raise UserError(f"{path} has {picture.width}x{picture.height} pixels, more than {MAX_PIXELS}: scale it down")
    return picture


def _reason(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return "unknown format" if "cannot identify" in text else text


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} is damaged or truncated ({_reason(error)}): copy it again or remove it")


def _load(path: Path) -> tuple[Image.Image, str]:
    """Decode completely; returns the image and the raw mode it is stored in."""
    data = _read_bytes(path)
    _verify(data, path)
    picture = _open(data, path)
    tile = picture.tile[0] if picture.tile else None
    arguments = tile[3] if tile else None
    raw = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    try:
        picture.load()
    except Exception as error:  # decoders raise nearly anything on malformed input
        raise _damaged(path, error) from error
    return picture, raw if isinstance(raw, str) else picture.mode


def _verify(data: bytes, path: Path) -> None:
    picture = _open(data, path)
    try:
        picture.verify()
    except Exception as error:  # decoders raise nearly anything on malformed input
        raise _damaged(path, error) from error


def verify_picture(path: str | Path) -> PictureInfo:
    """Check a file without decoding a PNG's pixels (its checksums cover them); other formats are decoded.

    Raises ``UserError`` naming the file if it is missing, empty, damaged, too large or of another format.
    """
    path = Path(path)
    data = _read_bytes(path)
    picture = _open(data, path)
    info = PictureInfo(picture.width, picture.height, picture.mode, picture.format or "")
    if info.format == "PNG" and b"IEND" in data[-16:]:
        _verify(data, path)
    else:
        _load(path)
    return info


def picture_info(path: str | Path) -> PictureInfo:
    """Read a file's header: size, mode and format. Raises ``UserError`` naming the file."""
    path = Path(path)
    _check_name(path)
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
            if not head:
                raise UserError(f"{path} is empty (0 bytes): copy it again or remove it with its partners")
            try:
                picture = _open(head, path)
            except UserError:  # the header of a TIFF may lie at the end of the file
                picture = _open(head + file.read(), path)
    except OSError as error:
        raise explain_os_error(error, path, "read") from error
    return PictureInfo(picture.width, picture.height, picture.mode, picture.format or "")


def read_image(path: str | Path, channels: int = 3) -> np.ndarray:
    """Read a photo as ``(H, W, channels)`` uint8 in RGB(A) order, turned upright as its EXIF says.

    Alpha is dropped, grey becomes RGB, RGB becomes grey (luma) or gets an opaque alpha channel as ``channels`` asks,
    16-bit grey is scaled to 8 bits, palettes are expanded; each kind of conversion is reported once. Of an animation
    the first frame is read.

    Raises ``UserError`` naming the file: unreadable, truncated, empty, above :data:`MAX_PIXELS`, floating point, or
    ``channels`` other than 1, 3 and 4.
    """
    if channels not in (1, 3, 4):
        raise UserError(f"images with {channels} channels cannot be read from files: use 1, 3 or 4")
    path = Path(path)
    picture, _ = _load(path)
    with contextlib.suppress(Exception):  # a malformed EXIF block says nothing about the pixels
        picture = ImageOps.exif_transpose(picture)
    picture = _to_eight_bits(picture, path)
    if picture.mode != _MODES[channels]:
        _tell_conversion(picture, _MODES[channels], path)
    try:
        return pixels_of(picture, channels)
    except ValueError as error:
        raise UserError(f"{path} has colour mode {picture.mode}: save it as RGB") from error


def pixels_of(picture: Image.Image, channels: int) -> np.ndarray:
    """The pixels ``(H, W, channels)``, uint8, of a PIL image with 8 bits a channel, as :func:`read_image` converts it.

    Raises ``ValueError`` where Pillow cannot convert its colour mode.
    """
    target = _MODES[channels]
    if picture.mode != target:
        # grey is the luma of colours, whatever mode they come in
        if target == "L" and picture.mode not in ("LA", "1"):
            picture = picture.convert("RGB")
        picture = picture.convert(target)
    return np.array(picture, dtype=np.uint8).reshape(picture.height, picture.width, channels)


def _to_eight_bits(picture: Image.Image, path: Path) -> Image.Image:
    if picture.mode == "F":
        raise UserError(f"{path} holds floating point numbers: save it with 8 bits a channel")
    if picture.mode not in SIXTEEN_BIT_MODES:
        return picture
    values = np.asarray(picture).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise UserError(f"{path} holds values from {values.min()} to {values.max()}: save it with 8 bits a channel")
    notice_once("16bit", f"16-bit images are scaled to 8 bits (first: {path})")
    return Image.fromarray(np.rint(values / 257).astype(np.uint8))


def _tell_conversion(picture: Image.Image, target: str, path: Path) -> None:
    has_alpha = picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info
    is_grey = picture.mode in ("L", "LA", "1")
    if has_alpha and target != "RGBA":
        notice_once("alpha", f"transparency is dropped from images (first: {path})")
    if is_grey and target != "L":
        notice_once("grey", f"greyscale images are read as colour (first: {path})")
    if not is_grey and target == "L":
        notice_once("colour", f"colour images are read as greyscale (first: {path})")
    if not has_alpha and target == "RGBA":
        notice_once("opaque", f"images without transparency get an opaque alpha channel (first: {path})")


def read_labels(path: str | Path) -> np.ndarray:
    """Read a label map as ``(H, W)`` int32 class ids: 8- or 16-bit grey, or a palette's indices.

    A colour file whose three channels agree is read as grey, and that is reported once.

    Raises ``UserError`` naming the file: unreadable, JPEG or WebP, a colour image, negative or floating point values.
    """
    advice = (
        "convert its colours to class ids; or, to translate images to images, name the folders PHASE_A and PHASE_B and "
        "pass --label_nc 0 --no_instance True"
    )
    return _read_ids(Path(path), "label map", "class ids", advice)[0]


def read_instances(path: str | Path, allow_8bit: bool = False) -> np.ndarray:
    """Read an instance map as ``(H, W)`` int32 ids, all 16 bits intact.

    By the Cityscapes convention the id is the label for stuff and ``label * 1000 + k`` for the k-th thing.

    Raises ``UserError`` naming the file: as :func:`read_labels`, and for 8-bit maps unless ``allow_8bit``, because they
    are nearly always label maps or maps whose ids were cut off.
    """
    advice = (
        "make ids of its colours (COCO panoptic maps, for example) with: python data/convert_instance_maps.py "
        f"{shlex.quote(str(Path(path).parent))} NEW_FOLDER, and put NEW_FOLDER in its place; or pass --no_instance True"
    )
    ids, bits = _read_ids(Path(path), "instance map", "instance ids", advice)
    if bits <= 8 and not allow_8bit:
        raise UserError(
            f"instance map {path} has 8 bits a pixel, which cannot hold ids such as 26001 (label * 1000 + k): save it "
            "with 16 bits, pass --no_instance True, or --allow_8bit_instances True if its ids are right"
        )
    return ids


def _read_ids(path: Path, what: str, content: str, advice: str) -> tuple[np.ndarray, int]:
    picture, raw = _load(path)
    if picture.format in _NOT_FOR_IDS:
        raise UserError(f"{what} {path} is {_NOT_FOR_IDS[picture.format]} {content}; save it as PNG")
    if picture.mode == "F":
        raise UserError(f"{what} {path} holds floating point numbers: save its {content} as 8- or 16-bit PNG")
    values = np.asarray(picture)
    bits = 16 if picture.mode in SIXTEEN_BIT_MODES else 8
    if values.ndim == 3:
        colours = values[:, :, : values.shape[2] - (picture.mode in ("LA", "RGBA", "PA"))]
        if not (colours == colours[:, :, :1]).all():
            raise UserError(
                f"{what} {path} is a colour image (mode {picture.mode}), expected one number per pixel: {advice}"
            )
        notice_once(f"colour {what}", f"{what}s stored as grey colour images are read as ids (first: {path})")
        values = colours[:, :, 0]
    ids = np.array(values, dtype=np.int32)
    if picture.mode == "L" and raw in STRETCHED_GREY:
        ids //= STRETCHED_GREY[raw]
    if ids.size and ids.min() < 0:
        raise UserError(f"{what} {path} holds {ids.min()}: {content} start at 0")
    return ids, bits


def encode_png(array: np.ndarray, compression: int = 3, photo: bool = False) -> bytes:
    """Encode ``(H, W)`` or ``(H, W, 1|3|4)`` uint8 or uint16, RGB(A) order.

    ``compression`` is 0 to 9. ``photo`` does not search for repeated strings, of which photos have none: that takes
    half the time and makes smaller files, but larger ones for flat colours; ``compression`` is then ignored.
    """
    if array.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"PNG holds uint8 or uint16, not {array.dtype}")
    if array.ndim == 3 and array.shape[2] == 3:
        array = cv2.cvtColor(array, cv2.COLOR_RGB2BGR)
    elif array.ndim == 3 and array.shape[2] == 4:
        array = cv2.cvtColor(array, cv2.COLOR_RGBA2BGRA)
    elif not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1)):
        raise TypeError(f"PNG holds 1, 3 or 4 channels, not an array of shape {array.shape}")
    options = [cv2.IMWRITE_PNG_COMPRESSION, compression]
    if photo:
        options = [cv2.IMWRITE_PNG_COMPRESSION, 3, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY]
    done, data = cv2.imencode(".png", np.ascontiguousarray(array), options)
    if not done:
        raise ValueError(f"cannot encode an array of shape {array.shape}")
    return data.tobytes()


def decode_png(data: bytes | memoryview) -> np.ndarray:
    """Decode what :func:`encode_png` wrote: ``(H, W)`` or ``(H, W, 3|4)``, dtype and bits kept.

    One channel comes back as ``(H, W)``. Raises ``ValueError`` if the bytes are not an image.
    """
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise ValueError("the bytes are not an image")
    if array.ndim == 3:
        array = cv2.cvtColor(array, cv2.COLOR_BGR2RGB if array.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    return array


def write_png(path: str | Path, array: np.ndarray, compression: int = 3) -> None:
    """Write ``(H, W)`` or ``(H, W, 1|3|4)`` uint8 or uint16, RGB(A) order, as PNG.

    The file is complete or absent. An older file of that name is replaced; missing folders are made. Raises
    ``UserError`` naming the file.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, path.parent, "create") from error
    atomic_write(path, encode_png(array, compression))


def image_to_unit(image: np.ndarray) -> np.ndarray:
    """``(H, W, C)`` uint8 in 0..255 to ``(C, H, W)`` float32 in [-1, 1]: ``x / 127.5 - 1``."""
    unit = np.multiply(image.transpose(2, 0, 1), np.float32(1 / 127.5), dtype=np.float32, order="C")
    unit -= np.float32(1)
    return unit


def unit_to_image(unit: np.ndarray) -> np.ndarray:
    """``(C, H, W)`` or ``(N, C, H, W)`` float in [-1, 1] to ``(H, W, C)`` or ``(N, H, W, C)`` uint8.

    Rounds to nearest, clips values outside the range, and shows NaN as mid grey; inverts :func:`image_to_unit` exactly.
    """
    scaled = np.nan_to_num((np.asarray(unit, dtype=np.float32) + 1) * np.float32(127.5), nan=128)
    image = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(image, -3, -1))


def to_rgb(image: np.ndarray) -> np.ndarray:
    """uint8 ``(H, W)`` or ``(H, W, C)`` to ``(H, W, 3)`` for showing and comparing.

    One channel becomes grey, alpha is dropped, and planes of other numbers, which mark a class each, are shown by the
    brightness of the class that is highest.
    """
    if image.ndim == 2 or image.shape[2] == 1:
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, 2)
    planes = image.shape[2]
    if planes in (3, 4):
        return image[:, :, :3]
    return to_rgb(np.rint(image.argmax(2) * (255.0 / (planes - 1))).astype(np.uint8))
