"""Compare CUT with numbers of the published implementation.

The published step updates the discriminator first and judges the same translations by the new one. Numbers of a
training are therefore of two kinds: ``loss_history`` and ``fake_B_after`` come from the published losses with all
gradients taken before any update, as here; ``loss_history_published`` comes from the published order, and its first
step differs in ``G_GAN`` and the sum alone.

PyTorch 2.13 on CPUs returns gradients that its own finite differences contradict where one image's feature maps were
mirrored or permuted; the numbers were made with gradients that are copied to the usual order of memory there.
"""

import json
from pathlib import Path

import numpy as np
from mindspore import Tensor

from src.models.cut.contrast import patch_nce
from src.models.cut.features import Encoder
from src.models.parameters import load_arrays, named_parameters
from src.systems.cut.system import CUTSystem
from src.systems.programs import TRAIN, read_command
from src.training.steps import TrainStep
from src.utils.weights import read_weights
from tests.reference_checks.gradients import gradient_norms
from tests.reference_checks.twins import check_training, restart, weights_of


def check(folder: Path, io: dict[str, np.ndarray], options: str, report) -> None:
    """Compare every quantity of ``folder``; ``report(name, got, want, atol=, rtol=)`` collects verdicts."""
    published = json.loads(options)
    published |= {"n_residual_blocks": published.pop("netG").removeprefix("resnet_").removesuffix("blocks")}
    published |= {"batchSize": published.pop("batch_size")}
    _, config = read_command(TRAIN, ["--model=cut", *(f"--{name}={value}" for name, value in published.items())])
    system = CUTSystem(config, training=True)
    for network, cell in system.networks.items():
        path = folder / f"{network}.pth"
        load_arrays(cell, system.published.names(network, read_weights(path)), source=str(path))
    system.set_train(True)
    batch = {"A": io["real_A"], "B": io["real_B"]}
    report("fake_B", system.translate(batch)["fake_B"], io["fake_B"], atol=1e-4)
    report("D_real", system.networks["D"](Tensor(batch["B"])).asnumpy(), io["D_real"], atol=1e-4)

    encoder, places = Encoder(system.networks["G"].model.cell_list, config.nce_layers), Tensor(io["patches"][0][0])
    keys, queries = (system.networks["F"](encoder(Tensor(images)), places) for images in (batch["A"], io["fake_B"]))
    for i, vectors in enumerate(keys):
        report(f"vectors_{i}", vectors.asnumpy(), io[f"vectors_{i}"], atol=1e-4)
    if "NCE_across" in io:
        terms = [patch_nce(query, key, config.nce_T, across=True) for query, key in zip(queries, keys, strict=True)]
        report("NCE_across", np.mean([float(term) for term in terms]), io["NCE_across"], atol=0, rtol=1e-4)

    objective = system.objective(io["real_A"].shape[2:])
    groups = objective.groups(1)
    slots = objective.inputs(batch)[-1:]
    steps = [
        [Tensor(array) for array in objective.arrange(batch, places, bool(mirrors)) + slots]
        for places, mirrors in zip(io["patches"], io["flips"], strict=True)
    ]
    step = TrainStep(objective.gradients(groups), groups)
    start = weights_of(system, objective)
    step(*steps[0])
    for group in groups:
        want = dict(zip(io[f"names_{group.name}"], io[f"grad_norms_{group.name}"], strict=True))
        want = np.array([want[name] for name in named_parameters(system.networks[group.name])])
        got = gradient_norms(system, group.name, step)
        report(f"grad_norms_{group.name}", got, want, atol=1e-6 * want.max(), rtol=1e-3)

    restart(system, objective, step, start)
    names = list(io["loss_names"])
    losses = check_training(
        *(system, objective, step, steps, io["loss_history"], names),
        lambda losses: _published_terms(losses, names),
        lambda: system.translate({"A": batch["A"]})["fake_B"],
        *(io["fake_B_after"], report),
    )
    same = [i for i, name in enumerate(names) if name not in ("G_GAN", "G")]
    report("step 0 in the published order", losses[0][same], io["loss_history_published"][0][same], atol=0, rtol=1e-4)


def _published_terms(losses: dict[str, float], names: list[str]) -> list[float]:
    """Our loss terms in the order of the published ones, which have the generator's sum among them."""
    contrast = [losses[name] for name in ("NCE", "NCE_Y") if name in losses]
    total = losses["G_GAN"] + sum(contrast) / len(contrast)
    return [total if name == "G" else losses[name] for name in names]
