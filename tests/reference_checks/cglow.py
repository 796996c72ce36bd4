"""Compare C-Glow with numbers of the published implementation."""

import ast
from pathlib import Path

import numpy as np

from tests.reference_checks._flows import build_system, check_training

_KEPT = ("x_hidden_size", "x_hidden_channels", "y_hidden_channels")


def check(folder: Path, io: dict[str, np.ndarray], options: str, report) -> None:
    """Compare every quantity of ``folder``; ``report(name, got, want, atol=, rtol=)`` collects the verdicts."""
    published = ast.literal_eval(str(options))
    system = build_system(
        "cglow",
        folder,
        img_size=published["y_size"][1:],
        n_block=published["num_levels"],
        n_flow=[published["flow_depth"]],
        cond_init="reference",
        **{name: published[name] for name in _KEPT},
    )
    x_a, x_b = io["x"], io["y"]
    _, bits, latents = system.analyse(x_a, x_b)
    report("bpd", bits, io["bpd"], atol=0, rtol=1e-5)
    # what flows on to the top is the last latent
    report("z", latents[-1], io["z"], atol=1e-4)
    report("round trip", system.synthesise(x_a, latents), x_b, atol=1e-3)
    inputs = [x_a, x_b, np.zeros((1, 1, 1, 1), np.float32)]
    check_training(system, inputs, io, io["loss_history"][:, None], report)
