"""What hflow costs: a step, samples and memory on this processor, and each preset's memory in the Ascend simulation.

    python benchmarks/hflow.py [--config_path configs/hflow_tiny.yaml] [--steps 10] [--mode graph] [--presets 128,256]
        [--key value ...]

Further options are those of train.py and hold for both parts. ``--presets ""`` leaves the simulation out, which
compiles four graphs of each preset for minutes (see docs/ascend.md). It knows memory but no time of steps: no NPU runs
anything there.
Every part runs in a process of its own, so that peaks do not add up.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
import numpy as np

from benchmarks.ascend.compiler import compile_graph
from benchmarks.ascend.jobs import Job, one_pass, training_size, training_step
from benchmarks.ascend.standins import prepare_cann
from benchmarks.own_options import read_own, words_of
from benchmarks.steps import compile_seconds
from benchmarks.train_step import machine
from src.systems.programs import load_config

_OWN = {"config_path": str(ROOT / "configs" / "hflow_tiny.yaml"), "steps": "10", "presets": "128,256", "child": ""}
_PARTS = {"step": "train", "sample": "sample", "encode": "encode"}


def main(argv: list[str]) -> None:
    """Measure on this processor, then compile every preset for Ascend."""
    own, options = read_own(argv, _OWN, __doc__)
    rest = words_of(options)
    words = ["--config_path", own["config_path"], "--device_target", "CPU", *rest]
    if own["child"]:
        print(json.dumps(_measure(own["child"], words, int(own["steps"]))))
        return
    config = load_config(words)
    side = config.resolutions[0]
    print(
        f"{Path(own['config_path']).stem}, {side}x{side}, batch {config.batch_size}, {config.mode} mode, "
        f"{config.precision}; {machine()}"
    )
    print(
        f"{'part':10} {'first s':>9} {'median ms':>10} {'min ms':>9} {'pictures/s':>11} {'peak GiB':>9}  convolutions"
    )
    for part in _PARTS:
        command = [sys.executable, __file__, "--child", part, "--steps", own["steps"], *words]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{part} failed:\n{done.stderr[-2000:]}")
        row = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{part:10} {row['first_s']:9.1f} {row['median_ms']:10.0f} {row['min_ms']:9.0f} "
            f"{1000 * config.batch_size / row['median_ms']:11.1f} {row['peak_gib']:9.2f}  "
            f"{row['conv_precision']}",
            flush=True,
        )
    if own["presets"]:
        _simulate(own["presets"].split(","), rest)


def _simulate(presets: list[str], rest: list[str]) -> None:
    cann = prepare_cann()
    print(f"{cann.words}, float32")
    print(f"{'preset':10} {'graph':18} {'batch':>5} {'kernels':>8} {'peak GiB':>9} {'compile s':>10}")
    for preset in presets:
        words = ("--config_path", str(ROOT / "configs" / f"hflow_{preset}.yaml"), *rest)
        batch = load_config(words).batch_size
        for graph, more in (("train", ()), ("train", ("--recompute", "True")), ("sample", ()), ("encode", ())):
            report = compile_graph(Job(graph, (*words, *more)), cann)
            name = f"{graph}{', recompute' if more else ''}"
            print(
                f"{preset:10} {name:18} {batch:5} {sum(report.kernels.values()):8} {report.peak_gib:9.2f} "
                f"{report.processor_seconds:10.0f}  {'; '.join(report.problems)}",
                flush=True,
            )


def _measure(part: str, words: list[str], steps: int) -> dict[str, Any]:
    from mindspore import Tensor

    from src.utils.runtime import peak_memory_gib, start

    config = load_config(words)
    device = start(config, lambda _: None)
    size = training_size(config)
    cell, arrays = training_step(config, size, 1) if part == "step" else one_pass(config, size, _PARTS[part])
    rng = np.random.default_rng(0)
    inputs = [Tensor(rng.uniform(-0.5, 0.5, array.shape).astype(array.dtype)) for array in arrays]
    seconds = []
    for _ in range(steps + 1):
        began = time.perf_counter()
        outputs = cell(*inputs)
        while isinstance(outputs, tuple):
            outputs = outputs[0]
        outputs.asnumpy()
        seconds.append(time.perf_counter() - began)
    return {
        "first_s": seconds[0],
        "compile_s": compile_seconds(seconds[0], float(np.median(seconds[1:]))),
        "median_ms": 1000 * float(np.median(seconds[1:])),
        "min_ms": 1000 * min(seconds[1:]),
        "peak_gib": peak_memory_gib(device),
        "conv_precision": device.conv_precision,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
