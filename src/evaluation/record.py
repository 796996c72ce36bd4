"""The record of a folder of results: its translation and its files, so that earlier results are removed."""

__all__ = ["Results", "fingerprint", "read_record"]

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..dataset.pipeline import Pipeline
from ..inference.model import Model
from ..metrics.owners import INCEPTION, METRICS
from ..runs.checkpoint_reader import CheckpointReader
from ..utils.files import atomic_write, explained, make_folders, open_unlinked, read_small

_WITHOUT_EFFECT = ("how_many", "num_workers")
_RECORD, _JOURNAL = "translated.json", "written.jsonl"


def fingerprint(model: Model, data: Pipeline, count: int) -> str:
    """Fingerprint of the translation of the first ``count`` samples: weights, options and files."""
    schema, config = model.config.schema, model.config
    options = {
        option.name: config[option.name]
        for option in schema.options.values()
        if option.owner not in (METRICS, INCEPTION) and option.name not in _WITHOUT_EFFECT
    }
    used = [data.files(i) for i in range(count)]
    checkpoints = [info for info in CheckpointReader(model.folder).list() if info.tag == model.tag]
    weights = [path for info in checkpoints for path in info.files.values()]
    names = model.system.companions.files(config)
    companions = [path for name in names for path in (model.folder / name, Path(name))]
    exported = _exported(model) if config.runtime == "onnx" else []
    read = [*weights, *companions, *exported, *(path for row in used for path in row.values())]
    files = [_stamp(path) for path in read]
    text = json.dumps({"options": options, "files": files}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def _exported(model: Model) -> list[Path]:
    place = Path(model.config.onnx_file) if model.config.onnx_file else model.folder
    return sorted(place.glob("*.onnx")) if place.is_dir() else [place]


def _stamp(path: Path) -> list[object]:
    try:
        status = path.stat()
    except OSError:
        return [str(path)]
    return [str(path), status.st_size, status.st_mtime_ns]


class Results:
    """The files of one evaluation in ``folder``; those that earlier evaluations wrote there are removed first.

    Every file is noted in a journal before it is written, so the files of an interrupted evaluation are known too.
    Files that are not in the journal belong to the user and stay.

    Raises:
        UserError: the folder cannot be made or changed.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        with explained(folder, "create"):
            folder.mkdir(parents=True, exist_ok=True)
        for name in dict.fromkeys([*_listed(folder), *_journaled(folder)]):
            if _is_inside(folder, name):
                with contextlib.suppress(OSError, ValueError):
                    (folder / name).unlink()
        # a record whose files are missing is never taken for complete, so an interruption here is safe
        for name in (_RECORD, _JOURNAL):
            with explained(folder / name, "delete"):
                (folder / name).unlink(missing_ok=True)

    def path(self, *parts: str) -> Path:
        """The path of a file that is about to be written below the folder.

        Raises:
            UserError: the journal cannot be written, for example on a full disk, or a folder on the way is a link.
        """
        journal = self.folder / _JOURNAL
        with explained(journal, "write"):
            handle = open_unlinked(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            try:
                os.write(handle, (json.dumps("/".join(parts)) + "\n").encode())
            finally:
                os.close(handle)
        with explained(self.folder.joinpath(*parts[:-1]), "write into"):
            make_folders(self.folder, *parts[:-1])
        return self.folder.joinpath(*parts)

    def finish(self, mark: str, outputs: Mapping[str, Mapping[int, Path]]) -> None:
        """Record a finished translation: for each output the image of each sample, by number."""
        listed = {
            name: {str(i): path.relative_to(self.folder).as_posix() for i, path in files.items()}
            for name, files in outputs.items()
        }
        atomic_write(self.folder / _RECORD, json.dumps({"fingerprint": mark, "outputs": listed}, indent=1))


def _listed(folder: Path) -> list[str]:
    """Images of the last finished translation; earlier versions of the program kept no journal."""
    record = _read_json(folder)
    return [str(name) for files in record["outputs"].values() for name in files.values()] if record else []


def _journaled(folder: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for line in read_small(folder / _JOURNAL).splitlines():
            # the last line of a killed process may be incomplete
            with contextlib.suppress(ValueError, RecursionError):
                yield str(json.loads(line))


def _is_inside(folder: Path, name: str) -> bool:
    """Whether ``name`` is a file below ``folder``, with no link that leads out of it."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or path == Path():
        return False
    return not any(os.path.islink(folder / parent) for parent in path.parents[:-1])


def _read_json(folder: Path) -> dict[str, Any] | None:
    """The record of a finished translation; None if there is no usable record."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        record = json.loads(read_small(folder / _RECORD))
        for files in record["outputs"].values():
            if not all(re.fullmatch(r"\d{1,18}", key) and isinstance(name, str) for key, name in files.items()):
                return None
        return record
    return None


def read_record(folder: Path, mark: str) -> dict[str, dict[int, Path]] | None:
    """The images of each output by sample number; None unless all exist and have this fingerprint."""
    record = _read_json(folder)
    if record is None or record.get("fingerprint") != mark or not (folder / "gallery" / "index.html").is_file():
        return None
    named = [name for files in record["outputs"].values() for name in files.values()]
    if not all(_is_inside(folder, name) and os.path.isfile(folder / name) for name in named):
        return None
    return {output: {int(i): folder / name for i, name in files.items()} for output, files in record["outputs"].items()}
