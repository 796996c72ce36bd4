"""Training steps as the trainer builds them, and random weights for the networks inside the losses."""

__all__ = ["build_step", "compile_seconds", "prepare_step", "with_random_features"]

from pathlib import Path

import numpy as np

from src.contracts.objective import Objective
from src.contracts.system import Batch, System
from src.options.config import Config
from src.training.state import kept_parameters
from src.training.steps import StepOptions, TrainStep


def build_step(
    system: System, batch: Batch, size: tuple[int, int], world: int = 1, saturates_at: float = 0.0
) -> tuple[TrainStep, list]:
    """The step of :func:`prepare_step`, and what it takes for ``batch`` (see :meth:`Objective.inputs`)."""
    step, objective = prepare_step(system, size, world, saturates_at)
    return step, list(objective.inputs(batch))


def prepare_step(
    system: System, size: tuple[int, int], world: int = 1, saturates_at: float = 0.0
) -> tuple[TrainStep, Objective]:
    """The step of a run's last epoch, in which everything is trained, on ``world`` devices, and its objective.

    Args:
        system: built for training; it is switched to training here.
        size: height and width of the samples.
        saturates_at: see :class:`StepOptions`.
    """
    config, objective = system.config, system.objective(size)
    groups = objective.groups(max(config.niter + config.niter_decay, 1))
    options = StepOptions(
        config.loss_scale,
        config.dynamic_loss_scale,
        accumulation=objective.accumulation(world) or config.accumulation,
        clip_norm=config.clip_norm,
        world=world,
        clip_jointly=objective.clips_jointly,
        saturates_at=saturates_at,
    )
    kept = kept_parameters(system), tuple(objective.buffers.values())
    step = TrainStep(objective.gradients(groups), groups, options, kept=kept)
    system.set_train(True)
    return step, objective


def with_random_features(config: Config, folder: Path) -> Config:
    """Random weights, which cost what the real ones do, where a loss needs a VGG-19 and there is no file of it.

    They are written to ``folder`` unless the system can do without a file.
    """
    if "vgg_pre_trained" not in config or Path(config.vgg_pre_trained).is_file():
        return config
    if config.model == "hierarchyflow":
        return config.replace(vgg_pre_trained="random:0")
    if config.no_vgg_loss:
        return config
    from safetensors.numpy import save_file

    from src.models.vgg import VGG19

    rng, path = np.random.default_rng(0), str(folder / "vgg19.safetensors")
    save_file(
        {name: rng.normal(0, 0.02, p.shape).astype(np.float32) for name, p in VGG19().parameters_and_names()}, path
    )
    return config.replace(vgg_pre_trained=path)


def compile_seconds(first: float, steady: float) -> float:
    """What the first call took beyond a steady one, both in seconds; 0 where nothing was compiled and noise is left."""
    return max(first - steady, 0.0)
