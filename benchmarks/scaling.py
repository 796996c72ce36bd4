"""Samples a second with 1 and with 2 workers on this machine's CPU: ``python benchmarks/scaling.py [--key value ...]``.

Both trainings go through the scripts that users type, on procedural street scenes. Workers share one machine's
cores, so this shows what averaging gradients costs, not what devices gain.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)

from src.runs.checkpoint_reader import newest_options
from src.scenes.scenes import write_scenes
from src.runs.log import read_log

_SMALL = ["--ngf", "16", "--ndf", "16", "--n_blocks_global", "3", "--n_downsample_global", "3", "--no_vgg_loss", "True"]
_SHORT = ["--niter", "2", "--niter_decay", "0", "--print_freq", "8", "--load_size", "256", "--no_html", "True"]


def main(argv: list[str]) -> None:
    """Train two epochs with each number of workers and print their speed without the first lines."""
    environment = os.environ | {"DEVICE_TARGET": "CPU", "PYTHON": sys.executable}
    with tempfile.TemporaryDirectory() as scratch:
        write_scenes(Path(scratch) / "scenes", "train", 32, 256, 128, seed=0)
        for workers in (1, 2):
            script = ["train_512p.sh"] if workers == 1 else ["distribute_train_512p.sh", str(workers)]
            own = ["--data_root", f"{scratch}/scenes", "--name", f"workers{workers}", *_SMALL, *_SHORT, *argv]
            command = ["bash", str(ROOT / "scripts" / script[0]), *script[1:], *own]
            done = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{workers} workers failed:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
            run = Path(scratch) / "checkpoints" / f"workers{workers}"
            records = read_log(run / "log.jsonl")
            # the first lines hold the compilation
            speeds = sorted(record["extra"]["samples_per_second"] for record in records[2:])
            row = {"workers": workers, "samples_per_second": round(speeds[len(speeds) // 2], 2)}
            print(json.dumps(row | {"conv_precision": newest_options(run)["conv_precision"]}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
