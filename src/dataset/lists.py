"""Images named by a list file: one path a line, relative to a root."""

__all__ = ["read_list"]

import os
from pathlib import Path

from ..imaging.images import IMAGE_EXTENSIONS
from ..utils.errors import UserError
from ..utils.files import explain_os_error
from ..utils.text import counted

_SHOWN = 5
_LONGEST = 300


def read_list(path: str | Path, root: str | Path) -> list[Path]:
    """Files that ``path`` lists, in its order; a file may be listed more than once.

    Spaces around a line and blank lines at the end are ignored.

    Raises:
        UserError: a missing or unreadable list, a blank line between others or one that names no image (with its number
            and text), or files that ``root`` does not hold (up to five are named).
    """
    path, root = Path(path), Path(root)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise explain_os_error(error, path, "read") from error
    if b"\0" in data:
        number = data[: data.index(b"\0")].count(b"\n") + 1
        raise UserError(f"{path}, line {number} is not text (UTF-8): save the list as plain text")
    # as names of files are decoded, which need not be UTF-8
    lines = os.fsdecode(data).rstrip().splitlines()
    if not lines:
        raise UserError(f"the list {path} is empty: write one image per line, relative to {root}")
    files = []
    for number, line in enumerate(lines, 1):
        name = line.strip()
        if not name:
            raise UserError(f"{path}, line {number} is empty: remove it")
        if Path(name).suffix.lower() not in IMAGE_EXTENSIONS:
            raise UserError(
                f"{path}, line {number}: {name[:_LONGEST]!r} is not an image by its name, expected a path such as "
                f"images/04945.png that ends in one of {', '.join(IMAGE_EXTENSIONS)}"
            )
        files.append(root / name)
    # os.path, because Path.is_file raises on names that are too long
    missing = {file: number for number, file in enumerate(files, 1) if not os.path.isfile(file)}
    if missing:
        shown = ", ".join(f"{str(file)[:_LONGEST]} (line {number})" for file, number in list(missing.items())[:_SHOWN])
        more = ", ..." if len(missing) > _SHOWN else ""
        raise UserError(
            f"{len(missing)} of {counted(len(files), 'file')} that {path} lists are not there: {shown}{more}. "
            f"Its lines are relative to {root}: pass another root, or take the missing lines out"
        )
    return files
