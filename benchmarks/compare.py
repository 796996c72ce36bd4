"""Our side of every comparison of speed, as JSON, and another program's beside it, in turns.

    python benchmarks/compare.py [--rows label,feature,cyclegan,hierarchyflow,flow,flow_pynative,hflow] [--runs 5]
        [--steps 8] [--beside "COMMAND"] [--output results/compare.json] [--key value ...]

Every run is a process of its own. The command of ``--beside`` runs after each of ours, so that both sides see the same
machine; its last line is a JSON object with ``median_ms``, and the ratio of the medians over all runs is printed.
Further options go to the program of the row. Rows:

* ``label``, ``feature``: pix2pixHD at 128x256, ``ngf 32``, D, VGG19 with random weights and both Adams;
* ``cyclegan``, ``hierarchyflow``: their presets at 128x256;
* ``flow``, ``flow_pynative``: Full-Glow at 64x64, 2 blocks of 4 steps, couplings 512 wide, recomputation;
* ``hflow``: ``configs/hflow_streets.yaml``.

All with batch 1 but hflow's, in float32, in graph mode but ``flow_pynative``.
"""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.train_step import machine
from src.utils.errors import UserError, run_command
from src.utils.files import atomic_write

_PIX2PIXHD = ["train_step.py", "--ngf", "32", "--batch_size", "1"]
_FLOW = ["flows.py", "--side", "64", "--width", "512", "--batch", "1", "--case", "train:recompute:4"]
_ROWS = {
    "label": [*_PIX2PIXHD, "--child", "label"],
    "feature": [*_PIX2PIXHD, "--child", "feature", "--instance_feat", "True"],
    "cyclegan": ["unpaired.py", "--child", "cyclegan:step", "--batch_size", "1"],
    "hierarchyflow": ["unpaired.py", "--child", "hierarchyflow:step", "--batch_size", "1"],
    "flow": [*_FLOW, "--mode", "graph"],
    "flow_pynative": [*_FLOW, "--mode", "pynative"],
    "hflow": ["hflow.py", "--child", "step", "--config_path", str(ROOT / "configs" / "hflow_streets.yaml")],
}


def main(argv: list[str]) -> int:
    """Run each row ``--runs`` times, print medians, and write every figure after every run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(_ROWS))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--beside", default="", metavar="COMMAND")
    parser.add_argument("--output", type=Path, default=Path("results/compare.json"))
    options, rest = parser.parse_known_args(argv)
    rows = options.rows.split(",")
    if unknown := set(rows) - set(_ROWS):
        raise UserError(f"rows {', '.join(sorted(unknown))}: known are {', '.join(_ROWS)}")
    if options.beside and len(rows) > 1:
        raise UserError(f"--beside goes with one row, and rows are {options.rows}: name the one it belongs to")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"machine": machine(), "steps": options.steps, "rows": {}}
    for row in rows:
        ours: list[dict] = []
        theirs: list[dict] = []
        found["rows"][row] = {"ours": ours, "beside": theirs, "command": options.beside}
        for _ in range(options.runs):
            script, *words = _ROWS[row]
            command = [sys.executable, str(ROOT / "benchmarks" / script), *words, "--steps", str(options.steps), *rest]
            ours.append(_run(command))
            if options.beside:
                theirs.append(_run(shlex.split(options.beside)))
            atomic_write(options.output, json.dumps(found, indent=1).encode())
        print(f"{row:14} {_line('ours', ours)}", flush=True)
        if theirs:
            ratio = _median(ours, "median_ms") / _median(theirs, "median_ms")
            print(f"{'':14} {_line('beside', theirs)}; ratio {ratio:.2f}", flush=True)
    print(f"written to {options.output}")
    return 0


def _run(command: list[str]) -> dict[str, Any]:
    """What a program prints as its last line.

    Raises:
        UserError: it failed, or printed something else.
    """
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    try:
        result = json.loads(done.stdout.splitlines()[-1])
        float(result["median_ms"])
    except (IndexError, KeyError, TypeError, ValueError):
        raise UserError(
            f"{shlex.join(command)} ended with status {done.returncode}, and its last line is no JSON with median_ms: "
            f"{(done.stderr or done.stdout)[-600:].strip()}"
        ) from None
    return result


def _line(name: str, runs: list[dict]) -> str:
    times = ", ".join(f"{run['median_ms']:.0f}" for run in runs)
    parts = [f"{name:6} {_median(runs, 'median_ms'):.0f} ms a step ({times})"]
    for key, words in (("compile_s", "s to compile"), ("peak_gib", "GiB")):
        if key in runs[0]:
            parts.append(f"{_median(runs, key):.2f} {words}")
    return ", ".join(parts)


def _median(runs: list[dict], key: str) -> float:
    return median(run[key] for run in runs)


if __name__ == "__main__":
    run_command(main)
