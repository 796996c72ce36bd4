"""What a folder of results holds: which translation, and which files, so that nothing of an earlier one stays."""

__all__ = ["Results", "fingerprint", "read_record"]

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from ..dataset.pipeline import Pipeline
from ..inference.model import Model
from ..metrics.owners import INCEPTION, METRICS
from ..runs.checkpoint_reader import CheckpointReader
from ..utils.files import atomic_write

_WITHOUT_EFFECT = ("how_many", "num_workers")
_RECORD, _JOURNAL = "translated.json", "written.txt"


def fingerprint(model: Model, data: Pipeline, count: int) -> str:
    """Of everything that the translation of the first ``count`` samples depends on: weights, options and files."""
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

    Every file is noted in a journal before it is written, so that also what an interrupted evaluation left is known.
    Files that no evaluation noted are the user's and stay.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        # first the completion marker, so that an interrupted evaluation is never taken for complete
        listed = [*_listed(folder), *_journal(folder)]
        (folder / _RECORD).unlink(missing_ok=True)
        for name in dict.fromkeys(listed):
            _remove(folder, name)
        (folder / _JOURNAL).unlink(missing_ok=True)

    def path(self, *parts: str) -> Path:
        """The path of a file that is about to be written below the folder."""
        path = self.folder.joinpath(*parts)
        with open(self.folder / _JOURNAL, "ab") as journal:
            journal.write(os.fsencode("/".join(parts)) + b"\n")
        return path

    def finish(self, mark: str, outputs: Mapping[str, Mapping[int, Path]]) -> None:
        """Note what a finished translation made: for each output the image of each sample, by number."""
        listed = {
            name: {str(i): path.relative_to(self.folder).as_posix() for i, path in files.items()}
            for name, files in outputs.items()
        }
        atomic_write(self.folder / _RECORD, json.dumps({"fingerprint": mark, "outputs": listed}, indent=1))


def _listed(folder: Path) -> list[str]:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        outputs = json.loads((folder / _RECORD).read_text(encoding="utf-8"))["outputs"]
        return [str(name) for files in outputs.values() for name in files.values()]
    return []


def _journal(folder: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return [os.fsdecode(line) for line in (folder / _JOURNAL).read_bytes().split(b"\n") if line]
    return []


def _remove(folder: Path, name: str) -> None:
    """Delete a file below ``folder``; names that lead out of it are left alone, and links are not followed."""
    parts = Path(name).parts
    if ".." in parts or Path(name).is_absolute() or folder.joinpath(*parts[:-1]).is_symlink():
        return
    with contextlib.suppress(OSError):
        folder.joinpath(*parts).unlink()


def read_record(folder: Path, mark: str) -> dict[str, dict[int, Path]] | None:
    """The images of each output by sample number; None unless they are all there and of this fingerprint."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        outputs = {
            name: {int(i): folder / path for i, path in files.items()} for name, files in record["outputs"].items()
        }
        complete = all(path.is_file() for files in outputs.values() for path in files.values())
        if record["fingerprint"] == mark and complete and (folder / "gallery" / "index.html").is_file():
            return outputs
    return None
