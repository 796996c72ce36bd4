"""Milliseconds a picture and peak memory: MindSpore's graph mode, PyNative and ONNX Runtime side by side.

    python benchmarks/inference.py [--systems pix2pixHD,cyclegan] [--runtimes graph,pynative,onnx] [--height 128]
        [--width 256] [--repeat 5] [--size small] [--key value ...]

For every system one pass with weights as they are drawn: the generator, or sampling for the flows. A run and its ONNX
files are written to a temporary folder first; every measurement then has a process of its own. Printed are the best
and the median of the repetitions on the clock, the processor time of the best (all threads together, so that other
work on the machine counts for less), the first call, which in graph mode compiles, and the peak of the process's
resident memory. ONNX Runtime is measured without MindSpore in the process, on the CPU. ``--size full`` takes each
preset as it is; further options are those of eval.py and hold for every system that has them.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

_FLOW = {"img_size": "[64,128]", "n_block": 2, "n_flow": "[4]"}
#: name to preset, the pass that is measured, and the options that make it small
SYSTEMS = {
    "pix2pixHD": ("", "G", {"ngf": 16, "n_downsample_global": 3, "n_blocks_global": 4}),
    "pix2pixHD_local": (
        "configs/pix2pixhd_1024p.yaml",
        "G",
        {"ngf": 8, "n_downsample_global": 3, "n_blocks_global": 4},
    ),
    "cyclegan": ("configs/cyclegan.yaml", "G_AB", {"ngf": 16, "n_residual_blocks": 6}),
    "cut": ("configs/cut.yaml", "G", {"ngf": 16, "n_residual_blocks": 6}),
    "hierarchyflow": ("configs/hierarchyflow.yaml", "HF", {}),
    "fullglow": ("configs/fullglow_streets.yaml", "sample", _FLOW | {"coupling_filters": 64}),
    "cglow": ("configs/cglow.yaml", "sample", _FLOW | {"x_hidden_channels": 16, "y_hidden_channels": 32}),
    "dualglow": ("configs/dualglow.yaml", "sample", _FLOW | {"coupling_filters": 64}),
    "hflow": ("configs/hflow_tiny.yaml", "sample", {}),
}
RUNTIMES = ("graph", "pynative", "onnx")


def main(argv: list[str]) -> int:
    """Measure everything that is asked for and print a table."""
    if argv[:1] == ["--case"]:
        print(json.dumps(_measure(**json.loads(argv[1]))))
        return 0
    import src  # noqa: F401  (sets the environment before MindSpore is imported)
    from src.options.command_line import parse_words
    from src.utils.errors import UserError

    options = parse_words(argv)
    own = {"systems": ",".join(SYSTEMS), "runtimes": ",".join(RUNTIMES), "height": 128, "width": 256}
    own |= {"repeat": 5, "size": "small"}
    own = {key: options.pop(key, value) for key, value in own.items()}
    for kind, known in (("systems", SYSTEMS), ("runtimes", RUNTIMES)):
        for name in own[kind].split(","):
            if name not in known:
                raise UserError(f"--{kind} {name} is not one of {', '.join(known)}")
    print(
        f"{'system':16} {'runtime':9} {'best ms':>9} {'median ms':>9} {'cpu ms':>9} {'first s':>8} {'peak GiB':>8}  "
        "convolutions"
    )
    for name in own["systems"].split(","):
        with tempfile.TemporaryDirectory() as folder:
            _prepare(name, Path(folder), options, own)
            for runtime in own["runtimes"].split(","):
                found = _in_a_process(folder=folder, name=name, runtime=runtime, repeat=int(own["repeat"]))
                print(
                    f"{name:16} {runtime:9} {found['best']:9.1f} {found['median']:9.1f} {found['cpu']:9.1f} "
                    f"{found['first']:8.2f} {found['peak']:8.2f}  {found['conv_precision']}",
                    flush=True,
                )
    return 0


def _in_a_process(**case) -> dict:
    words = [sys.executable, os.path.abspath(__file__), "--case", json.dumps(case)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout[-1000:] + done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def _prepare(name: str, folder: Path, options: dict, own: dict) -> None:
    """Write a run, the ONNX file of the measured pass, and its inputs."""
    import numpy as np

    from src.export.write import export_system
    from src.models.parameters import state_arrays
    from src.runs.checkpoints import CheckpointStore, Position
    from src.systems.programs import load_config
    from src.systems.registry import create_system
    from src.utils.runtime import start

    preset, measured, small = SYSTEMS[name]
    chosen = (small if own["size"] == "small" else {}) | {"device_target": "CPU"}
    known = load_config([], preset or None)
    chosen |= {key: value for key, value in options.items() if key in known}
    words = [f"--{key}={value}" for key, value in chosen.items()]
    config = load_config(words, preset or None)
    start(config, say=lambda text: None)
    system = create_system(config, training=False)
    if "condition_nc" in config:
        rng = np.random.default_rng(0)
        channels = {"condition": config.condition_nc, "image": config.image_nc}
        batch = {n: rng.uniform(-1, 1, (2, c, *config.img_size)).astype(np.float32) for n, c in channels.items()}
        batch["boundary"] = np.zeros((2, 3, *config.img_size), np.float32)
        system.objective(tuple(config.img_size)).initialise(batch)
    networks = {network: state_arrays(cell) for network, cell in system.networks.items()}
    CheckpointStore(folder / "run").save(Position(1), networks, {}, config.to_dict(), config.model)
    again = [*words, f"--load_ckpt={folder / 'run'}"]
    if any(p.any_size for p in system.passes()):
        again += [f"--height={own['height']}", f"--width={own['width']}"]
    model = _opened(again, preset)
    # only what is measured
    chosen_pass = next(p for p in model.system.passes() if p.name == measured)
    model.system.passes = lambda: (chosen_pass,)
    export_system(model.system, model.config, folder / "net", model.tag, {}, lambda text: None)
    from src.export.inputs import input_values

    sizes = {s: int(own[s.rpartition("_")[2]]) for p in chosen_pass.inputs for s in p.shape if isinstance(s, str)
             and s != "batch"}  # fmt: skip
    values = input_values(chosen_pass, sizes, 1, {})
    np.savez(folder / "inputs.npz", **{p.name: v for p, v in zip(chosen_pass.inputs, values, strict=True)})
    (folder / "command.json").write_text(json.dumps([again, preset]))


def _opened(words: list[str], preset: str):
    from src.inference.opening import open_model
    from src.systems.programs import load_config
    from src.systems.registry import find_system

    command = load_config(words, preset or None)
    return open_model(command, find_system(command.model).load(), say=lambda text: None)


def _measure(folder: str, name: str, runtime: str, repeat: int) -> dict:
    call = _onnx_call(Path(folder)) if runtime == "onnx" else _mindspore_call(Path(folder), name, runtime)
    clock, processor = [], []
    for _ in range(repeat + 1):
        began, began_cpu = time.perf_counter(), time.process_time()
        call()
        clock.append(time.perf_counter() - began)
        processor.append(time.process_time() - began_cpu)
    later = sorted(clock[1:])
    from src.utils.arithmetic import conv_precision

    return {
        "first": clock[0],
        "best": 1e3 * later[0],
        "median": 1e3 * later[len(later) // 2],
        "cpu": 1e3 * min(processor[1:]),
        "peak": _peak_gib(),
        # ONNX Runtime runs on the CPU, whose convolutions are exact
        "conv_precision": conv_precision(),
    }


def _peak_gib() -> float:
    """Peak resident memory of this program; what getrusage says holds that of the process it was started from, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20


def _onnx_call(folder: Path):
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(str(next(folder.glob("*.onnx"))), providers=["CPUExecutionProvider"])
    values = dict(np.load(folder / "inputs.npz", allow_pickle=False))
    given = {port.name: values[port.name] for port in session.get_inputs()}
    return lambda: session.run(None, given)


def _mindspore_call(folder: Path, name: str, mode: str):
    import numpy as np
    from mindspore import Tensor

    import src  # noqa: F401

    words, preset = json.loads((folder / "command.json").read_text())
    model = _opened([*words, f"--mode={mode}"], preset)
    measured = next(p for p in model.system.passes() if p.name == SYSTEMS[name][1])
    tensors = [Tensor(value) for value in np.load(folder / "inputs.npz", allow_pickle=False).values()]

    def call() -> None:
        results = measured.cell(*tensors)
        while isinstance(results, (tuple, list)):
            results = results[0]
        results.asnumpy()

    return call


if __name__ == "__main__":
    from src.utils.errors import run_command

    run_command(main)
