"""Splits: half of the channels become latents under a Gaussian prior (Dinh et al. 2017, 3.6; Glow's learned priors)."""

__all__ = ["Split", "TopPrior", "gaussian_log_prob", "mean_and_log_sd"]

import math

from mindspore import Parameter, Tensor, nn

from .op import InvertibleOp, Net
from .primitives import concat, exp, halves, reshape, sum_per_sample, zeros_like

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


def gaussian_log_prob(z: Tensor, mean: Tensor, log_sd: Tensor) -> Tensor:
    """``log N(z; mean, exp(log_sd)^2)`` summed over channels and pixels: (N,), in nats."""
    normal = (z - mean) * exp(-log_sd)
    return sum_per_sample(-_HALF_LOG_TWO_PI - log_sd - 0.5 * normal * normal)


def mean_and_log_sd(h: Tensor, interleaved: bool = False) -> tuple[Tensor, Tensor]:
    """Means and log standard deviations (N, C, H, W) of ``h`` (N, 2C, H, W): halves, or even and odd channels."""
    if interleaved:
        n, c, height, width = h.shape
        h = reshape(h, (n, c // 2, 2, height, width))
        return h[:, :, 0], h[:, :, 1]
    return halves(h)


class Split(InvertibleOp):
    """The first half of the channels is passed on, the second is latent under a prior computed from the first.

    As an invertible op: ``y = (kept, (z - mean) / sd)`` with ``(mean, log sd) = prior_net(kept)`` and ``logdet = - sum
    log sd``, so that the second half of ``y`` is standard normal under the model. With ``conditional`` the condition is
    joined to the kept half before ``prior_net``.

    A multi-scale flow uses the parts: :meth:`divide` for likelihoods, :meth:`latent` to draw ``z`` from noise, and
    :meth:`join`, the inverse of ``divide``, with a raw ``z`` for reconstruction.
    """

    def __init__(self, prior_net: Net, conditional: bool = False, interleaved: bool = False):
        super().__init__()
        self.prior_net = prior_net
        self.conditional, self.interleaved = conditional, interleaved

    def weights(self) -> tuple[Parameter, ...]:
        return self.prior_net.weights()

    def prior(self, kept: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> tuple[Tensor, Tensor]:
        """``(mean, log sd)`` of the latent half, each with the shape of ``kept``."""
        if self.conditional:
            kept = concat((kept, condition))
        return mean_and_log_sd(self.prior_net.compute(kept, weights, at), self.interleaved)

    def divide(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """``(kept, z, log_p)``: the two halves as they are and ``log p(z | kept)``, (N,)."""
        kept, z = halves(x)
        mean, log_sd = self.prior(kept, condition, self.weights())
        return kept, z, gaussian_log_prob(z, mean, log_sd)

    def join(self, kept: Tensor, z: Tensor) -> Tensor:
        """The tensor that :meth:`divide` divided."""
        return concat((kept, z))

    def latent(self, kept: Tensor, eps: Tensor, condition: Tensor | None = None) -> Tensor:
        """The ``z`` at ``eps`` standard deviations from its prior's mean."""
        mean, log_sd = self.prior(kept, condition, self.weights())
        return mean + exp(log_sd) * eps

    def transform(self, x: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> tuple[Tensor, Tensor]:
        kept, z = halves(x)
        mean, log_sd = self.prior(kept, condition, weights, at)
        return concat((kept, (z - mean) * exp(-log_sd))), -sum_per_sample(log_sd)

    def invert(self, y: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> Tensor:
        kept, eps = halves(y)
        mean, log_sd = self.prior(kept, condition, weights, at)
        return concat((kept, mean + exp(log_sd) * eps))


class TopPrior(nn.Cell):
    """The learned prior of the last latents of a multi-scale flow: ``prior_net`` applied to zeros.

    A padded convolution of zeros differs between inside and border, so the prior depends on the distance to the border.
    """

    def __init__(self, prior_net: Net):
        super().__init__()
        self.prior_net = prior_net

    def prior(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """``(mean, log sd)`` for latents of the shape of ``z``, the same for every sample."""
        return mean_and_log_sd(self.prior_net(zeros_like(z[:1])))

    def construct(self, z: Tensor) -> Tensor:
        """``log p(z)``, (N,)."""
        mean, log_sd = self.prior(z)
        return gaussian_log_prob(z, mean, log_sd)

    def latent(self, eps: Tensor) -> Tensor:
        """The ``z`` at ``eps`` standard deviations from the prior's mean."""
        mean, log_sd = self.prior(eps)
        return mean + exp(log_sd) * eps
