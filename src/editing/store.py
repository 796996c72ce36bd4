"""Saving an edit: a new numbered folder each time, nothing is overwritten."""

__all__ = ["save_edit"]

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from src.editing.documents import Document
from src.utils.errors import UserError
from src.utils.files import atomic_write, explain_os_error
from src.utils.images import write_png
from src.utils.palette import colour_labels

_MOST_FOLDERS = 100_000


def save_edit(
    folder: Path,
    document: Document,
    picture: np.ndarray,
    settings: dict[str, Any],
    label_nc: int,
    origin: dict[str, Any],
) -> Path:
    """Write ``picture.png`` with what it was made from to the next free ``folder/NNNN_NAME`` and return that.

    Label maps are written as ``label.png`` (8 bits, 16 above 255), ``label_colour.png`` and ``instances.png`` (16
    bits); pictures as ``input.png``. ``edit.json`` holds ``origin`` and ``settings``, among them every style.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        text = json.dumps({**origin, "document": document.name, "settings": settings}, indent=1, allow_nan=False)
    except ValueError:
        raise UserError("the settings of a request hold a number that is not finite") from None
    target = _new_folder(folder, document.name)
    write_png(target / "picture.png", picture)
    if document.label is not None:
        label = document.label
        write_png(target / "label.png", label.astype(np.uint8) if label.max() < 256 else label)
        write_png(target / "label_colour.png", colour_labels(label, label_nc))
        write_png(target / "instances.png", document.inst)
    else:
        write_png(target / "input.png", document.rgb)
    atomic_write(target / "edit.json", text + "\n")
    return target


def _new_folder(folder: Path, name: str) -> Path:
    name = re.sub(r"[^\w.-]+", "_", name)[:80].strip(".") or "edit"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = [int(p.name[:4]) for p in folder.iterdir() if re.match(r"\d{4}_", p.name)]
        for number in range(max(taken, default=0) + 1, _MOST_FOLDERS):
            target = folder / f"{number:04d}_{name}"
            try:
                target.mkdir()
            except FileExistsError:
                continue
            return target
    except OSError as error:
        raise explain_os_error(error, folder, "write") from error
    raise UserError(f"{folder} is full of edits: pass another --save_dir")
