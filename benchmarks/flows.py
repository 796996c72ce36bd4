"""What training and sampling with Full-Glow cost on the CPU, and how peak memory grows with depth.

    python benchmarks/flows.py [--side 64] [--width 64] [--batch 4] [--depths 8,32] [--mode pynative]

For every depth (steps of flow a block) and every way of the backward pass: seconds a step, and the peak of
the process above what it took before its first step, weights and optimizer included and, apart from that,
left out: weights grow with depth whatever one does. Every case runs in a process of its own. Then seconds a
sample, and what four conditions cost in one pass and one after the other.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
import numpy as np

from src.utils.errors import run_command

_MEMORY = ("store", "recompute", "reconstruct")
_BLOCKS = 2


def parse(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=64, help="pixels a side")
    parser.add_argument("--width", type=int, default=64, help="channels inside the coupling networks")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=2, help="timed steps after the first")
    parser.add_argument("--depths", default="8,32", help="steps of flow a block, with commas")
    parser.add_argument("--mode", choices=("pynative", "graph"), default="pynative")
    parser.add_argument("--case", default="", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Measure one case, or start a process for each and print what they say."""
    options = parse(argv)
    if options.case:
        print(json.dumps(_measure(options)))
        return 0
    depths = [int(depth) for depth in options.depths.split(",")]
    print(
        f"Full-Glow {options.side}x{options.side}, {_BLOCKS} blocks, width {options.width}, batch {options.batch}, "
        f"{options.mode} mode"
    )
    peaks = {}
    for memory in _MEMORY:
        for depth in depths:
            row = _in_own_process(argv, f"train:{memory}:{depth}")
            peaks[memory, depth] = row["activations"]
            print(
                f"{memory:12} {depth:3} flows a block: {row['seconds']:6.2f} s a step, peak {row['total']:6.0f} MB, "
                f"of which weights, gradients and moments {row['weights']:5.0f} MB, rest {row['activations']:6.0f} MB",
                flush=True,
            )
        print(f"{memory:12} the rest grows by {peaks[memory, depths[-1]] / peaks[memory, depths[0]]:.2f}", flush=True)
    row = _in_own_process(argv, f"sample:store:{depths[0]}")
    print(
        f"sampling, {depths[0]} flows a block: {row['one']:.3f} s for one condition, {row['together']:.3f} s for "
        f"{options.batch} in one pass, {row['apart']:.3f} s one after the other"
    )
    return 0


def _in_own_process(argv: list[str], case: str) -> dict[str, float]:
    command = [sys.executable, __file__, *argv, "--case", case]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{case} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _measure(options: argparse.Namespace) -> dict[str, float]:
    import mindspore as ms
    from mindspore import Tensor

    from src.models.glow.fullglow import FullGlow
    from src.models.glow.losses import FlowGradients, FlowObjective
    from src.models.glow.runner import FlowRunner
    from src.models.state import count_parameters, named_parameters
    from src.models.system import UpdateGroup
    from src.training.steps import TrainStep

    ms.set_device("CPU")
    ms.set_context(mode=ms.GRAPH_MODE if options.mode == "graph" else ms.PYNATIVE_MODE)
    if options.mode == "pynative":
        ms.runtime.launch_blocking()
    task, memory, depth = options.case.split(":")
    size = (options.side, options.side)
    rng = np.random.default_rng(0)
    x_a, x_b = (rng.random((options.batch, 3, *size), np.float32) for _ in "ab")
    before = _peak()
    network = FullGlow(size, [int(depth)] * _BLOCKS, width=options.width, memory=memory)
    if task == "sample":
        return _time_sampling(FlowRunner(network), x_a, options.steps)
    network.initialise(Tensor(x_a), Tensor(x_b))
    trained = {n: p for n, p in named_parameters(network).items() if p.requires_grad}
    group = UpdateGroup("glow", trained, 1e-4)
    gradients = FlowGradients(FlowObjective(network, 1e-4), ms.ParameterTuple(list(trained.values())))
    step = TrainStep(gradients, (group,))
    inputs = [Tensor(x) for x in (x_a, x_b, np.zeros((1, 1, 1, 1), np.float32))]
    step(*inputs)[0].asnumpy()
    began = time.perf_counter()
    for _ in range(options.steps):
        step(*inputs)[0].asnumpy()
    seconds = (time.perf_counter() - began) / options.steps
    total = _peak() - before
    # the weights themselves, their gradients and two moments
    weights = 4 * 4 * count_parameters(network) / 2**20
    return {"seconds": seconds, "total": total, "weights": weights, "activations": total - weights}


def _time_sampling(runner, conditions: np.ndarray, repeats: int) -> dict[str, float]:
    def seconds(x: np.ndarray) -> float:
        noise = runner.noise([[i] for i in range(len(x))], 0.7)
        runner.decode(x, noise, False)
        began = time.perf_counter()
        for _ in range(repeats):
            runner.decode(x, noise, False)
        return (time.perf_counter() - began) / repeats

    one = seconds(conditions[:1])
    return {"one": one, "together": seconds(conditions), "apart": one * len(conditions)}


if __name__ == "__main__":
    run_command(main)
