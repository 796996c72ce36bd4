"""Learning rate over a run, as a factor on each group's starting rate."""

__all__ = ["SCHEDULES", "learning_rate_factor", "total_epochs", "total_steps"]

import math

from ..options.config import Config


def total_steps(config: Config, steps_per_epoch: int) -> int:
    """Steps of a whole run: ``max_iter`` unless it is 0, else ``niter + niter_decay`` epochs."""
    limit = 0 if config.debug else config.max_iter
    return limit or (config.niter + config.niter_decay) * steps_per_epoch


def total_epochs(config: Config, steps_per_epoch: int) -> int:
    """Epochs of a whole run, the last of which may be cut short."""
    return -(-total_steps(config, steps_per_epoch) // steps_per_epoch)


def _linear(config: Config, epoch: int, progress: float) -> float:
    # epoch niter + 1 still has the full rate and the last epoch 1 / niter_decay of it: no epoch is wasted at zero
    if epoch <= config.niter + 1:
        return 1.0
    return 1.0 - (epoch - config.niter - 1) / config.niter_decay


def _cosine(config: Config, epoch: int, progress: float) -> float:
    floor = config.eta_min / config.lr if config.lr else 0.0
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * progress))


def _constant(config: Config, epoch: int, progress: float) -> float:
    return 1.0


#: ``lr_policy`` to its function of (config, epoch from 1, fraction of the whole run's steps that are done)
SCHEDULES = {"linear": _linear, "cosine": _cosine, "constant": _constant}


def learning_rate_factor(config: Config, epoch: int, progress: float) -> float:
    """Factor for a step in ``epoch`` (from 1) when the fraction ``progress`` of the run is done.

    ``linear``: pix2pixHD's and CycleGAN's, constant for ``niter`` epochs, then down by equal steps an epoch.
    ``cosine``: half a cosine over all steps, down to ``eta_min``. ``constant``: one.
    """
    return SCHEDULES[config.lr_policy](config, epoch, progress)
