"""Training steps of a mode on the device: seconds to compile, milliseconds a step, peak memory."""

__all__ = ["measure"]

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Tensor

from benchmarks.ascend.jobs import training_size, training_step
from benchmarks.report.presets import options_of_mode
from benchmarks.steps import with_random_features
from src.systems.programs import load_config
from src.utils.runtime import peak_memory_gib, start

_WARM_UP = 3


def measure(target: str, words: list[str], mode: str, small: bool, steps: int) -> dict[str, Any]:
    """Time ``steps`` steps, each with its losses read, after three that are not counted."""
    options, size = options_of_mode(mode, small, words)
    with tempfile.TemporaryDirectory() as scratch:
        config = with_random_features(load_config([f"--device_target={target}", *options]), Path(scratch))
        device = start(config)
        size = size or training_size(config)
        step, arrays = training_step(config, size, 1)
        inputs = [Tensor(array) for array in arrays]
        times = []
        for _ in range(1 + _WARM_UP + steps):
            began = time.perf_counter()
            losses = step(*inputs)[0].asnumpy()
            times.append(time.perf_counter() - began)
    timed = 1000 * np.array(times[1 + _WARM_UP :])
    found = {
        "height": size[0],
        "width": size[1],
        "batch": config.batch_size,
        "precision": config.precision,
        "compile_s": times[0],
        "median_ms": float(np.median(timed)),
        "least_ms": float(timed.min()),
        "most_ms": float(timed.max()),
        "peak_gib": peak_memory_gib(device),
    }
    found = {key: round(value, 2) if isinstance(value, float) else value for key, value in found.items()}
    if not np.isfinite(losses).all():
        found["problem"] = f"losses are not finite after {len(times)} steps: {losses.tolist()}"
    return found
