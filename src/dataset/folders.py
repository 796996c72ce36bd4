"""Finding the files of a data set and pairing them by name."""

__all__ = ["Row", "Unpaired", "find_unpaired", "list_images", "pair_folders", "stem_of"]

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from src.utils.errors import UserError
from src.utils.images import IMAGE_EXTENSIONS

_CITYSCAPES_SUFFIX = re.compile(r"(_(left|right)Img8bit|_gt(Fine|Coarse)_((label|instance)(Train)?Ids|color))$")
_SHOWN = 5


@dataclass(frozen=True)
class Row:
    """One sample: the stem its files share, and the file of each column."""

    stem: str
    files: dict[str, Path]


@dataclass(frozen=True)
class Unpaired:
    """Stems that a column lacks although another column has them, and the size of that column."""

    column: str
    folder: Path
    count: int
    missing: tuple[str, ...]


def stem_of(path: str | Path) -> str:
    """File name without extension and without the suffix Cityscapes gives to each kind of file."""
    return _CITYSCAPES_SUFFIX.sub("", Path(path).stem)


def list_images(folder: str | Path) -> list[Path]:
    """All picture files below ``folder``, at any depth, sorted by path; hidden files are left out.

    Raises ``UserError`` if the folder is missing or cannot be listed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"folder {folder} does not exist")

    def refuse(error: OSError) -> None:
        raise UserError(f"folder {error.filename} cannot be listed: {error.strerror}") from error

    found = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name) for name in names if name.lower().endswith(IMAGE_EXTENSIONS) and not name.startswith(".")
        ]
    return sorted(found)


def _keyed(folder: Path, files: list[Path], with_folders: bool) -> dict[str, Path]:
    keyed: dict[str, Path] = {}
    for path in files:
        key = stem_of(path)
        if with_folders:
            key = "_".join([*path.parent.relative_to(folder).parts, key])
        if key in keyed:
            raise UserError(f"{keyed[key]} and {path} have the same stem {key}: rename or remove one of them")
        keyed[key] = path
    return keyed


def _key_columns(folders: Mapping[str, Path]) -> dict[str, dict[str, Path]]:
    """Key every column's files by stem; where a stem repeats in subfolders, by subfolder and stem."""
    listed = {column: list_images(folder) for column, folder in folders.items()}
    for column, files in listed.items():
        if not files:
            raise UserError(f"folder {folders[column]} holds no pictures ({', '.join(IMAGE_EXTENSIONS)})")
    repeated = any(len({stem_of(path) for path in files}) < len(files) for files in listed.values())
    return {column: _keyed(Path(folders[column]), files, repeated) for column, files in listed.items()}


def find_unpaired(folders: Mapping[str, Path]) -> list[Unpaired]:
    """The columns that lack files, with the missing stems; an empty list if all columns pair.

    Raises ``UserError`` for a missing or empty folder and for two files of one stem in a column.
    """
    return _unpaired(folders, _key_columns(folders))


def _unpaired(folders: Mapping[str, Path], keyed: dict[str, dict[str, Path]]) -> list[Unpaired]:
    every = set().union(*keyed.values())
    return [
        Unpaired(column, Path(folders[column]), len(files), tuple(sorted(every - files.keys())))
        for column, files in keyed.items()
        if every - files.keys()
    ]


def pair_folders(folders: Mapping[str, Path], only_complete: bool = False) -> list[Row]:
    """Pair the files of several folders by stem (never by position), sorted by stem.

    Args:
        folders: column name to folder.
        only_complete: leave stems out that lack a partner, instead of raising.

    Raises:
        UserError: a folder is missing or empty, a stem occurs twice, or a stem has no partner in some folder;
            the message counts them and names up to five a folder.
    """
    keyed = _key_columns(folders)
    problems = _unpaired(folders, keyed)
    if problems and not only_complete:
        lines = []
        for problem in problems:
            shown = ", ".join(problem.missing[:_SHOWN])
            more = ", ..." if len(problem.missing) > _SHOWN else ""
            lines.append(f"{problem.folder} lacks {len(problem.missing)} ({shown}{more})")
        counts = ", ".join(f"{Path(folders[column]).name} {len(files)}" for column, files in keyed.items())
        raise UserError(
            f"the files do not pair by name: {'; '.join(lines)}. Counts: {counts}. Add the missing files or "
            "remove their partners; names are compared without extension and Cityscapes suffixes"
        )
    return [
        Row(stem, {column: files[stem] for column, files in keyed.items()})
        for stem in sorted(set.intersection(*(set(files) for files in keyed.values())))
    ]
