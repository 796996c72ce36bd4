"""One set of published numbers, computed on the device in both modes."""

__all__ = ["measure", "read_lines"]

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_LINE = re.compile(r"^  (.+?)\s+(?:error (\S+)\s+tolerance (\S+)|(shape .+?))\s+(?:\(of .*\)\s+)?(ok|FAIL)$")


def measure(target: str, folder: str) -> dict[str, Any]:
    """Error, tolerance and verdict of every quantity, by mode; the problem names those that fail."""
    path = ROOT / "tests" / "reference" / folder
    command = [sys.executable, str(ROOT / "tests" / "check_reference.py"), str(path), "--device_target", target]
    found: dict[str, Any] = {}
    problems = []
    for mode in ("pynative", "graph"):
        done = subprocess.run([*command, "--mode", mode], capture_output=True, text=True, errors="replace")
        # all of it: on Ascend the choice of kernels is read from it
        print(done.stdout, done.stderr, flush=True)
        found[mode] = read_lines(done.stdout)
        failed = [row["quantity"] for row in found[mode] if row["verdict"] != "ok"]
        if failed:
            problems.append(f"{mode}: {', '.join(failed)} beyond the tolerance")
        elif done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
            problems.append(f"{mode}: status {done.returncode}, {lines[-1][:300]}")
    return found | ({"problem": "; ".join(problems)} if problems else {})


def read_lines(text: str) -> list[dict[str, str]]:
    """The lines that ``check_reference.py`` prints for quantities."""
    rows = []
    for line in text.splitlines():
        match = _LINE.match(line)
        if match:
            name, error, tolerance, words, verdict = match.groups()
            rows.append({"quantity": name, "error": error or words, "tolerance": tolerance or "", "verdict": verdict})
    return rows
