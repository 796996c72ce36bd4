"""Compare CycleGAN with numbers of the published huggan implementation."""

import ast
from pathlib import Path

import numpy as np
from mindspore import Tensor

from src.models.parameters import load_arrays
from src.systems.cyclegan.system import CycleGAN
from src.systems.programs import TRAIN, read_command
from src.training.steps import TrainStep
from src.utils.weights import read_weights
from tests.reference_checks.gradients import gradient_norms
from tests.reference_checks.twins import check_training, restart, weights_of

# our word for each published option
_NAMES = {"base_channels": "ngf"}


def check(folder: Path, io: dict[str, np.ndarray], options: str, report) -> None:
    """Compare every quantity of ``folder``; ``report(name, got, want, atol=, rtol=)`` collects verdicts."""
    published = {k: v for k, v in ast.literal_eval(str(options)).items() if k != "replay_buffer"}
    words = [f"--{_NAMES.get(k, k)}={v}" for k, v in published.items()]
    _, config = read_command(TRAIN, ["--model=cyclegan", f"--ndf={published['base_channels']}", *words])
    system = CycleGAN(config, training=True)
    for network, cell in system.networks.items():
        path = folder / f"{network}.pth"
        load_arrays(cell, system.published.names(network, read_weights(path)), source=str(path))
    system.set_train(True)
    batch = {"A": io["real_A"], "B": io["real_B"]}
    for name, fake in system.translate(batch).items():
        report(name, fake, io[name], atol=1e-4)
    report("D_A_real", system.networks["D_A"](Tensor(batch["A"])).asnumpy(), io["D_A_real"], atol=1e-4)

    objective = system.objective(io["real_A"].shape[2:])
    groups = objective.groups(1)
    inputs = [Tensor(array) for array in objective.inputs(batch)]
    step = TrainStep(objective.gradients(groups), groups)
    start = weights_of(system, objective)
    step(*inputs)
    norms = gradient_norms(system, "G_AB", step)
    meaningful = io["grad_norms_G_AB"] > 1e-5
    report("grad_norms_G_AB", norms[meaningful], io["grad_norms_G_AB"][meaningful], atol=0, rtol=1e-3)
    restart(system, objective, step, start)
    check_training(
        *(system, objective, step, [inputs] * len(io["loss_history"]), io["loss_history"], list(io["loss_names"])),
        lambda losses: _totals(losses, config.lambda_cyc, config.lambda_id),
        lambda: system.translate({"A": batch["A"]})["fake_B"],
        *(io["fake_B_after"], report),
    )


def _totals(losses: dict[str, float], lambda_cyc: float, lambda_id: float) -> list[float]:
    """Our loss terms in the order of the published ones, which have the generators' sum among them."""
    total = losses["G_GAN"] + lambda_cyc * losses["cycle"] + lambda_id * losses["identity"]
    return [losses["G_GAN"], losses["cycle"], losses["identity"], total, losses["D_A"], losses["D_B"]]
