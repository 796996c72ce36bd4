"""What the comparisons of the conditional flows share."""

__all__ = ["build_system", "check_training"]

from pathlib import Path

import numpy as np
from mindspore import Tensor

from src.models.parameters import load_arrays, named_parameters
from src.systems.glow.flow import FlowSystem
from src.systems.programs import load_config
from src.systems.registry import create_system
from src.training.steps import TrainStep
from src.utils.pth import read_pth
from tests.reference_checks.gradients import gradient_norms


def build_system(name: str, folder: Path, **options) -> FlowSystem:
    """A system with the published weights of ``folder``."""
    words = [f"--{key}={list(value) if isinstance(value, tuple) else value}" for key, value in options.items()]
    system = create_system(load_config([f"--model={name}", *words]))
    arrays = system.published.names("glow", read_pth(folder / "model.pth"))
    load_arrays(system.network, arrays, source=f"{folder}/model.pth")
    return system


def check_training(system: FlowSystem, inputs: list[np.ndarray], io: dict, history: np.ndarray, report) -> None:
    """Gradient norms of the first backward pass, and the losses of the published training steps."""
    objective = system.objective(system.network.size)
    groups = objective.groups(1)
    step, tensors = TrainStep(objective.gradients(groups), groups), [Tensor(x) for x in inputs]
    losses = [step(*tensors)[0].asnumpy()]
    (network,) = system.networks
    norms = dict(zip(named_parameters(system.network), gradient_norms(system, network, step), strict=True))
    wanted = dict(zip(io["param_names"].tolist(), io["grad_norms"], strict=True))
    # -1 marks what has no gradient at all, and below 1e-5 there is nothing but rounding
    meaningful = [name for name, norm in wanted.items() if norm > 1e-5]
    report(
        "grad_norms",
        np.array([norms[name] for name in meaningful]),
        np.array([wanted[name] for name in meaningful]),
        atol=0,
        rtol=1e-3,
    )
    idle = [norms.get(name, 0.0) for name in wanted if name not in meaningful]
    report("grad_norms of idle parameters", np.array([0.0, *idle]), np.zeros(len(idle) + 1), atol=2e-5)
    losses += [step(*tensors)[0].asnumpy() for _ in history[1:]]
    for i, want in enumerate(history):
        for j, name in enumerate(objective.loss_names):
            report(f"step {i} {name}", losses[i][j], want[j], atol=0, rtol=1e-4 if i == 0 else 1e-3)
