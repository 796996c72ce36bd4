"""Compare CycleGAN with numbers of the published huggan implementation."""

import ast
from pathlib import Path
from types import SimpleNamespace

import mindspore as ms
import numpy as np
from mindspore import Tensor

from src.models.cyclegan.system import CycleGAN
from src.models.state import load_arrays
from src.training.steps import TrainStep
from src.utils.pth import read_pth
from tests.reference_checks.twins import restart, train_with_twins

# our word for each published option, and ours that have no published word
_NAMES = {"base_channels": "ngf"}
_OURS = {
    "input_nc": 3,
    "upsampling": "nearest",
    "patch": 94,
    "no_lsgan": False,
    "sum_directions": False,
    "pool_size": 50,
    "semantic": "none",
    "direction": "both",
    "init_type": "normal",
    "init_gain": 0.02,
    "seed": 0,
    "recompute": False,
    "precision": "fp32",
}


def check(folder: Path, io: dict[str, np.ndarray], options: str, report) -> None:
    """Compare every quantity of ``folder``; ``report(name, got, want, atol=, rtol=)`` collects verdicts."""
    published = {k: v for k, v in ast.literal_eval(str(options)).items() if k != "replay_buffer"}
    config = SimpleNamespace(**_OURS, **{_NAMES.get(k, k): v for k, v in published.items()})
    config.ndf = config.ngf
    system = CycleGAN(config, training=True)
    for network, cell in system.networks.items():
        path = folder / f"{network}.pth"
        load_arrays(cell, CycleGAN.published_names(network, read_pth(path)), source=str(path))
    system.set_train(True)
    batch = {"A": io["real_A"], "B": io["real_B"]}
    for name, fake in system.translate(batch).items():
        report(name, fake, io[name], atol=1e-4)
    report("D_A_real", system.networks["D_A"](Tensor(batch["A"])).asnumpy(), io["D_A_real"], atol=1e-4)

    groups = system.update_groups(1)
    inputs = [Tensor(array) for array in system.inputs(batch)]
    step = TrainStep(system.gradients(groups), groups)
    _, gradients, _ = step.gradients(Tensor(1.0, ms.float32), *inputs)
    norms = [float(np.linalg.norm(g.asnumpy())) for g in gradients[0][: len(io["grad_norms_G_AB"])]]
    meaningful = io["grad_norms_G_AB"] > 1e-5
    report("grad_norms_G_AB", np.array(norms)[meaningful], io["grad_norms_G_AB"][meaningful], atol=0, rtol=1e-3)

    def train(weights):
        restart(system, step, weights)
        losses = np.array([_totals(system, step(*inputs)[0].asnumpy()) for _ in io["loss_history"]], np.float64)
        return losses, system.translate({"A": batch["A"]})["fake_B"]

    losses, fake, losses_spread, fake_spread = train_with_twins(system, train)
    for i, want in enumerate(io["loss_history"]):
        rtol = 1e-4 if i == 0 else max(1e-3, 2 * losses_spread[i])
        for name, mine, value in zip(io["loss_names"], losses[i], want, strict=True):
            report(f"step {i} {name}", mine, value, atol=0, rtol=rtol)
    distance = np.abs(fake - io["fake_B_after"]).mean()
    report("fake_B_after, mean distance", distance, 0.0, atol=max(1e-3, 2 * fake_spread))


def _totals(system: CycleGAN, vector: np.ndarray) -> list[float]:
    """Our loss terms in the order of the published ones, which have the generators' sum among them."""
    losses, config = dict(zip(system.loss_names, vector, strict=True)), system.config
    total = losses["G_GAN"] + config.lambda_cyc * losses["cycle"] + config.lambda_id * losses["identity"]
    return [losses["G_GAN"], losses["cycle"], losses["identity"], total, losses["D_A"], losses["D_B"]]
