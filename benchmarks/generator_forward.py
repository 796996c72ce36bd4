"""One forward pass of the full-size 1024p generator: seconds and peak memory.

``python benchmarks/generator_forward.py [--height 1024 --width 2048] [--mode graph] [--key value ...]``; further
options are those of eval.py, on top of configs/pix2pixhd_1024p.yaml.
"""

import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
import numpy as np

from benchmarks.own_options import read_own, words_of
from src.systems.programs import load_config


def main(argv: list[str]) -> None:
    """Translate one random label map twice; the first pass holds the compilation."""
    from src.systems.registry import create_system
    from src.utils.runtime import peak_memory_gib, start

    own, options = read_own(argv, {"height": "1024", "width": "2048"}, __doc__)
    height, width = int(own["height"]), int(own["width"])
    config = load_config(words_of(options), str(ROOT / "configs" / "pix2pixhd_1024p.yaml"))
    device = start(config)
    system = create_system(config, training=False)
    system.set_train(False)
    rng = np.random.default_rng(0)
    batch = {
        "label": rng.integers(0, config.label_nc, (1, 1, height, width)).astype(np.int32),
        "inst": rng.integers(0, 64, (1, 1, height, width)).astype(np.int32),
        "id": np.zeros(1, np.int32),
    }
    for attempt in ("first", "second"):
        began = time.perf_counter()
        system.translate(batch)
        seconds = time.perf_counter() - began
        print(
            f"{height}x{width}, {attempt} pass {seconds:.1f} s, peak memory {peak_memory_gib(device):.2f} GiB",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
