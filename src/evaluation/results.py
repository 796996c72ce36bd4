"""Which translation a folder of results holds, so that it is made again only when something changed."""

__all__ = ["METRIC_OPTIONS", "fingerprint", "forget_record", "read_record", "write_record"]

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from src.evaluation.run import TrainedRun
from src.training.checkpoint_reader import CheckpointReader
from src.utils.files import atomic_write

#: options that say what is measured, and change nothing that is translated
METRIC_OPTIONS = (
    "metrics", "fake", "real", "source", "truth", "metrics_size", "inception_net_path", "fid_resizer", "lpips_weights",
    "lpips_backbone", "segmenter", "segmenter_size", "segmenter_mean", "segmenter_std", "segmenter_output", "truth_ids",
)  # fmt: skip
_WITHOUT_EFFECT = (*METRIC_OPTIONS, "how_many", "num_workers")
_RECORD = "translated.json"


def fingerprint(run: TrainedRun, data, count: int) -> str:
    """Of everything that the translation of the first ``count`` samples depends on: weights, options and files."""
    options = {k: v for k, v in run.config.to_dict().items() if k not in _WITHOUT_EFFECT}
    used = [data.files(i) for i in range(count)]
    checkpoints = [info for info in CheckpointReader(run.folder).list() if info.tag == run.tag]
    weights = [path for info in checkpoints for path in info.files.values()]
    companions = [path for name in run.system.companion_files() for path in (run.folder / name, Path(name))]
    exported = _exported(run) if getattr(run.config, "runtime", "") == "onnx" else []
    read = [*weights, *companions, *exported, *(path for row in used for path in row.values())]
    files = [_stamp(path) for path in read]
    text = json.dumps({"options": options, "files": files}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _exported(run: TrainedRun) -> list[Path]:
    place = Path(run.config.onnx_file) if run.config.onnx_file else run.folder
    return sorted(place.glob("*.onnx")) if place.is_dir() else [place]


def _stamp(path: Path) -> list[object]:
    try:
        status = path.stat()
    except OSError:
        return [str(path)]
    return [str(path), status.st_size, status.st_mtime_ns]


def forget_record(folder: Path) -> None:
    """Before the first new picture: whatever stops the translation, the folder is not taken for complete."""
    (folder / _RECORD).unlink(missing_ok=True)


def write_record(folder: Path, mark: str, outputs: Mapping[str, Mapping[int, Path]]) -> None:
    """Note what a finished translation made: for each output the picture of each sample, by number."""
    listed = {
        name: {str(i): path.relative_to(folder).as_posix() for i, path in files.items()}
        for name, files in outputs.items()
    }
    atomic_write(folder / _RECORD, json.dumps({"fingerprint": mark, "outputs": listed}, indent=1))


def read_record(folder: Path, mark: str) -> dict[str, dict[int, Path]] | None:
    """The pictures of each output by sample number; None unless they are all there and of this fingerprint."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        record = json.loads((folder / _RECORD).read_text())
        outputs = {
            name: {int(i): folder / path for i, path in files.items()} for name, files in record["outputs"].items()
        }
        complete = all(path.is_file() for files in outputs.values() for path in files.values())
        if record["fingerprint"] == mark and complete and (folder / "gallery" / "index.html").is_file():
            return outputs
    return None
