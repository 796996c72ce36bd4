"""Finding the files of a data set, naming its samples, and pairing files by name."""

__all__ = [
    "Row",
    "Unpaired",
    "find_partners",
    "find_unpaired",
    "list_images",
    "names_of",
    "pair_folders",
    "repeats_in_folders",
    "stem_of",
    "tell_skipped",
]

import os
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..imaging.images import IMAGE_EXTENSIONS, notice_once
from ..imaging.names import unique_names
from ..utils.errors import UserError, shown
from ..utils.text import counted

_CITYSCAPES_SUFFIX = re.compile(r"(?<=.)(_(left|right)Img8bit|_gt(Fine|Coarse)_((label|instance)(Train)?Ids|color))$")
# what lies beside images without being meant as one: texts, annotations, and what file browsers leave behind
_COMPANIONS = (".csv", ".db", ".html", ".ini", ".json", ".log", ".md", ".txt", ".xml", ".yaml", ".yml")
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
    """File name up to its last dot, without the suffix that Cityscapes gives to each kind of file."""
    return _CITYSCAPES_SUFFIX.sub("", Path(path).stem)


def list_images(folder: str | Path) -> list[Path]:
    """All image files below ``folder``, at any depth, sorted by path.

    Links to folders are followed, and each folder is listed once, however many links lead to it. Hidden files and
    folders are left out. Files of other types are reported once, see :func:`tell_skipped`.

    Raises:
        UserError: the folder is missing, or it or one below it cannot be listed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"folder {folder} does not exist")
    images: list[Path] = []
    others: list[Path] = []
    for path in map(Path, _walk(folder)):
        (images if path.name.lower().endswith(IMAGE_EXTENSIONS) else others).append(path)
    tell_skipped(folder, (path.name for path in others))
    return sorted(images)


def _walk(folder: Path) -> Iterator[str]:
    """Paths of all files below ``folder`` that are not hidden; folders are visited before links to folders."""
    waiting, seen = deque([str(folder)]), set()
    linked: deque[str] = deque()
    while waiting or linked:
        parent = (waiting or linked).popleft()
        try:
            status = os.stat(parent)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(parent) as entries:
                visible = sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)
        except OSError as error:
            raise UserError(f"folder {parent} cannot be listed: {error.strerror}") from error
        for entry in visible:
            # not entry.is_dir, which raises for a link to itself
            if not os.path.isdir(entry.path):
                yield entry.path
            else:
                (linked if entry.is_symlink() else waiting).append(entry.path)


def tell_skipped(place: str | Path, names: Iterable[str]) -> None:
    """Warn once about the files of ``place`` that are not read, with their number by suffix.

    There is no warning for texts, annotations and files of file browsers, which are expected beside images (suffixes
    ``.csv .db .html .ini .json .log .md .txt .xml .yaml .yml``).
    """
    suffixes = Counter(os.path.splitext(name.lower())[1] or "without a suffix" for name in names)
    told = [(suffix, count) for suffix, count in suffixes.most_common() if suffix not in _COMPANIONS]
    if told:
        kinds = ", ".join(f"{count} {shown(suffix, 20)}" for suffix, count in told[:_SHOWN])
        more = f" and {counted(sum(count for _, count in told[_SHOWN:]), 'other')}" if len(told) > _SHOWN else ""
        notice_once(f"skipped in {place}", f"{place}: skipped {kinds}{more}; read are {', '.join(IMAGE_EXTENSIONS)}")


def names_of(
    files: Sequence[Path], folder: str | Path, stem: Callable[[Path], str] = stem_of, with_folders: bool | None = None
) -> list[str]:
    """A unique name for every sample that is one file, in the order of ``files``.

    The name is the stem. Where files in different folders have the same stem, every name begins with the path below
    ``folder``. Files that still share a name keep their suffix, ``x_png`` and ``x_jpg``. What is still not unique, such
    as a file that is listed again, gets a number; see :func:`src.imaging.names.unique_names`.

    Args:
        files: the files; one may be listed more than once.
        folder: the folder they lie in, at any depth.
        stem: the stem of a file.
        with_folders: whether names begin with the path below ``folder``; None decides as above.
    """
    if with_folders is None:
        with_folders = repeats_in_folders(files, stem)
    names = dict.fromkeys(files, "")
    for form in (stem, lambda path: path.stem, lambda path: f"{path.stem}_{path.suffix[1:]}"):
        counts = Counter(names.values())
        shared = [path for path, name in names.items() if not name or counts[name] > 1]
        names |= {path: _key(path, folder, form(path), with_folders) for path in shared}
    return unique_names(names[path] for path in files)


def repeats_in_folders(files: Iterable[Path], stem: Callable[[Path], str] = stem_of) -> bool:
    """Whether files in different folders have the same stem."""
    places = {(stem(path), path.parent) for path in files}
    return len({name for name, _ in places}) < len(places)


def _key(path: Path, folder: str | Path, name: str, with_folders: bool) -> str:
    """``name``, after the path of the file below ``folder`` where that is asked for."""
    if not with_folders:
        return name
    parts = Path(os.path.relpath(path.parent, folder)).parts
    return "_".join([*(part for part in parts if part != ".."), name])


def _keyed(files: Iterable[Path], folder: str | Path, with_folders: bool) -> dict[str, Path]:
    """The files by stem, or by the path below ``folder`` and the stem; ``UserError`` if two have the same key."""
    keyed: dict[str, Path] = {}
    for path in files:
        key = _key(path, folder, stem_of(path), with_folders)
        if keyed.setdefault(key, path) != path:
            raise UserError(f"{keyed[key]} and {path} have the same stem {key}: rename or remove one of them")
    return keyed


def find_partners(
    files: Iterable[Path], folder: str | Path, others: Sequence[Path], their_folder: str | Path
) -> dict[Path, Path]:
    """The file among ``others`` that has the stem of each of ``files``, for those that have such a partner.

    Where a stem repeats in the folders of ``others``, the paths below ``folder`` and ``their_folder`` agree, too.

    Raises:
        UserError: two of ``others`` have the same name.
    """
    with_folders = repeats_in_folders(others)
    keyed = _keyed(others, their_folder, with_folders)
    keys = {path: _key(path, folder, stem_of(path), with_folders) for path in files}
    return {path: keyed[key] for path, key in keys.items() if key in keyed}


def _key_columns(folders: Mapping[str, Path]) -> dict[str, dict[str, Path]]:
    """The files of every column by stem; where a stem repeats in subfolders, by subfolder and stem."""
    listed = {column: list_images(folder) for column, folder in folders.items()}
    for column, files in listed.items():
        if not files:
            raise UserError(f"folder {folders[column]} holds no images ({', '.join(IMAGE_EXTENSIONS)})")
    with_folders = any(map(repeats_in_folders, listed.values()))
    return {column: _keyed(files, folders[column], with_folders) for column, files in listed.items()}


def find_unpaired(folders: Mapping[str, Path]) -> list[Unpaired]:
    """The columns that lack files, with the missing stems; an empty list if all columns pair.

    Raises:
        UserError: a folder is missing or empty, or two files of a column have the same stem.
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
        UserError: a folder is missing or empty, a stem occurs twice, or a stem has no partner in some folder; the
            message counts them and names up to five for each folder.
    """
    keyed = _key_columns(folders)
    problems = _unpaired(folders, keyed)
    if problems and not only_complete:
        lines = []
        for problem in problems:
            named = ", ".join(problem.missing[:_SHOWN])
            more = ", ..." if len(problem.missing) > _SHOWN else ""
            lines.append(f"{problem.folder} lacks {len(problem.missing)} ({named}{more})")
        counts = ", ".join(f"{Path(folders[column]).name} {len(files)}" for column, files in keyed.items())
        raise UserError(
            f"the files do not pair by name: {'; '.join(lines)}. Counts: {counts}. Add the missing files or "
            "remove their partners; names are compared without extension and Cityscapes suffixes"
        )
    return [
        Row(stem, {column: files[stem] for column, files in keyed.items()})
        for stem in sorted(set.intersection(*(set(files) for files in keyed.values())))
    ]
