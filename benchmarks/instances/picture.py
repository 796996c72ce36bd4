"""One picture of a comparison: a row a street, and its drawings beside each other under their names."""

__all__ = ["compose"]

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

_GAP, _TITLE = 4, 16


def compose(titles: Sequence[str], rows: Sequence[Sequence[np.ndarray]]) -> bytes:
    """A JPEG file of ``rows`` of images (H, W, 3) uint8 of one size, as many in each as there are ``titles``."""
    height, width = rows[0][0].shape[:2]
    size = len(titles) * (width + _GAP) - _GAP, len(rows) * (height + _GAP) - _GAP + _TITLE
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)
    for column, title in enumerate(titles):
        pen.text((column * (width + _GAP) + width // 2, _TITLE // 2), title, "black", anchor="mm")
        for row, images in enumerate(rows):
            page.paste(Image.fromarray(images[column]), (column * (width + _GAP), row * (height + _GAP) + _TITLE))
    buffer = io.BytesIO()
    page.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
