"""Compare hflow with numbers of the published implementation, in which every random draw was zero."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from mindspore import Tensor, nn

from src.models.hflow.system import HFlowSystem, flat_options
from src.models.state import load_arrays
from src.training.steps import StepOptions, TrainStep
from src.utils.pth import read_pth

# the published training options of the three steps, and ours that have no published word
_OURS = {
    "precision": "fp32",
    "recompute": False,
    "seed": 0,
    "lr": 5e-3,
    "learning_rate_decoders": 2e-3,
    "learning_rate_encoders": 5e-4,
    "learning_rate_decay_start": 10,
    "learning_rate_decay": 0.95,
    "learning_rate_decay_encoders": 0.92,
    "learning_rate_cut_encoders": 60,
    "beta1": 0.9,
    "beta2": 0.999,
    "ema_decay": 0.995,
    "discretization_bits": 8,
}
_CLIP = 50.0


class _Inverse(nn.Cell):
    """Encodings and latents in one graph: each graph of this network takes long to compile."""

    def __init__(self, network: nn.Cell):
        super().__init__()
        self.network = network

    def construct(self, image):
        scales, top = self.network.encode(image)
        latents, logdets = self.network(image)
        return scales, top, latents, logdets


def check(folder: Path, io: dict[str, np.ndarray], options: str, report) -> None:
    """Compare every quantity of ``folder``; ``report(name, got, want, atol=, rtol=)`` collects the verdicts."""
    config = SimpleNamespace(**_OURS, **flat_options(json.loads(str(options))))
    system = HFlowSystem(config, training=True)
    arrays = system.published_names("F", read_pth(folder / "model.pth"))
    for network in system.networks.values():
        load_arrays(network, arrays, source=str(folder / "model.pth"))
    _check_passes(system, io, report)
    _check_training(system, io, report)


def _check_passes(system: HFlowSystem, io: dict, report) -> None:
    last = len(system.options.levels)
    scales, top, latents, logdets = _Inverse(system.networks["F_ema"])(Tensor(io["x"]))
    for i, y in enumerate(scales):
        report(f"scale_{i}", y.asnumpy(), io[f"scale_{i}"], atol=1e-4)
    report("top", top.asnumpy(), io[f"scale_{last + 1}"], atol=1e-4)
    latents, logdet = [z.asnumpy() for z in latents], sum(part.asnumpy() for part in logdets)
    for i in range(last):
        report(f"z_{i}", latents[i], io[f"z_{i}"], atol=1e-3)
    report("z_top", np.concatenate(latents[last:], 1), io[f"z_{last}"], atol=1e-3)
    # the published log-determinant leaves out that images are scaled by 4, which is a constant
    scaling = 3 * system.options.resolution**2 * np.log(4.0)
    report("logdet", logdet - scaling, -io["fldj"][:, 0], atol=1e-2)
    runner = system.runner
    image, back = runner.forward_with_logdet(latents)
    report("reconstruction", image, io["reconstruction"], atol=1e-3)
    report("round trip", image, io["x"], atol=1e-3)
    report("forward logdet", back, -logdet, atol=1e-2)
    parts = np.split(io[f"eps_{last}"], np.cumsum(system.options.top.channels)[:-1], 1)
    sample = runner.forward([io[f"eps_{i}"] for i in range(last)] + parts)
    report("sample", sample, io["sample"], atol=1e-3, rtol=1e-4)


def _check_training(system: HFlowSystem, io: dict, report) -> None:
    groups = system.update_groups(1)
    image = Tensor(io["x"])
    noise = Tensor(np.zeros((len(io["x"]), system.noise_size), np.float32))
    options = StepOptions(clip_norm=_CLIP, clip_jointly=system.clips_jointly)
    step = TrainStep(system.gradients(groups), groups, options)
    for i, value in enumerate(io["loss_history"]):
        losses, norms, _ = step(image, noise)
        losses = dict(zip(system.loss_names, losses.asnumpy(), strict=True))
        report(f"step {i} loss", losses["loss"], value, atol=0, rtol=1e-4 if i == 0 else 1e-3)
        if i == 0:
            _check_levels(system, losses, io, report)
            _check_gradients(step, norms.asnumpy(), io, report)


def _check_gradients(step: TrainStep, norms: np.ndarray, io: dict, report) -> None:
    """Gradient norms before clipping, read off Adam's first moments: no second graph for them."""
    total = np.sqrt((norms.astype(np.float64) ** 2).sum())
    shrink = min(1.0, _CLIP / total)
    published = dict(zip(io["param_names"], io["grad_norms"], strict=True))
    # parameters without a gradient, such as masks, are published as -1
    have = io["grad_norms"].astype(np.float64).clip(0)
    report("gradient norm", total, np.linalg.norm(have), atol=0, rtol=1e-4)
    got, want = [], []
    for group, optimizer in zip(step.groups, step.optimizers, strict=True):
        for name, moment in zip(group.parameters, optimizer.moment1, strict=True):
            name = name.partition(".")[2]
            name = f"{name[:-1]}_U" if name.endswith(".U") else name
            if published[name] > 1e-5:
                got.append(np.linalg.norm(moment.asnumpy().astype(np.float64)) / (shrink * (1.0 - group.beta1)))
                want.append(published[name])
    # a leaky ReLU of one coupling is so close to its kink that rounding decides its side: 3e-3 of four norms
    report("gradient norms", np.array(got), np.array(want), atol=0, rtol=5e-3)


def _check_levels(system: HFlowSystem, losses: dict, io: dict, report) -> None:
    tops = {"1_0": "1_endblock_uncond", "1_1": "1_endblock"}
    for name in system.level_names:
        level = name.partition("_")[2]
        want = io[f"layerwise_tot_{tops.get(level, level)}"].mean()
        report(name, losses[name], want, atol=1e-4)
    joint = io["ll_unscaled"].mean() / (3 * system.options.resolution**2 * np.log(2.0)) + 8.0
    report("bits_per_dim", losses["bits_per_dim"], joint, atol=1e-4)
