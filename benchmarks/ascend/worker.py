"""Compile one graph for Ascend in MindSpore's simulation. Started by :mod:`benchmarks.ascend.compiler`."""

import importlib  # noqa: I001  (src sets the environment before MindSpore is imported)
import json
import os
import sys
import time
from pathlib import Path

import src  # noqa: F401
import mindspore as ms
import numpy as np
from mindspore import Tensor

from benchmarks.ascend.jobs import Job, evaluation, one_pass, training_size, training_step
from benchmarks.ascend.standins import tell_soc
from benchmarks.steps import with_random_features
from src.systems.programs import load_config
from src.training.overflow import largest_number
from src.utils.arithmetic import conv_precision
from src.utils.errors import UserError
from src.utils.runtime import start


def main(job: Job, answer: Path) -> None:
    """Compile what ``job`` says, and write times, peak memory or the error to ``answer`` as JSON."""
    result = {}
    try:
        run = _prepare(job)
        result["conv_precision"] = conv_precision()
        print("== compiling", file=sys.stderr, flush=True)
        began, worked = time.perf_counter(), time.thread_time()
        run()
        result["seconds"] = time.perf_counter() - began
        result["processor_seconds"] = time.thread_time() - worked
        result["peak_bytes"] = ms.runtime.max_memory_allocated()
    except UserError as error:
        result["mistake"] = str(error)
    except Exception as error:  # noqa: BLE001  (whatever the compiler raises is the answer)
        lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("---")]
        result["error"] = f"{type(error).__name__}: {' '.join(lines[:2])[:600]}"
    print("== done", file=sys.stderr, flush=True)
    answer.write_text(json.dumps(result))


def _prepare(job: Job):
    """Build networks and inputs on the simulated device and return the function that compiles."""
    words = ["--device_target", "Ascend", "--mode", "graph", "--device_id", "0"]
    config = with_random_features(load_config([*words, *job.options]), Path())
    device = start(config, join=job.cards > 1)
    tell_soc()
    # the first operator starts the device
    (Tensor(np.zeros(1, np.float32)) + 1.0).asnumpy()
    _calm_pollers()
    size = job.size or training_size(config)
    if job.graph == "eval":
        return evaluation(config, size)
    if job.graph == "train":
        cell, arrays = training_step(config, size, device.world, largest_number(config.precision, device))
    elif ":" not in job.graph:
        cell, arrays = one_pass(config, size, job.graph)
    else:
        module, _, function = job.graph.partition(":")
        cell, arrays = getattr(importlib.import_module(module), function)()
    inputs = [Tensor(array) for array in arrays]

    def run() -> None:
        outputs = cell(*inputs)
        while isinstance(outputs, (tuple, list)):
            outputs = outputs[0]
        outputs.asnumpy()

    return run


def _calm_pollers() -> None:
    """Leave the processor to the compiler.

    The simulated device reports at once that nothing happened, and two of MindSpore's threads ask it without a pause:
    on a host with few cores they take most of the time.
    """
    own = os.getpid()

    def spent() -> dict[int, int]:
        tasks = Path("/proc/self/task").iterdir()
        return {int(task.name): int((task / "schedstat").read_text().split()[0]) for task in tasks}

    before = spent()
    time.sleep(0.5)
    for thread, now in spent().items():
        # nanoseconds; this thread slept
        if thread != own and now - before.get(thread, 0) > 5_000_000:
            os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))


if __name__ == "__main__":
    fields = json.loads(sys.argv[1])
    fields["options"] = tuple(fields["options"])
    fields["size"] = tuple(fields["size"]) if fields["size"] else None
    main(Job(**fields), Path(sys.argv[2]))
