"""Writing the passes of a trained system to files, which are checked before they are renamed into place."""

__all__ = ["check_packages", "export_system"]

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn
from mindspore.train import mind_ir_pb2 as ir

from ..contracts.passes import Pass
from ..contracts.system import System
from ..inference.onnx_runtime import OnnxPass, load_session, require, weights_of
from ..options.config import Config
from ..utils.errors import UserError
from ..utils.files import explain_os_error, sync_folder
from .graph import read_graph
from .inputs import choose_sizes, input_values, other_sizes, symbolic_inputs

_PRODUCER = "MindI2I"
#: largest difference to the network, relative to the largest value where that is above 1
_TOLERANCE = {"fp32": 1e-3, "fp16": 5e-2, "bf16": 2e-1}
_NETWORK = "network"


@dataclass(frozen=True)
class _Job:
    """A pass on its way into a file."""

    exported: Pass
    target: Path
    batch: int
    sizes: dict[str, int]
    flexible: bool
    checks: list[list[np.ndarray]]
    about: dict[str, str]
    tolerance: float

    def arguments(self) -> list[Tensor]:
        """The sizes that the pass is compiled for."""
        if self.flexible:
            return symbolic_inputs(self.exported, self.batch)
        return [Tensor(value) for value in self.checks[0]]


def check_packages(file_format: str) -> None:
    """Raise ``UserError`` where a package that writes this format is not installed."""
    if file_format == "onnx":
        require("onnx")
        require("onnxruntime")


def export_system(
    system: System, config: Config, prefix: Path, checkpoint: str, sample: Mapping[str, np.ndarray],
    say: Callable[[str], None],
) -> list[Path]:  # fmt: skip
    """Write every pass of ``system`` to ``PREFIX_PASS.onnx`` (or ``.mindir``, ``.air``), as the options say.

    ``sample`` is a batch of one of the system's data set, or empty. A file appears only after it was loaded again and
    its results equalled the network's: bit by bit (MINDIR), or up to rounding (ONNX).

    Raises:
        UserError: options that do not fit the network, an operator without ONNX form, a result that differs, or an
            existing file that was not written by this project.
    """
    write = {"onnx": _write_onnx, "mindir": _write_mindir, "air": _write_air}[config.file_format]
    if config.file_format == "air" and ms.get_context("device_target") != "Ascend":
        raise UserError(
            "MindSpore writes AIR files only on Ascend: run this there, or take --file_format mindir or onnx, "
            "which every device writes"
        )
    check_packages(config.file_format)
    batch = config.batch_size if "batch_size" in config.explicit else 1
    passes, written = system.passes(), []
    if not passes:
        raise UserError(f"{system.name} does not say what of it can be exported: give the class a method passes()")
    for exported in passes:
        flexible = config.flexible_size and exported.any_size
        height, width = config.height, config.width
        sizes = choose_sizes(exported, sample, height, width, system, config.flexible_size)
        checks = [input_values(exported, sizes, batch, sample)]
        if flexible:
            checks.append(input_values(exported, other_sizes(sizes, system.stride), batch, sample))
        target = prefix.with_name(f"{prefix.name}_{exported.name}.{config.file_format}")
        about = _about(system, config, exported, checkpoint, sizes, flexible)
        job = _Job(exported, target, batch, sizes, flexible, checks, about, _TOLERANCE[config.precision])
        _check_free(target)
        say(f"{target}: {_place(job, write)}")
        written.append(target)
    return written


def _about(
    system: System, config: Config, exported: Pass, checkpoint: str, sizes: Mapping[str, int], flexible: bool
) -> dict[str, str]:
    if flexible:
        size = f"any, in multiples of {system.stride}"
    else:
        size = " ".join(f"{name} {value}" for name, value in sizes.items()) or "that of the network"
    return {
        "producer": _PRODUCER,
        "model": system.name,
        "pass": exported.name,
        "name": config.name,
        "checkpoint": checkpoint,
        "precision": config.precision,
        "size": size,
        "weights": weights_of(exported.cell),
        "config": json.dumps(config.to_dict()),
    }


def _check_free(target: Path) -> None:
    """Raise ``UserError`` if writing would destroy something that was not exported from here."""
    if not target.exists():
        return
    try:
        if target.suffix == ".mindir":
            model = ir.ModelProto()
            model.ParseFromString(target.read_bytes())
            ours = model.user_info.get("producer") == _PRODUCER
        else:
            ours = load_session(target).get_modelmeta().producer_name == _PRODUCER
    except Exception:  # an unreadable file is treated as not written by this project
        ours = False
    if not ours:
        raise UserError(f"{target} exists and was not written by export.py: move it away, or pass another --file_name")


