"""Logs of runs that took long."""

import json
from pathlib import Path


def write_long_log(folder: Path, count: int, start: int = 1) -> None:
    """Append what a run records in the steps from ``start`` to ``count``, one epoch of 1000 steps after the other."""
    folder.mkdir(exist_ok=True)
    extra = {
        "time": 0.12,
        "learning_rate": 2e-4,
        "samples_per_second": 8.3,
        "memory_gib": 12.5,
        "lr/G": 2e-4,
        "lr/D": 2e-4,
    }
    with (
        open(folder / "log.jsonl", "a", encoding="utf-8") as log,
        open(folder / "loss_log.txt", "a", encoding="utf-8") as text,
    ):
        for step in range(start, count + 1):
            epoch, iteration = 1 + (step - 1) // 1000, 1 + (step - 1) % 1000
            values = {"G_GAN": 1.0 + step / count, "G_GAN_Feat": 8.0, "D_real": 0.5, "D_fake": 1 / step}
            record = {"step": step, "epoch": epoch, "iteration": iteration, "at": 1e9 + step, "values": values}
            log.write(json.dumps(record | {"extra": extra}) + "\n")
            losses = " ".join(f"{name}: {value:.3f}" for name, value in values.items())
            text.write(f"(epoch: {epoch}, iters: {iteration}, time: 0.120) {losses}\n")
