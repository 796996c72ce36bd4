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
# The objective has kinks (absolute values, rectifiers) and the first steps of Adam go by the sign of a
# gradient: noise of 1e-7 in the weights at the start moves the losses by up to 1.3e-4 after one update and
# 3.5e-3 after two, and the translation after three by 1.5e-2 on average.
_LOSS_TOLERANCE = (1e-4, 1e-3, 5e-3)


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
    for i, want in enumerate(io["loss_history"]):
        losses = dict(zip(system.loss_names, step(*inputs)[0].asnumpy(), strict=True))
        total = losses["G_GAN"] + config.lambda_cyc * losses["cycle"] + config.lambda_id * losses["identity"]
        got = [losses["G_GAN"], losses["cycle"], losses["identity"], total, losses["D_A"], losses["D_B"]]
        for name, mine, value in zip(io["loss_names"], got, want, strict=True):
            report(f"step {i} {name}", mine, value, atol=0, rtol=_LOSS_TOLERANCE[i])
    difference = np.abs(system.translate({"A": batch["A"]})["fake_B"] - io["fake_B_after"])
    report("fake_B_after, mean difference", difference.mean(), 0.0, atol=3e-2)
