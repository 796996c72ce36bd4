"""What training and sampling with Full-Glow cost on the CPU, and how peak memory grows with depth.

    python benchmarks/flows.py [--side 64] [--width 64] [--batch 4] [--depths 8,32] [--mode pynative]
        [--memory store,recompute,reconstruct]

For every depth (steps of flow a block) and every way of the backward pass, in a process of its own: seconds a step,
on the clock and on the processor, and the peak of the process's resident memory during the steps, taken apart into

* the interpreter with MindSpore, before anything is built;
* what exists between steps: weights, Adam's two moments and the objects that hold them, measured after building;
* gradients, as large as the weights (computed);
* the rest: activations, what is kept for the backward pass, whatever operators need, and the allocator's losses.

The first three grow with depth whatever one does. The growth of the rest and that of all but the interpreter are
printed. Then seconds a sample, and what conditions cost in one pass and one after the other.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
import numpy as np

from src.utils.arithmetic import conv_precision
from src.utils.errors import run_command

_MEMORY = ("store", "recompute", "reconstruct")
_BLOCKS = 2


def parse(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=64, help="pixels a side")
    parser.add_argument("--width", type=int, default=64, help="channels inside the coupling networks")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--conditions", type=int, default=4, help="conditions that are sampled together")
    parser.add_argument("--steps", type=int, default=2, help="timed steps after the first")
    parser.add_argument("--depths", default="8,32", help="steps of flow a block, with commas")
    parser.add_argument("--memory", default=",".join(_MEMORY), help="ways of the backward pass, with commas")
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
        f"{options.mode} mode, float32, convolutions {conv_precision()}, "
        f"{os.cpu_count()} processors (load {os.getloadavg()[0]:.1f}); MB of memory"
    )
    print(
        f"{'backward':12} {'flows':>5} {'s a step':>9} {'processor':>9} {'peak':>6} = interpreter + between + ", end=""
    )
    print("gradients + rest", flush=True)
    for memory in options.memory.split(","):
        rows = []
        for depth in depths:
            row = _in_own_process(argv, f"train:{memory}:{depth}")
            rows.append(row)
            print(
                f"{memory:12} {depth:5} {row['seconds']:9.2f} {row['processor']:9.2f} {row['peak']:6.0f} = "
                f"{row['base']:11.0f} + {row['state']:7.0f} + {row['gradients']:9.0f} + {row['rest']:4.0f}",
                flush=True,
            )
        shallow, deep = rows[0], rows[-1]
        whole = (deep["peak"] - deep["base"]) / (shallow["peak"] - shallow["base"])
        print(
            f"{memory:12} {depths[-1]} flows against {depths[0]}: the rest grows by "
            f"{deep['rest'] / shallow['rest']:.2f}, everything but the interpreter by {whole:.2f}",
            flush=True,
        )
    row = _in_own_process(argv, f"sample:store:{depths[0]}")
    print(
        f"sampling, {depths[0]} flows a block: {row['one']:.3f} s for one condition, {row['together']:.3f} s for "
        f"{options.conditions} in one pass, {row['apart']:.3f} s one after the other"
    )
    return 0


def _in_own_process(argv: list[str], case: str) -> dict[str, float]:
    command = [sys.executable, __file__, *argv, "--case", case]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{case} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _resident(what: str = "VmRSS") -> float:
    """MB of this process in memory now, or with ``VmHWM`` the most since :func:`_forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) / 1024


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _measure(options: argparse.Namespace) -> dict[str, float]:
    import mindspore as ms
    from mindspore import Tensor, ops

    from benchmarks.steps import compile_seconds
    from src.contracts.objective import UpdateGroup
    from src.models.glow.fullglow import FullGlow
    from src.models.parameters import named_parameters
    from src.systems.glow.inputs import NO_BOUNDARY
    from src.systems.glow.objective import FlowGradients, FlowLoss
    from src.training.steps import TrainStep

    ms.set_device("CPU")
    ms.set_context(mode=ms.GRAPH_MODE if options.mode == "graph" else ms.PYNATIVE_MODE)
    if options.mode == "pynative":
        ms.runtime.launch_blocking()
    task, memory, depth = options.case.split(":")
    size = (options.side, options.side)
    rng = np.random.default_rng(0)
    count = options.conditions if task == "sample" else options.batch
    x_a, x_b = (rng.random((count, 3, *size), np.float32) for _ in "ab")
    base = _resident()
    network = FullGlow(size, [int(depth)] * _BLOCKS, width=options.width, memory=memory)
    if task == "sample":
        network.initialise(Tensor(x_a), Tensor(x_b))
        return _time_sampling(network, x_a, options.steps)
    trained = {n: p for n, p in named_parameters(network).items() if p.requires_grad}
    groups = (UpdateGroup("glow", trained, 1e-4),)
    step = TrainStep(FlowGradients(FlowLoss(network, 1e-4), groups), groups)
    for parameter in step.optimizers[0].get_parameters():
        # what nobody has written yet is in no memory
        ops.assign(parameter, parameter.value())
    state = _resident() - base
    network.initialise(Tensor(x_a), Tensor(x_b))
    inputs = [Tensor(x) for x in (x_a, x_b, NO_BOUNDARY)]
    _forget_peak()
    began = time.perf_counter()
    step(*inputs)[0].asnumpy()
    first = time.perf_counter() - began
    times, processor = [], time.process_time()
    for _ in range(options.steps):
        began = time.perf_counter()
        step(*inputs)[0].asnumpy()
        times.append(time.perf_counter() - began)
    processor = time.process_time() - processor
    peak, gradient = _resident("VmHWM"), 4 * sum(p.size for p in trained.values()) / 2**20
    return {
        "seconds": sum(times) / options.steps,
        "median_ms": 1000 * float(np.median(times)),
        "compile_s": compile_seconds(first, float(np.median(times))),
        "peak_gib": peak / 1024,
        "processor": processor / options.steps,
        "peak": peak,
        "base": base,
        "state": state,
        "gradients": gradient,
        "rest": peak - base - state - gradient,
    }


def _time_sampling(network, conditions: np.ndarray, repeats: int) -> dict[str, float]:
    from mindspore import Tensor

    from src.models.glow.directions import Decode
    from src.systems.glow.inputs import NO_BOUNDARY

    decode, rng = Decode(network), np.random.default_rng(0)
    boundary, noise_only = Tensor(NO_BOUNDARY), Tensor(np.zeros(network.n_block, np.float32))

    def sample(x: np.ndarray) -> np.ndarray:
        noise = (0.7 * rng.standard_normal((len(x), *shape), np.float32) for shape in network.latent_shapes)
        return decode(Tensor(x), boundary, noise_only, *map(Tensor, noise)).asnumpy()

    def seconds(batches: list[np.ndarray]) -> float:
        sample(batches[0])
        began = time.perf_counter()
        for _ in range(repeats):
            for x in batches:
                sample(x)
        return (time.perf_counter() - began) / repeats

    singly = list(np.split(conditions, len(conditions)))
    return {"one": seconds(singly[:1]), "together": seconds([conditions]), "apart": seconds(singly)}


if __name__ == "__main__":
    run_command(main)
