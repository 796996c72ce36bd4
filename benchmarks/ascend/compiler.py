"""Run one compilation in a process of its own and read from MindSpore's log what it chose."""

__all__ = ["Operator", "Report", "compile_graph", "on_host", "read_kernels"]

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.ascend.graphs import PASS, Kernel, read_graph
from benchmarks.ascend.jobs import Job
from benchmarks.ascend.roofline import find_roof
from benchmarks.ascend.standins import Cann

ROOT = Path(__file__).resolve().parents[2]

_CHOSEN = re.compile(r"CollectOpSelectedType\] (\S+) select (\w+) kernel")
_COUNTS = re.compile(r"PrintOpSelectedNum\] ((?:\d+ )+)")
_NAMES = re.compile(r"Number of ([A-Z_, ]+_KERNEL)")
_ON_HOST = re.compile(r"node is (\S+) should backoff")
# MindSpore's words for where a kernel comes from, and ours
_KINDS = {"OPAPI_KERNEL": "aclnn", "ACL_KERNEL": "aclop", "HCCL_KERNEL": "hccl"}


class Operator(NamedTuple):
    """All kernels of one operator.

    Attributes:
        kind: aclnn, aclop, hccl, or other for views.
        number: how often it stands in the graphs.
        read_bytes, written_bytes, multiply_adds: of all of them (:mod:`benchmarks.ascend.graphs`).
        bound_ms: what they take at least on the chip of the job (:mod:`benchmarks.ascend.roofline`); None if unknown.
    """

    kind: str
    number: int
    read_bytes: int
    written_bytes: int
    multiply_adds: int
    bound_ms: float | None


@dataclass
class Report:
    """What became of a job.

    Attributes:
        job: what was compiled.
        origin: the sentence that goes with every number.
        problems: why it is no success; empty if it is one.
        kernels: how many kernels are of the kind aclnn, aclop, hccl or other.
        operators: what each operator of the final graphs costs.
        total: what they cost together, without views, which launch nothing.
        peak_gib: peak of the simulated device memory, weights included, operator workspace not.
        seconds: for compiling and one simulated run.
        processor_seconds: of these, what the thread that compiles has worked; on a busy host the others are waiting.
        conv_precision: what float32 convolutions compute in on that chip.
    """

    job: Job
    origin: str
    problems: list[str] = field(default_factory=list)
    kernels: dict[str, int] = field(default_factory=dict)
    operators: dict[str, Operator] = field(default_factory=dict)
    total: Operator | None = None
    peak_gib: float = 0.0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    conv_precision: str = ""

    @property
    def passed(self) -> bool:
        return not self.problems

    def to_dict(self) -> dict:
        operators = {name: operator._asdict() for name, operator in self.operators.items()}
        costs = self.total._asdict() if self.total else None
        return asdict(self) | {"operators": operators, "total": costs, "passed": self.passed}


def compile_graph(job: Job, cann: Cann, timeout: float = 4 * 3600) -> Report:
    """Compile ``job`` in MindSpore's simulation.

    An operator that Ascend does not have is a problem even where MindSpore would run it on the host instead, and so is
    a shape that is not known before the run.
    """
    report = Report(job, cann.words)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        environment = cann.environment(job.soc)
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        # kernel selection is logged at level 1 of this part, everything else only from warnings on
        environment |= {"GLOG_v": "2", "MS_SUBMODULE_LOG_v": "{DEVICE:1}", "GLOG_logtostderr": "1"}
        environment |= {"MS_DEV_SAVE_GRAPHS": "1", "MS_DEV_DUMP_IR_PASSES": PASS, "MS_DEV_SAVE_GRAPHS_PATH": scratch}
        for name in ("MS_WORKER_NUM", "MS_ROLE", "RANK_TABLE_FILE", "DEVICE_ID"):
            environment.pop(name, None)
        environment |= {"RANK_SIZE": str(job.cards), "RANK_ID": "0"} if job.cards > 1 else {}
        answer, log = folder / "answer.json", folder / "log.txt"
        command = [sys.executable, "-m", "benchmarks.ascend.worker", json.dumps(asdict(job)), str(answer)]
        with log.open("wb") as stream:
            try:
                status = subprocess.run(
                    command, cwd=folder, env=environment, stdout=stream, stderr=subprocess.STDOUT, timeout=timeout
                ).returncode
            except subprocess.TimeoutExpired:
                report.problems.append(f"not compiled within {timeout:.0f} s")
                return report
        text = log.read_text(errors="replace")
        result = json.loads(answer.read_text()) if answer.is_file() else {}
        _fill(report, result, status, text, folder)
    return report


def _fill(report: Report, result: dict, status: int, text: str, folder: Path) -> None:
    if not result:
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("[")]
        report.problems.append(f"the compiler ended with status {status}: {' '.join(lines[-3:])[:600]}")
    report.problems += [result[key] for key in ("mistake", "error") if key in result]
    compiled = text.partition("== compiling")[2]
    report.problems += [f"Ascend has no kernel for {node}" for node in on_host(compiled)]
    report.kernels = read_kernels(compiled)
    report.peak_gib = result.get("peak_bytes", 0) / 2**30
    report.conv_precision = result.get("conv_precision", "")
    report.seconds = result.get("seconds", 0.0)
    report.processor_seconds = result.get("processor_seconds", 0.0)
    kinds = dict(_CHOSEN.findall(text))
    # with several cards, every rank has a folder of its own
    graphs = [read_graph(path) for path in sorted(folder.rglob(f"{PASS}_*.ir"))]
    _count(report, [kernel for graph in graphs for kernel in graph], kinds)
    if report.passed and not report.kernels:
        report.problems.append("MindSpore's log names no kernel: this version words it in another way")
    if report.passed and not report.operators:
        report.problems.append(
            f"MindSpore printed no graph of kernels after {PASS}: this version words it in another way"
        )


def _count(report: Report, kernels: list[Kernel], kinds: dict[str, str]) -> None:
    """Fill in what the operators of a job and all of them together cost."""
    roof = find_roof(report.job.soc)

    def cost(kind: str, listed: list[Kernel]) -> Operator:
        read, written = sum(kernel.read for kernel in listed), sum(kernel.written for kernel in listed)
        products = sum(kernel.multiply_adds for kernel in listed)
        return Operator(kind, len(listed), read, written, products, roof.bound(listed) if roof else None)

    for name in sorted({kernel.operator for kernel in kernels}):
        report.operators[name] = cost(kinds.get(name, "other"), [one for one in kernels if one.operator == name])
    if kernels:
        report.total = cost("", [kernel for kernel in kernels if not kernel.is_view])


def on_host(log: str) -> list[str]:
    """Operators that the log says have no kernel on the device, so that the host computes them."""
    return sorted(set(_ON_HOST.findall(log)))


def read_kernels(log: str) -> dict[str, int]:
    """Numbers of kernels by kind, summed over all graphs that the log tells of."""
    names = [name.strip() for name in (_NAMES.search(log) or ["", ""])[1].split(",")]
    totals: Counter[str] = Counter()
    for line in _COUNTS.findall(log):
        for name, number in zip(names, line.split(), strict=False):
            totals[_KINDS.get(name, "other")] += int(number)
    return dict(totals)
