"""What one training step costs: compile seconds, milliseconds a step, peak memory, and the loader alone.

``python benchmarks/train_step.py [--modes label,feature] [--height 128 --width 256 --steps 10] [--key value ...]``

Every mode runs in a process of its own on procedural street scenes; further options are those of train.py. VGG19 has
random weights, which cost what the real ones cost.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
import numpy as np

from benchmarks.own_options import read_own, words_of
from src.systems.programs import load_config

_WARM_UP = 3
_SCENES = 16
_MODES = {"label": [], "feature": ["--instance_feat", "True"]}


def main(argv: list[str]) -> None:
    """Run the asked modes one after the other and print a table."""
    defaults = {"modes": "label,feature", "height": "128", "width": "256", "steps": "10", "child": ""}
    own, options = read_own(argv, defaults, __doc__)
    rest = words_of(options)
    if own["child"]:
        print(json.dumps(_measure(rest, int(own["height"]), int(own["width"]), int(own["steps"]))))
        return
    print(f"{own['height']}x{own['width']}, {' '.join(rest) or 'default options'}; {machine()}")
    print("mode        compile s   step ms    min ms  peak GiB  loader samples/s  loader/step  convolutions")
    medians = {}
    for mode in own["modes"].split(","):
        own_words = [word for key in ("height", "width", "steps") for word in (f"--{key}", own[key])]
        command = [sys.executable, __file__, "--child", mode, *own_words, *rest, *_MODES[mode]]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"mode {mode} failed:\n{done.stderr[-2000:]}")
        row = json.loads(done.stdout.splitlines()[-1])
        medians[mode] = row["median_ms"]
        faster = row["loader"] * row["median_ms"] / 1000
        print(
            f"{mode:10} {row['compile_s']:10.1f} {row['median_ms']:9.0f} {row['min_ms']:9.0f} {row['peak_gib']:9.2f} "
            f"{row['loader']:17.1f} {faster:11.1f}x  "
            f"{row['conv_precision']}",
            flush=True,
        )
    if {"label", "feature"} <= medians.keys():
        print(f"feature mode costs {medians['feature'] / medians['label']:.3f} times label-only")


def machine() -> str:
    """Processor, number of cores and version of MindSpore, as every table says them."""
    import os

    import mindspore as ms

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "CPU")
    return f"{name}, {os.cpu_count()} cores, MindSpore {ms.__version__}"


def _measure(words: list[str], height: int, width: int, steps: int) -> dict[str, Any]:
    from mindspore import Tensor

    from benchmarks.steps import build_step, compile_seconds, with_random_features
    from src.scenes.scenes import write_scenes
    from src.systems.registry import create_system
    from src.utils.runtime import peak_memory_gib, start

    with tempfile.TemporaryDirectory() as scratch:
        config = load_config([*words, "--data_root", f"{scratch}/scenes", "--load_size", str(width)])
        config = with_random_features(config, Path(scratch))
        device = start(config, say=_quiet)
        write_scenes(Path(config.data_root), "train", _SCENES, width, height, seed=0)
        system = create_system(config)
        data = system.data.open(system.request(config, training=True), config, "train")
        loader = _loader_speed(data)
        epochs = data.epochs(1)
        _, batches = next(epochs)
        step, arrays = build_step(system, next(iter(batches)), data.size)
        inputs = [Tensor(array) for array in arrays]
        began = time.perf_counter()
        step(*inputs)[0].asnumpy()
        first = time.perf_counter() - began
        times = []
        for _ in range(_WARM_UP + steps):
            began = time.perf_counter()
            step(*inputs)[0].asnumpy()
            times.append(1000 * (time.perf_counter() - began))
        times = times[_WARM_UP:]
        median = float(np.median(times))
        return {
            "compile_s": compile_seconds(first, median / 1000),
            "median_ms": median,
            "min_ms": min(times),
            "peak_gib": peak_memory_gib(device),
            "conv_precision": device.conv_precision,
            "loader": loader,
        }


def _loader_speed(data) -> float:
    """Samples a second of the loader alone, over some epochs after the first."""
    epochs = 6
    for epoch, batches in data.epochs(epochs):
        if epoch == 1:
            began = time.perf_counter()
        for _ in batches:
            pass
    return (epochs - 1) * data.steps_per_epoch * data.batch_size / (time.perf_counter() - began)


def _quiet(text: str) -> None:
    pass


if __name__ == "__main__":
    main(sys.argv[1:])
