"""Compare Full-Glow with numbers of the published implementation."""

import ast
from pathlib import Path

import numpy as np
from mindspore import Tensor

from src.models.glow.likelihood import bits_per_dimension
from src.systems.glow.inputs import NO_BOUNDARY
from tests.reference_checks._flows import build_system, check_training


def check(folder: Path, io: dict[str, np.ndarray], options: str, report) -> None:
    """Compare every quantity of ``folder``; ``report(name, got, want, atol=, rtol=)`` collects the verdicts."""
    published = ast.literal_eval(str(options))
    # pixels have 256 levels here, whatever they are trained on
    assert published.pop("n_bits") == 8
    system = build_system("fullglow", folder, **published)
    x_a, x_b = io["x_a"] + io["noise_a"], io["x_b"] + io["noise_b"]
    boundary = io.get("boundary", NO_BOUNDARY)
    inputs = [x_a, x_b, boundary]
    log_p_a, logdet_a, log_p_b, logdet_b, latents = system.network(*(Tensor(x) for x in inputs))
    report("log_p_left", log_p_a.asnumpy(), io["log_p_left"], atol=0, rtol=1e-5)
    report("logdet_left", logdet_a.asnumpy(), io["logdet_left"], atol=0, rtol=1e-5)
    report("log_p_right", log_p_b.asnumpy(), io["log_p_right"], atol=0, rtol=1e-5)
    # the published log-determinants of conditional actnorms and mixings are means over the batch
    report("logdet_right", logdet_b.asnumpy().mean(), io["logdet_right"].mean(), atol=0, rtol=1e-5)
    bits_a = bits_per_dimension(log_p_a + logdet_a, x_a[0].size)
    bits_b = bits_per_dimension(log_p_b + logdet_b, x_b[0].size)
    report("bpd_left", bits_a.asnumpy().mean(), io["bpd_left"], atol=0, rtol=1e-5)
    report("bpd_right", bits_b.asnumpy().mean(), io["bpd_right"], atol=0, rtol=1e-5)
    latents = [z.asnumpy() for z in latents]
    for level, z in enumerate(latents):
        report(f"z_right_{level}", z, io[f"z_right_{level}"], atol=1e-4)
    eps = [io[f"eps_{level}"] for level in range(len(latents))]
    report("sample", system.synthesise(io["x_a"], eps, False, boundary), io["sample"], atol=1e-4)
    report("round trip", system.synthesise(x_a, latents, True, boundary), x_b, atol=1e-3)
    check_training(system, inputs, io, io["loss_history"], report)
