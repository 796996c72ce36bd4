"""Saved edits: each gets a new numbered folder, nothing is overwritten; saved files are checked like requests."""

__all__ = ["image_of_edit", "open_edit", "save_edit", "saved_edits"]

import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from ..imaging.images import picture_info, read_image, read_instances, read_labels, write_png
from ..imaging.palette import colour_labels
from ..utils.errors import UserError
from ..utils.files import atomic_write, explain_os_error
from .documents import MAX_PIXELS, Document, document_of
from .values import read_object, settings_of, text
from .wire import LONGEST_MESSAGE

_MOST_FOLDERS = 100_000
_MOST_LISTED = 200
_LONGEST_NOTE = 4 << 20
_NUMBERED = re.compile(r"([0-9]{4,6})_")


def save_edit(
    folder: Path,
    document: Document,
    picture: np.ndarray,
    settings: dict[str, Any],
    label_nc: int,
    origin: dict[str, Any],
) -> Path:
    """Write ``picture.png`` and its inputs to the next free ``folder/NNNN_NAME`` and return that folder.

    Label maps are written as ``label.png`` (8 bits, 16 above 255), ``label_colour.png`` and ``instances.png`` (16
    bits); images as ``input.png``. ``edit.json`` holds ``origin`` and ``settings``, among them every style.

    Raises:
        UserError: the folder cannot be written.
    """
    note = json.dumps({**origin, "document": document.name, "settings": settings}, indent=1, allow_nan=False)
    target = _new_folder(folder, document.name)
    write_png(target / "picture.png", picture)
    if document.label is not None:
        label = document.label
        write_png(target / "label.png", label.astype(np.uint8) if label.max() < 256 else label)
        write_png(target / "label_colour.png", colour_labels(label, label_nc))
        write_png(target / "instances.png", document.array("inst"))
    else:
        write_png(target / "input.png", document.array("rgb"))
    atomic_write(target / "edit.json", note + "\n")
    return target


def _new_folder(folder: Path, name: str) -> Path:
    # names of files have at most 255 bytes
    name = re.sub(r"[^\w.-]+", "_", name)[:80].encode()[:200].decode(errors="ignore").strip(".") or "edit"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = max((_number(path) for path in folder.iterdir()), default=0)
        for number in range(taken + 1, _MOST_FOLDERS):
            target = folder / f"{number:04d}_{name}"
            try:
                target.mkdir()
            except FileExistsError:
                continue
            return target
    except OSError as error:
        raise explain_os_error(error, folder, "write") from error
    raise UserError(f"{folder} is full of edits: pass another --save_dir")


def _number(path: Path) -> int:
    """The number of an edit's folder; 0 for other names."""
    found = _NUMBERED.match(path.name)
    return int(found[1]) if found else 0


# -- reading -------------------------------------------------------------------------------------------------------


def saved_edits(folder: Path, about: Mapping[str, Any]) -> list[dict[str, str]]:
    """The edits of a run, the newest 200, newest first: ``edit``, the name of its folder, and ``document``.

    Args:
        folder: where edits are saved; it may be missing.
        about: :meth:`src.editing.studio.Studio.about` of the run.
    """
    listed = []
    for name, path in _folders(folder).items():
        try:
            note = _note(path, about)
        except UserError:
            continue  # of another run, or not an edit
        listed.append({"edit": name, "document": note["document"]})
        if len(listed) == _MOST_LISTED:
            break
    return listed


def open_edit(folder: Path, name: str, about: Mapping[str, Any], label_nc: int) -> tuple[Document, dict[str, Any]]:
    """Read the edit ``name`` in ``folder``: its document and its settings.

    Args:
        folder, about: as for :func:`saved_edits`.
        label_nc: class numbers are below this.

    Raises:
        UserError: there is no such edit of this run, or its files are damaged, too large, or do not suit the model.
    """
    path = _folder(folder, name)
    note = _note(path, about)
    if about["kind"] == "picture":
        arrays = {"rgb": read_image(_image(path / "input.png"))}
    else:
        maps = {"label": (read_labels, "label.png"), "inst": (read_instances, "instances.png")}
        arrays = {key: _ids(read(_image(path / file)), path / file) for key, (read, file) in maps.items()}
    try:
        document = document_of(note["document"], about["kind"], arrays, label_nc)
        return document, settings_of(note["settings"], about)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def image_of_edit(folder: Path, name: str) -> np.ndarray:
    """The image that was saved with an edit, uint8 (H, W, 3); ``UserError`` where it cannot be read."""
    return read_image(_image(_folder(folder, name) / "picture.png"))


def _folders(folder: Path) -> dict[str, Path]:
    """Folders of edits by their name, newest first."""
    try:
        found = [path for path in folder.iterdir() if _number(path) and stat.S_ISDIR(path.lstat().st_mode)]
    except FileNotFoundError:
        found = []
    except OSError as error:
        raise explain_os_error(error, folder, "read") from error
    return {path.name: path for path in sorted(found, key=lambda path: (-_number(path), path.name))}


def _folder(folder: Path, name: str) -> Path:
    # no name of a request is ever joined to a folder: only listed folders are opened
    path = _folders(folder).get(name)
    if path is None:
        raise UserError(f"{folder} holds no edit {text(name, 'edit')}: it was moved or deleted")
    return path


def _note(path: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """The contents of ``edit.json``, if it is an edit of this run; ``settings`` are not checked yet."""
    file = path / "edit.json"
    _check_file(file, _LONGEST_NOTE)
    try:
        note = read_object(file.read_bytes(), str(file))
    except OSError as error:
        raise explain_os_error(error, file, "read") from error
    origin = {key: text(note.get(key), f"{key} in {file}") for key in ("run", "system", "document")}
    # compare the folder's name and not its path, because runs are moved
    if (PurePath(origin["run"]).name, origin["system"]) != (about["name"], about["system"]):
        raise UserError(f"{file} was saved with {origin['run']} ({origin['system']}), not with this run")
    return {"document": origin["document"], "settings": note.get("settings")}


def _check_file(path: Path, most: int) -> None:
    """A regular file in the folder, not a link or a pipe, of at most ``most`` bytes."""
    try:
        status = os.lstat(path)
    except OSError as error:
        raise explain_os_error(error, path, "read") from error
    if not stat.S_ISREG(status.st_mode) or status.st_size > most:
        raise UserError(f"{path} is not a regular file of at most {most} bytes: restore it or delete the edit")


def _image(path: Path) -> Path:
    """The path, after the sizes of file and image have been checked."""
    _check_file(path, LONGEST_MESSAGE)
    info = picture_info(path)
    if info.width * info.height > MAX_PIXELS:
        raise UserError(f"{path} has {info.width}x{info.height} pixels, the editor takes up to {MAX_PIXELS}")
    return path


def _ids(ids: np.ndarray, path: Path) -> np.ndarray:
    if ids.max() > 65535:
        raise UserError(f"{path} holds {ids.max()}, more than 65535")
    return ids.astype(np.uint16)
