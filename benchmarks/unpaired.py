"""What unpaired translation costs: compile seconds, milliseconds a step and a translated picture, peak memory.

``python benchmarks/unpaired.py [--systems cyclegan,cut,hierarchyflow] [--height 128] [--width 256] [--steps 5]
[--key V]``

Every system and every part runs in a process of its own, so that peaks do not add up; further options are those of
train.py. Pictures are random and the VGG has random weights, which cost what real ones cost.
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

from benchmarks.own_options import read_own, words_of
from src.systems.programs import load_config


def main(argv: list[str]) -> None:
    """Run every part in a process of its own and print a table."""
    defaults = {"systems": "cyclegan,cut,hierarchyflow", "height": "128", "width": "256", "steps": "5", "child": ""}
    own, options = read_own(argv, defaults, __doc__)
    rest = words_of(options)
    size = int(own["height"]), int(own["width"])
    if own["child"]:
        system, part = own["child"].split(":")
        print(json.dumps(_measure(system, part, rest, *size, int(own["steps"]))))
        return
    print(f"{own['height']}x{own['width']}, {' '.join(rest) or 'default options'}")
    print(f"{'system':14} {'part':10} {'compile s':>10} {'median ms':>10} {'min ms':>9} {'peak GiB':>9}  convolutions")
    for system in own["systems"].split(","):
        for part in ("step", "translate"):
            words = [word for key in ("height", "width", "steps") for word in (f"--{key}", own[key])]
            command = [sys.executable, __file__, "--child", f"{system}:{part}", *words, *rest]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{system} {part} failed:\n{done.stderr[-2000:]}")
            row = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{system:14} {part:10} {row['compile_s']:10.1f} {row['median_ms']:10.0f} {row['min_ms']:9.0f} "
                f"{row['peak_gib']:9.2f}  {row['conv_precision']}",
                flush=True,
            )


def _measure(system: str, part: str, words: list[str], height: int, width: int, steps: int) -> dict[str, Any]:
    from mindspore import Tensor

    from benchmarks.steps import build_step, compile_seconds, with_random_features
    from src.systems.registry import create_system
    from src.utils.runtime import peak_memory_gib, start

    config = with_random_features(load_config(["--config_path", f"configs/{system}.yaml", *words]), Path())
    device = start(config, lambda _: None)
    trains = part == "step"
    model = create_system(config, training=trains)
    model.set_train(trains)
    rng = np.random.default_rng(0)
    shape = (config.batch_size if trains else 1, 3, height, width)
    batch = {name: rng.uniform(-1, 1, shape).astype(np.float32) for name in "AB"}
    if trains:
        step, arrays = build_step(model, batch, (height, width))
        inputs = [Tensor(array) for array in arrays]

        def run() -> None:
            step(*inputs)[0].asnumpy()
    else:
        if system == "cyclegan":
            del batch["B"]  # one direction is one picture

        def run() -> None:
            model.translate(batch)

    seconds = []
    for _ in range(steps + 1):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return {
        "compile_s": compile_seconds(seconds[0], float(np.median(seconds[1:]))),
        "median_ms": 1000 * float(np.median(seconds[1:])),
        "min_ms": 1000 * min(seconds[1:]),
        "peak_gib": peak_memory_gib(device),
        "conv_precision": device.conv_precision,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
