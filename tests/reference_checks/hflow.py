"""Compare hflow with numbers of the published implementation, in which every random draw was zero."""

import json
from pathlib import Path

import numpy as np
from mindspore import Tensor, nn

from src.models.parameters import load_arrays
from src.systems.hflow.settings import flat_options
from src.systems.hflow.system import HFlowSystem
from src.systems.programs import load_config
from src.training.steps import StepOptions, TrainStep
from src.utils.pth import read_pth
from tests.reference_checks.twins import Weights, restart, weights_of

# Leaky ReLUs have kinks, and where an input is next to one, rounding decides between two slopes and moves single norms
# by up to 7e-3. The typical norm differs from the published one as it does between twins of our own run whose weights
# differ by four units in the last place: what moves in such twins is not determined any better.
_PLACES = 4


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
    # the published options of training are the defaults
    config = load_config(["--model=hflow"]).replace(**flat_options(json.loads(str(options))))
    system = HFlowSystem(config, training=True)
    arrays = system.published.names("F", read_pth(folder / "model.pth"))
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
    image, back = system.decode(latents)
    report("reconstruction", image, io["reconstruction"], atol=1e-3)
    report("round trip", image, io["x"], atol=1e-3)
    report("forward logdet", back, -logdet, atol=1e-2)
    parts = np.split(io[f"eps_{last}"], np.cumsum(system.options.top.channels)[:-1], 1)
    sample, _ = system.decode([io[f"eps_{i}"] for i in range(last)] + parts)
    report("sample", sample, io["sample"], atol=1e-3, rtol=1e-4)


def _check_training(system: HFlowSystem, io: dict, report) -> None:
    objective = system.objective(io["x"].shape[2:])
    groups = objective.groups(1)
    inputs = Tensor(io["x"]), Tensor(np.zeros((len(io["x"]), objective.noise_size), np.float32))
    options = StepOptions(clip_norm=system.config.clip_norm, clip_jointly=objective.clips_jointly)
    step = TrainStep(objective.gradients(groups), groups, options)
    start = weights_of(system, objective)
    for i, value in enumerate(io["loss_history"]):
        losses, norms, _ = step(*inputs)
        losses = dict(zip(objective.loss_names, losses.asnumpy(), strict=True))
        report(f"step {i} loss", losses["loss"], value, atol=0, rtol=1e-4 if i == 0 else 1e-3)
        if i == 0:
            _check_levels(system, losses, io, report)
            first = _gradient_norms(step, norms.asnumpy(), options.clip_norm)
    twins = []
    for sign in (1.0, -1.0):
        restart(system, objective, step, _nudged(start, sign))
        twins.append(_gradient_norms(step, step(*inputs)[1].asnumpy(), options.clip_norm))
    _check_gradients(first, twins, io, report)


def _nudged(weights: Weights, sign: float) -> Weights:
    """Change every weight by some units in the last place; of a pair with both signs one crosses a kink nearby."""
    rng = np.random.default_rng(0)
    size = np.float32(sign * _PLACES * 2.0**-23)
    return {
        network: {name: a + a * size * rng.choice(np.float32([-1, 1]), a.shape) for name, a in arrays.items()}
        for network, arrays in weights.items()
    }


def _gradient_norms(step: TrainStep, norms: np.ndarray, clip: float) -> dict[str, float]:
    """Norm of each parameter's gradient before clipping, after a first step.

    They are read off Adam's first moments: no second graph for them.
    """
    total = np.sqrt((norms.astype(np.float64) ** 2).sum())
    shrink = min(1.0, clip / total)
    found = {"": total}
    for group, optimizer in zip(step.groups, step.optimizers, strict=True):
        for name, moment in zip(group.parameters, optimizer.moment1, strict=True):
            name = name.partition(".")[2]
            name = f"{name[:-1]}_U" if name.endswith(".U") else name
            found[name] = np.linalg.norm(moment.asnumpy().astype(np.float64)) / (shrink * (1.0 - group.beta1))
    return found


def _check_gradients(first: dict[str, float], twins: list[dict[str, float]], io: dict, report) -> None:
    published = dict(zip(io["param_names"], io["grad_norms"].astype(np.float64), strict=True))
    # parameters without a gradient, such as masks, are published as -1
    report("gradient norm", first[""], np.linalg.norm(io["grad_norms"].clip(0)), atol=0, rtol=1e-4)
    names = [name for name in first if name and published[name] > 1e-5]
    want = np.array([published[name] for name in names])
    got, *others = (np.array([norms[name] for name in names]) for norms in (first, *twins))
    spread = max(np.abs((other - got) / want).max() for other in others)
    report("gradient norms", got, want, atol=0, rtol=max(1e-3, 2 * spread))
    report("gradient norms, median error", np.median(np.abs(got / want - 1)), 0.0, atol=2e-5)


def _check_levels(system: HFlowSystem, losses: dict, io: dict, report) -> None:
    tops = {"1_0": "1_endblock_uncond", "1_1": "1_endblock"}
    for name in system.level_names:
        level = name.partition("_")[2]
        want = io[f"layerwise_tot_{tops.get(level, level)}"].mean()
        report(name, losses[name], want, atol=1e-4)
    joint = io["ll_unscaled"].mean() / (3 * system.options.resolution**2 * np.log(2.0)) + 8.0
    report("bits_per_dim", losses["bits_per_dim"], joint, atol=1e-4)
