"""The files of unpaired data: folders, lists, label maps, and the inputs of an evaluation."""

__all__ = [
    "LABEL",
    "Listed",
    "evaluation_rows",
    "flow_folder",
    "images_of",
    "label_files",
    "paired_rows",
    "rows_of",
    "title_of",
]

from collections import Counter
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from ..imaging.images import IMAGE_EXTENSIONS
from ..imaging.names import file_name, pair_name
from ..imaging.video import VIDEO_EXTENSIONS, Video
from ..options.config import Config
from ..utils.errors import UserError
from ..utils.text import counted
from .folders import Row, find_partners, list_images, names_of
from .lists import read_list

#: column of the label maps of A
LABEL = "label_A"
_OPTIONS = {"A": ("source_root", "source_list"), "B": ("target_root", "target_list")}


class Listed(NamedTuple):
    """The images of a domain, and the folder below which they are named."""

    files: list[Path]
    folder: Path

    def once(self) -> "Listed":
        """Without repetitions, by which lists reach a length: shuffled passes draw from the same distribution."""
        return self._replace(files=list(dict.fromkeys(self.files)))


def _columns(column: str, file: Path, labels: dict[Path, Path] | None) -> dict[str, Path]:
    return {column: file} | ({LABEL: labels[file]} if labels else {})


def rows_of(listed: Listed, column: str, labels: dict[Path, Path] | None = None) -> list[Row]:
    """A row for each image of a domain, with its label map where there are ``labels``."""
    names = names_of(*listed)
    return [Row(name, _columns(column, file, labels)) for name, file in zip(names, listed.files, strict=True)]


def paired_rows(a: Listed, b: Listed, labels: dict[Path, Path] | None = None) -> list[Row]:
    """Image i of A with image i of B, which starts again where it ends, named ``{content}_to_{style}``."""
    contents, styles = (names_of(*listed, stem=attrgetter("stem")) for listed in (a, b))
    rows = []
    for i, file in enumerate(a.files):
        k = i % len(b.files)
        rows.append(Row(pair_name(contents[i], styles[k]), _columns("A", file, labels) | {"B": b.files[k]}))
    return rows


def evaluation_rows(options: Config, phase: str) -> tuple[list[Row], Video | None]:
    """The images to translate, and their video if they are its frames.

    Raises:
        UserError: files, folders or lists that are not there or hold no images.
    """
    given, video = _given(options.input, "input") if options.input else (None, None)
    if options.test_pairs:
        styles = _given(options.style, "style")[0] if options.style else images_of(options, "B", phase)
        return paired_rows(given or images_of(options, "A", phase), styles), video
    if given:
        return rows_of(given, "B" if options.direction == "BtoA" else "A"), video
    domains = {"AtoB": "A", "BtoA": "B"}.get(options.direction, "AB")
    rows = [row for domain in domains for row in rows_of(images_of(options, domain, phase), domain)]
    counts = Counter(row.stem for row in rows)
    return [Row(row.stem + f"_{next(iter(row.files))}" * (counts[row.stem] > 1), row.files) for row in rows], None


def title_of(given: str) -> str:
    """The name for results of ``given``: the name of a folder, or of a file without its suffix."""
    path = Path(given)
    return file_name(path.resolve().name if path.is_dir() else path.stem) if given else ""


def _given(text: str, option: str) -> tuple[Listed, Video | None]:
    """The images of a file, folder, list or video on the command line."""
    path = Path(text)
    if path.is_dir():
        found = list_images(path)
        if not found:
            raise UserError(f"--{option} {path} holds no images ({', '.join(IMAGE_EXTENSIONS)})")
        return Listed(found, path), None
    if not path.exists():
        raise UserError(f"--{option} {path} does not exist: pass an image, a folder, a list (.txt) or a video")
    if path.suffix.lower() in VIDEO_EXTENSIONS:
        video = Video(path)
        return Listed(video.frames, video.frames[0].parent), video
    if path.suffix.lower() == ".txt":
        return Listed(read_list(path, path.parent), path.parent), None
    return Listed([path], path.parent), None


def images_of(options: Config, domain: str, phase: str) -> Listed:
    """All images of a domain, in the order of its list, or sorted.

    Raises:
        UserError: there is no such folder or list, or it holds no images.
    """
    root_option, list_option = _OPTIONS[domain]
    root = options[root_option].replace("{phase}", phase)
    list_file = options[list_option].replace("{phase}", phase)
    own_list = Path(options.data_root, f"{phase}{domain}.txt")
    if not (root or list_file) and own_list.is_file():
        list_file = str(own_list)
    if list_file:
        root = Path(root or options.data_root)
        return Listed(read_list(list_file, root), root)
    folders = [Path(root)] if root else [Path(options.data_root, f"{phase}{s}{domain}") for s in ("", "_")]
    folder = next((f for f in folders if f.is_dir()), None)
    if folder is None:
        raise UserError(
            f"folder {folders[0]} does not exist: pass --data_root with a folder that holds {phase}A and {phase}B, "
            f"--{root_option} FOLDER, or --{list_option} FILE; data/create_gta2cityscapes_dataset.py makes them"
        )
    found = list_images(folder)
    if not found:
        raise UserError(f"folder {folder} holds no images ({', '.join(IMAGE_EXTENSIONS)})")
    return Listed(found, folder)


def label_files(options: Config, phase: str, images: Listed, needed: bool = False) -> dict[Path, Path] | None:
    """The label map of each image of A, by name, where the options ask for label maps.

    Raises:
        UserError: images without a label map, or no folder of label maps where they are ``needed``.
    """
    if not options.label_root:
        if needed:
            raise UserError("the label maps of A are needed here: name their folder with --label_root FOLDER")
        return None
    folder = Path(options.label_root.replace("{phase}", phase))
    labels = find_partners(*images, list_images(folder), folder)
    lacking = [file for file in images.files if file not in labels]
    if lacking:
        raise UserError(
            f"{folder} lacks the label maps of {len(lacking)} of {counted(len(images.files), 'image')} (first: "
            f"{lacking[0].name}): add them, or drop --label_root"
        )
    return labels


def flow_folder(options: Config, phase: str) -> Path | None:
    """The folder of the optical flow of A: that of the options, or that of the data set if A is of it; None else.

    Raises:
        UserError: the folder of the options does not exist.
    """
    if options.flow_root:
        folder = Path(options.flow_root.replace("{phase}", phase))
        if not folder.is_dir():
            raise UserError(
                f"flow_root {folder} does not exist: check the path, or drop --flow_root to search for flow"
            )
        return folder
    return None if any(options[name] for name in _OPTIONS["A"]) else Path(options.data_root, f"{phase}_flow")
