"""Seconds to save and to load a full-size checkpoint: ``python benchmarks/checkpoints.py [--megabytes 2200]``."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
import numpy as np

from src.runs.checkpoints import CheckpointStore, Position


def main() -> None:
    """Write and read back one third of the bytes as a network, two thirds as optimizer state."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=2200, help="size of a checkpoint")
    parser.add_argument("--folder", default=None, help="where to write (default: the system's temporary folder)")
    options = parser.parse_args()
    values = options.megabytes * 250_000 // 3
    rng = np.random.default_rng(0)
    network = {f"model.{i}.weight": rng.standard_normal(values // 8, np.float32) for i in range(8)}
    state = {f"moment{k}.{name}": array for k in (1, 2) for name, array in network.items()}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        store = CheckpointStore(folder)
        began = time.perf_counter()
        store.save(Position(1, 0), {"G": network}, state, {}, "pix2pixHD")
        saved = time.perf_counter()
        store.load()
        loaded = time.perf_counter()
    print(f"{options.megabytes} MB: saved in {saved - began:.1f} s, loaded and verified in {loaded - saved:.1f} s")


if __name__ == "__main__":
    main()
