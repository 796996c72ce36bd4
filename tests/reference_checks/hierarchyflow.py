"""Compare Hierarchy Flow with numbers of the published implementation."""

import ast
from pathlib import Path
from types import SimpleNamespace

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

from src.models.hierarchyflow.system import HierarchyFlowSystem
from src.models.state import count_parameters, load_arrays, named_parameters
from src.training.steps import TrainStep
from src.utils.pth import read_pth

# ours that the published configuration has no word for
_OURS = {
    "reverse": "public",
    "content_weight": 1.0,
    "beta1": 0.9,
    "beta2": 0.999,
    "weight_decay": 0.0,
    "seed": 0,
    "recompute": False,
    "precision": "fp32",
    "vgg_pre_trained": "random:4321",
}


def check(folder: Path, io: dict[str, np.ndarray], options: str, report) -> None:
    """Compare every quantity of ``folder``; ``report(name, got, want, atol=, rtol=)`` collects verdicts."""
    config = SimpleNamespace(**(_OURS | ast.literal_eval(str(options))))
    system = HierarchyFlowSystem(config, training=True)
    network, path = system.networks["HF"], folder / "model.pth"
    load_arrays(network, HierarchyFlowSystem.published_names("HF", read_pth(path)), source=str(path))
    system.set_train(True)
    names = list(named_parameters(network))
    report("n_params", count_parameters(network), config.n_params, atol=0)
    report("param_names", float(names == list(io["param_names"])), 1.0, atol=0)

    content, style = Tensor(io["content"]), Tensor(io["style"])
    report("output", network(content, style).asnumpy(), io["output"], atol=1e-4)
    report("style_code", network.style_net(style).asnumpy(), io["style_code"], atol=1e-4)
    wide = network.blocks[0](network.pad(content))[0].asnumpy()
    report("block0_forward_mean", wide.mean((2, 3)), io["block0_forward_mean"], atol=1e-4)
    report("block0_forward_std", wide.std((2, 3), ddof=1), io["block0_forward_std"], atol=1e-4)

    groups = system.update_groups(1)
    step = TrainStep(system.gradients(groups), groups)
    batch = {"A": io["content"] * 2 - 1, "B": io["style"] * 2 - 1}
    inputs = [Tensor(array) for array in system.inputs(batch)]
    _, gradients, _ = step.gradients(Tensor(1.0, ms.float32), *inputs)
    norms = np.array([float(np.linalg.norm(g.asnumpy())) for g in gradients[0]])
    meaningful = io["grad_norms"] > 1e-5
    report("grad_norms", norms[meaningful], io["grad_norms"][meaningful], atol=0, rtol=1e-3)
    for i, want in enumerate(io["loss_history"]):
        cosine = (1 + np.cos(np.pi * i / config.max_iter)) / 2
        rate = config.eta_min + (config.lr - config.eta_min) * cosine
        ops.assign(step.optimizers[0].learning_rate, Tensor(rate, ms.float32))
        for name, got, value in zip(io["loss_names"], step(*inputs)[0].asnumpy(), want, strict=True):
            report(f"step {i} {name}", got, value, atol=0, rtol=1e-4 if i == 0 else 1e-3)
    report("output_after", network(content, style).asnumpy(), io["output_after"], atol=1e-3)
