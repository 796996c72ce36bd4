"""The same training step in MindSpore's simulation: kernels and peak memory to compare with."""

__all__ = ["measure"]

from typing import Any

from benchmarks.ascend.compiler import compile_graph
from benchmarks.ascend.jobs import Job
from benchmarks.ascend.standins import prepare_cann
from benchmarks.report.presets import options_of_mode


def measure(mode: str, small: bool, words: list[str]) -> dict[str, Any]:
    """Peak memory, kernels by kind and the origin of these numbers."""
    options, size = options_of_mode(mode, small, words)
    report = compile_graph(Job("train", tuple(options), 1, size), prepare_cann())
    found: dict[str, Any] = {
        "origin": report.origin,
        "peak_gib": round(report.peak_gib, 2),
        "kernels": report.kernels,
        "compile_s": round(report.seconds, 1),
    }
    return found | ({"problem": "; ".join(report.problems)[:600]} if report.problems else {})
