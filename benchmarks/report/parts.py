"""The parts of a report, and running one so that nothing it does ends the report."""

__all__ = ["Part", "parts_of", "run_part"]

import contextlib
import glob
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.ascend.compiler import on_host, read_kernels

ROOT = Path(__file__).resolve().parents[2]
MODES = ("512p", "512p_feat", "1024p", "1024p_feat")
_LAST = 2000


@dataclass(frozen=True)
class Part:
    """One thing to find out.

    Attributes:
        name: what it is called in the report.
        module: the module of this package, or of another with dots, whose ``measure(**settings)`` returns what was
            found, as JSON takes it.
        settings: what the module is told.
        timeout: seconds after which it has failed.
    """

    name: str
    module: str
    settings: dict[str, Any] = field(default_factory=dict)
    timeout: float = 1800.0


def parts_of(
    target: str, small: bool, steps: int, modes: Sequence[str], folder: Path, words: Sequence[str]
) -> list[Part]:
    """All parts of a report.

    Args:
        target: Ascend, GPU or CPU.
        small: networks of a few channels and small images, for a CPU.
        steps: timed steps of each mode.
        modes: modes of pix2pixHD to time.
        folder: where the parts leave files that belong to the report.
        words: options for every part that has some.
    """
    common = {"target": target, "words": list(words)}
    parts = [Part("versions", "versions", timeout=120), Part("precision", "precision", common)]
    parts += [
        Part(f"reference {path.name}", "reference", {"target": target, "folder": path.name})
        for path in sorted((ROOT / "tests" / "reference").iterdir())
    ]
    for mode in modes:
        parts.append(Part(f"steps {mode}", "timing", common | {"mode": mode, "small": small, "steps": steps}))
        parts.append(Part(f"simulated {mode}", "simulated", {"mode": mode, "small": small, "words": list(words)}))
    cards = (
        2 if target == "CPU" else len(glob.glob("/dev/davinci[0-9]*" if target == "Ascend" else "/dev/nvidia[0-9]*"))
    )
    parts += [
        Part(f"{count} workers", "workers", common | {"count": count, "folder": str(folder / f"workers_{count}")})
        for count in (2, 8)
        if count <= cards
    ]
    return [*parts, Part("trace", "trace", common | {"folder": str(folder / "trace")})]


def run_part(part: Part, target: str, logs: Path) -> dict[str, Any]:
    """Run a part in a process of its own, whose output goes to ``logs``.

    Returns:
        ``name``, ``passed``, ``seconds``, what was ``found``, the ``problem`` if there is one, and on Ascend the
        ``kernels`` by kind and the operators that fell back ``on_host``.
    """
    name = part.name.replace(" ", "_")
    log, answer = logs / f"{name}.txt", logs / f"{name}.json"
    environment = os.environ | {"PYTHON": sys.executable}
    if target == "Ascend":
        # the choice of kernels is logged at level 1 of this part
        environment |= {"GLOG_v": "2", "MS_SUBMODULE_LOG_v": "{DEVICE:1}", "GLOG_logtostderr": "1"}
    command = [sys.executable, "-m", "benchmarks.report.worker", part.module, json.dumps(part.settings), str(answer)]
    result: dict[str, Any] = {"name": part.name, "module": part.module, "passed": False}
    began = time.monotonic()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            status = process.wait(part.timeout)
            problem = f"ended with status {status}" if status else ""
        except subprocess.TimeoutExpired:
            problem = f"was not done within {part.timeout:.0f} s"
        finally:
            _end(process)
    result["seconds"] = round(time.monotonic() - began, 1)
    text = log.read_text(errors="replace")
    found = json.loads(answer.read_text()) if answer.is_file() else {}
    answer.unlink(missing_ok=True)
    problem = found.pop("problem", "") or problem
    if problem:
        result["problem"] = problem
        if not found:
            result["last_words"] = text[-_LAST:]
    result |= {"found": found, "passed": not problem}
    if target == "Ascend":
        result |= {"kernels": read_kernels(text), "on_host": on_host(text)}
    return result


def _end(process: subprocess.Popen) -> None:
    """End a part with everything that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
