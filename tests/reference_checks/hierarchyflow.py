"""Compare Hierarchy Flow with numbers of the published implementation."""

import ast
from pathlib import Path

import numpy as np
from mindspore import Tensor

from src.models.parameters import count_parameters, load_arrays, named_parameters
from src.systems.hierarchyflow.system import HierarchyFlowSystem
from src.systems.programs import TRAIN, read_command
from src.training.steps import TrainStep
from src.utils.weights import read_weights
from tests.reference_checks.gradients import gradient_norms


def check(folder: Path, io: dict[str, np.ndarray], options: str, report) -> None:
    """Compare every quantity of ``folder``; ``report(name, got, want, atol=, rtol=)`` collects verdicts."""
    published = ast.literal_eval(str(options))
    total = published.pop("n_params")
    words = ["--model=hierarchyflow", "--reverse=public", "--vgg_pre_trained=random:4321"]
    _, config = read_command(TRAIN, [*words, *(f"--{k}={v}" for k, v in published.items())])
    system = HierarchyFlowSystem(config, training=True)
    network, path = system.networks["HF"], folder / "model.pth"
    load_arrays(network, system.published.names("HF", read_weights(path)), source=str(path))
    system.set_train(True)
    names = list(named_parameters(network))
    report("n_params", count_parameters(network), total, atol=0)
    report("param_names", float(names == list(io["param_names"])), 1.0, atol=0)

    content, style = Tensor(io["content"]), Tensor(io["style"])
    report("output", network(content, style).asnumpy(), io["output"], atol=1e-4)
    report("style_code", network.style_net(style).asnumpy(), io["style_code"], atol=1e-4)
    wide = network.blocks[0](network.pad(content))[0].asnumpy()
    report("block0_forward_mean", wide.mean((2, 3)), io["block0_forward_mean"], atol=1e-4)
    report("block0_forward_std", wide.std((2, 3), ddof=1), io["block0_forward_std"], atol=1e-4)

    objective = system.objective(io["content"].shape[2:])
    groups = objective.groups(1)
    step = TrainStep(objective.gradients(groups), groups)
    batch = {"A": io["content"] * 2 - 1, "B": io["style"] * 2 - 1}
    inputs = [Tensor(array) for array in objective.inputs(batch)]
    for i, want in enumerate(io["loss_history"]):
        cosine = (1 + np.cos(np.pi * i / config.max_iter)) / 2
        step.optimizers[0].set_rate(config.eta_min + (config.lr - config.eta_min) * cosine)
        for name, got, value in zip(io["loss_names"], step(*inputs)[0].asnumpy(), want, strict=True):
            report(f"step {i} {name}", got, value, atol=0, rtol=1e-4 if i == 0 else 1e-3)
        if i == 0:
            norms = gradient_norms(system, "HF", step)
            meaningful = io["grad_norms"] > 1e-5
            report("grad_norms", norms[meaningful], io["grad_norms"][meaningful], atol=0, rtol=1e-3)
    report("output_after", network(content, style).asnumpy(), io["output_after"], atol=1e-3)
