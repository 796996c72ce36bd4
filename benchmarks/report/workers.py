"""Whether several workers are equal to each other, and to one with the joint batch."""

__all__ = ["measure"]

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.tiny_runs import make_streets, options_of

ROOT = Path(__file__).resolve().parents[2]
_STEPS = 3


def measure(target: str, words: list[str], count: int, folder: str) -> dict[str, Any]:
    """Train three steps of a tiny pix2pixHD with ``count`` workers and with one, in graph mode."""
    home = Path(folder)
    data = make_streets(home / "data", train=2 * count, test=0)
    options = options_of(
        data_root=data, instance_feat=True, serial_batches=True, no_flip=True, mode="graph", device_target=target
    )
    together, alone = home / "together", home / "alone"
    for place in (together, alone):
        place.mkdir()
    launch = f'source scripts/common.sh; launch {count} benchmarks/report/tiny_training.py "$@"'
    environment = os.environ | {"DEVICE_TARGET": target, "LOG_DIR": str(home / "log")}
    _run(
        ["bash", "-c", launch, "launch", str(together), str(_STEPS), "--run_distribute=True", *options, *words],
        environment,
    )
    program = str(Path(__file__).with_name("tiny_training.py"))
    _run([sys.executable, program, str(alone), str(_STEPS), f"--batch_size={count}", *options, *words], environment)
    first, one = _arrays(together, 0), _arrays(alone, 0)
    unequal = {
        name
        for worker in range(1, count)
        for name, array in _arrays(together, worker).items()
        if array.tobytes() != first[name].tobytes()
    }
    found: dict[str, Any] = {
        "workers": count,
        "steps": _STEPS,
        "arrays that differ between workers": sorted(unequal),
        "losses, largest relative difference from one worker": float(
            f"{np.max(np.abs(first['losses'] - one['losses']) / np.maximum(np.abs(one['losses']), 1e-6)):.2e}"
        ),
    }
    return found | ({"problem": f"{len(unequal)} arrays differ between workers"} if unequal else {})


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, errors="replace")
    print(done.stdout, done.stderr, flush=True)
    if done.returncode:
        raise RuntimeError(f"the workers ended with status {done.returncode}: {(done.stdout + done.stderr)[-400:]}")


def _arrays(folder: Path, worker: int) -> dict[str, np.ndarray]:
    with np.load(folder / f"worker{worker}.npz", allow_pickle=False) as archive:
        return dict(archive)
