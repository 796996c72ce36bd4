"""Image files of the gallery: names, formats, thumbnails."""

__all__ = ["as_rgb", "image_path", "image_record", "save_image", "slug"]

import io
import os
import sys
import unicodedata
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import numpy as np
from PIL import Image

from ..utils.files import temporary_name
from ..utils.text import readable

THUMBNAIL = 512
"""Longest side of a thumbnail in pixels: a third of a common screen, at its full sharpness."""

_FLAT_COLOURS = 64
_NAME_BYTES = 100


def as_rgb(name: str, image: np.ndarray) -> np.ndarray:
    """Return an image as uint8 ``(H, W, 3)``: grey is repeated, of four or more channels the first three are kept.

    Raises:
        ValueError: not a uint8 array of two or three dimensions with pixels in it.
    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"image {name!r} is {image.shape} of {image.dtype}, a gallery shows uint8 (H, W, 3)")
    if image.shape[2] < 3:
        image = np.repeat(image[:, :, :1], 3, axis=2)
    return np.ascontiguousarray(image[:, :, :3])


def slug(text: str) -> str:
    """Return ``text`` as part of a file name: letters and digits that the locale has, ``-``, ``_``, ``.``."""
    text = unicodedata.normalize("NFC", readable(str(text)))
    kept = "".join(c if c.isalnum() or c in "-_." else "?" for c in text)
    encoding = sys.getfilesystemencoding()
    data = kept.encode(encoding, "replace").replace(b"?", b"_")
    return data[:_NAME_BYTES].decode(encoding, "ignore").lstrip(".") or "_"


def save_image(image: np.ndarray, base: Path) -> list[Path]:
    """Save an image, uint8 ``(H, W, 3)``, and a thumbnail if it is larger than one.

    Images of few colours (label maps, edges) become PNG, which keeps their edges; photographs become JPEG.

    Returns:
        The file, and the file of the thumbnail where there is one; both named after ``base``.
    """
    picture = Image.fromarray(image)
    flat = _palette_picture(picture, image)
    if flat is not None:
        files = [_save(flat, base.with_name(base.name + ".png"), "PNG")]
    else:
        files = [_save(picture, base.with_name(base.name + ".jpg"), "JPEG", quality=92, subsampling=0)]
    if max(picture.size) > THUMBNAIL:
        small = picture.copy()
        small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS, reducing_gap=2.0)
        thumb = base.with_name(base.name + ".thumb.jpg")
        files.append(_save(small, thumb, "JPEG", quality=85, subsampling=0 if flat is not None else 2))
    return files


def image_record(folder: Path, files: list[Path], shape: tuple[int, ...]) -> dict:
    """Describe saved files for the page: addresses relative to ``folder``, percent-encoded, and the size."""
    record: dict[str, int | str] = {"width": shape[1], "height": shape[0]}
    for kind, path in zip(("src", "thumb"), files, strict=False):
        record[kind] = quote(os.fsencode(path.relative_to(folder).as_posix()))
    return record


def image_path(folder: Path, address: str) -> Path:
    """Return the file that an address of :func:`image_record` names."""
    return folder / os.fsdecode(unquote_to_bytes(address))


def _palette_picture(picture: Image.Image, image: np.ndarray) -> Image.Image | None:
    colours = picture.getcolors(_FLAT_COLOURS)
    if colours is None:
        return None
    table = np.array(sorted(colour for _, colour in colours), np.int64)
    weights = np.array([65536, 256, 1], np.int64)
    flat = Image.fromarray(np.searchsorted(table @ weights, image @ weights).astype(np.uint8))
    flat.putpalette(table.astype(np.uint8).tobytes())
    return flat


def _save(picture: Image.Image, path: Path, kind: str, **options: object) -> Path:
    # Encoded in memory: when Pillow writes a file itself, a write cut short by a full disk passes for a success.
    encoded = io.BytesIO()
    picture.save(encoded, kind, **options)
    temporary = temporary_name(path)
    try:
        # Not flushed to the disk, unlike checkpoints: thousands of flushes would cost more than they protect.
        with open(temporary, "wb") as stream:
            stream.write(encoded.getbuffer())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path