def _place(job: _Job, write: Callable[[_Job, Path], str]) -> str:
    """Let ``write`` write and check the file in a temporary folder, then rename it into place."""
    folder = job.target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as work:
            path = Path(work) / f"{_NETWORK}{job.target.suffix}"
            verdict = write(job, path)
            # temporary files are private to the user, and run folders are shared in a group
            mask = os.umask(0)
            os.umask(mask)
            path.chmod(0o666 & ~mask)
            with open(path, "rb+") as stream:
                os.fsync(stream.fileno())
            size = path.stat().st_size
            os.replace(path, job.target)
    except OSError as error:
        raise explain_os_error(error, job.target) from error
    sync_folder(folder)
    return f"{size / 2**20:.1f} MiB, {verdict}"


# -- MINDIR -----------------------------------------------------------------------------------------------------


def _mindir(job: _Job, path: Path) -> None:
    try:
        ms.export(job.exported.cell, *job.arguments(), file_name=str(path.with_suffix("")), file_format="MINDIR")
    except (RuntimeError, ValueError, TypeError) as error:
        raise UserError(f"MindSpore cannot export {job.exported.name}: {str(error).splitlines()[0][:300]}") from error


def _write_mindir(job: _Job, path: Path) -> str:
    _mindir(job, path)
    if not path.is_file():
        raise UserError(
            f"{job.exported.name} is larger than 1 GiB, which MindSpore splits into many files: export ONNX"
        )
    model = ir.ModelProto()
    model.ParseFromString(path.read_bytes())
    names = {given.name: port.name for given, port in zip(model.graph.input, job.exported.inputs, strict=True)}
    for given in model.graph.input:
        given.name = names[given.name]
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    for key, value in job.about.items():
        model.user_info[key] = value
    path.chmod(0o600)
    path.write_bytes(model.SerializeToString())
    loaded = nn.GraphCell(ms.load(str(path)))
    for values in job.checks:
        tensors = [Tensor(value) for value in values]
        difference = _compare(_flat(loaded(*tensors)), _flat(job.exported.cell(*tensors)))
        if difference != 0.0:
            raise UserError(
                f"the MINDIR file of {job.exported.name}, loaded again, differs from the network by {difference:.1e}: "
                "nothing was written"
            )
    return f"loaded again and equal to the bit on {_what(job)}"


def _write_air(job: _Job, path: Path) -> str:
    ms.export(job.exported.cell, *job.arguments(), file_name=str(path.with_suffix("")), file_format="AIR")
    return "not checked: MindSpore writes AIR files and cannot read them"


# -- ONNX -------------------------------------------------------------------------------------------------------


def _write_onnx(job: _Job, path: Path) -> str:
    # here, because ONNX is an extra: without it all else works
    from .builder import OPSET
    from .to_onnx import to_onnx

    draft, exported = path.with_suffix(".mindir"), job.exported
    _mindir(job, draft)
    weights = {name: p.asnumpy() for name, p in exported.cell.parameters_dict().items()}
    # weights beyond 1 GiB go to a folder beside the graph, where they are not needed
    graph = read_graph(draft if draft.is_file() else draft.with_name(f"{_NETWORK}_graph.mindir"))
    model = to_onnx(graph, weights, exported.inputs, exported.outputs, job.about)
    require("onnx").checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    loaded, worst = OnnxPass(job.target, load_session(path), exported), 0.0
    for values in job.checks:
        want = _flat(exported.cell(*(Tensor(value) for value in values)))
        difference = _compare(_flat(loaded(*(Tensor(value) for value in values))), want)
        if not difference <= job.tolerance:
            raise UserError(
                f"ONNX Runtime's result for {exported.name} differs from the network's by {difference:.1e} of its "
                f"largest value, more than {job.tolerance:.0e}: nothing was written"
            )
        worst = max(worst, difference)
    return f"opset {OPSET}, largest difference to the network {worst:.1e} (allowed {job.tolerance:.0e}) on {_what(job)}"


# -- comparing --------------------------------------------------------------------------------------------------


def _flat(results: Any) -> list[np.ndarray]:
    if isinstance(results, (tuple, list)):
        return [leaf for item in results for leaf in _flat(item)]
    return [results.asnumpy()]


def _compare(got: Sequence[np.ndarray], want: Sequence[np.ndarray]) -> float:
    """The largest difference of all results, each relative to its largest value where that is above 1."""
    worst = 0.0
    for a, b in zip(got, want, strict=True):
        if a.shape != b.shape or not np.isfinite(b).all():
            return float("inf")
        scale = max(1.0, float(np.abs(b).max(initial=0.0)))
        # numpy's maximum keeps a NaN, Python's may drop it
        worst = float(np.maximum(worst, np.abs(a.astype(np.float64) - b).max(initial=0.0) / scale))
    return worst


def _what(job: _Job) -> str:
    shapes = [
        "x".join(map(str, value.shape))
        for values in job.checks
        for port, value in zip(job.exported.inputs, values, strict=True)
        if port.shape[0] == "batch"
    ]
    return "inputs of " + ", ".join(dict.fromkeys(shapes))
