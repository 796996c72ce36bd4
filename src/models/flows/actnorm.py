"""Activation normalisation: one scale and one shift a channel (Kingma and Dhariwal 2018, section 3.1)."""

__all__ = ["ActNorm", "ConditionalActNorm"]

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, ops

from .nets import initialized_flag, parameter
from .op import InvertibleOp, Net
from .primitives import absolute, exp, halves, log, repeat, reshape, sum_per_sample
from .scales import atanh_init, bounded_log_scale


def whitening(x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Per channel ``(1 / (std + 1e-6), -mean)`` over batch and space, with the unbiased standard deviation."""
    v = x.asnumpy().astype(np.float64)
    return 1.0 / (v.std(axis=(0, 2, 3), ddof=1) + 1e-6), -v.mean(axis=(0, 2, 3))


class ActNorm(InvertibleOp):
    """``y = scale * (x + loc)`` with free ``loc`` and ``scale`` (1, C, 1, 1); ``logdet = H W sum log |scale|``.

    Published form: ``scale`` is unconstrained, so it must not become 0. With ``limit`` the parameter is the log of the
    scale instead, kept within (-limit, limit), and the inverse cannot divide by zero. :meth:`initialise` makes the
    first batch zero-mean and unit-variance per channel, once: ``initialized`` is saved.
    """

    def __init__(self, channels: int, limit: float | None = None):
        super().__init__()
        self.limit = limit
        self.loc = parameter(np.zeros((1, channels, 1, 1)), "loc")
        start = np.zeros if limit else np.ones
        self.scale = parameter(start((1, channels, 1, 1)), "scale")
        self.initialized = initialized_flag()

    def weights(self) -> tuple[Parameter, ...]:
        return (self.loc, self.scale)

    def scales(self, scale: Tensor) -> tuple[Tensor, Tensor]:
        """``(scale, log |scale|)`` of the parameter ``scale``."""
        if self.limit:
            log_scale = bounded_log_scale(scale, self.limit)
            return exp(log_scale), log_scale
        return scale, log(absolute(scale))

    def transform(self, x: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> tuple[Tensor, Tensor]:
        scale, log_scale = self.scales(weights[at + 1])
        logdet = sum_per_sample(log_scale) * (x.shape[2] * x.shape[3])
        return scale * (x + weights[at]), repeat(logdet, x.shape[0])

    def invert(self, y: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> Tensor:
        scale, _ = self.scales(weights[at + 1])
        return y / scale - weights[at]

    def initialise(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        if not int(self.initialized.asnumpy()):
            scale, loc = whitening(x)
            if self.limit:
                scale = atanh_init(np.log(scale), self.limit)
            shape = self.scale.shape
            ops.assign(self.scale, Tensor(scale.reshape(shape).astype(np.float32)))
            ops.assign(self.loc, Tensor(loc.reshape(shape).astype(np.float32)))
            ops.assign(self.initialized, Tensor(1, ms.int32))
        return super().initialise(x, condition)


class ConditionalActNorm(InvertibleOp):
    """ActNorm whose scale and shift are computed per sample: ``y = s (x + t)``, ``(s, t) = cond_net(condition)``.

    ``cond_net`` maps the condition to (N, 2C): all scales, then all shifts. Published form (Full-Glow, Sorkhei et al.
    2021): ``s`` is unconstrained. With ``limit`` the first half is the log of the scale, kept within (-limit, limit).
    The last layer of ``cond_net``, ``cond_net.last``, is an :class:`src.models.flows.nets.OutputDense`: its weight
    starts at zero, and :meth:`initialise` sets its bias so that the output of the first batch is normalised.
    """

    def __init__(self, cond_net: Net, limit: float | None = None):
        super().__init__()
        self.limit = limit
        self.cond_net = cond_net

    def weights(self) -> tuple[Parameter, ...]:
        return self.cond_net.weights()

    def scale_and_shift(self, condition: Tensor, weights: tuple, at: int) -> tuple[Tensor, Tensor, Tensor]:
        """``(s, log |s|, t)``, each (N, C, 1, 1)."""
        h = self.cond_net.compute(condition, weights, at)
        s, t = halves(reshape(h, (h.shape[0], -1, 1, 1)))
        if self.limit:
            log_s = bounded_log_scale(s, self.limit)
            return exp(log_s), log_s, t
        return s, log(absolute(s)), t

    def transform(self, x: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> tuple[Tensor, Tensor]:
        s, log_s, t = self.scale_and_shift(condition, weights, at)
        return s * (x + t), sum_per_sample(log_s) * (x.shape[2] * x.shape[3])

    def invert(self, y: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> Tensor:
        s, _, t = self.scale_and_shift(condition, weights, at)
        return y / s - t

    def initialise(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        last = self.cond_net.last
        if not int(last.initialized.asnumpy()):
            scale, shift = whitening(x)
            if self.limit:
                scale = atanh_init(np.log(scale), self.limit)
            last.start(np.concatenate([scale, shift]))
        return super().initialise(x, condition)
