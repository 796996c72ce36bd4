"""Couplings: a network of one half of the channels transforms the other half (Dinh et al. 2017)."""

__all__ = ["AdditiveCoupling", "AffineCoupling"]

from mindspore import Parameter, Tensor

from .op import InvertibleOp, Net
from .primitives import concat, exp, halves, reshape, sigmoid, softplus, sum_per_sample, zeros_like
from .scales import bounded_log_scale


class AdditiveCoupling(InvertibleOp):
    """``y1 = x1``, ``y2 = x2 + net(x1)``; ``logdet = 0``. C must be even; ``net`` maps C/2 (+ condition) to C/2.

    ``cond_net``, if given, maps the condition (N, any, H, W) to the channels that are joined to ``x1`` before ``net``.
    """

    def __init__(self, net: Net, cond_net: Net | None = None, condition_first: bool = False):
        super().__init__()
        self.net = net
        self.net_weights = len(net.weights())
        self.conditional, self.condition_first = cond_net is not None, condition_first
        if cond_net is not None:
            self.cond_net = cond_net

    def weights(self) -> tuple[Parameter, ...]:
        if self.conditional:
            return self.net.weights() + self.cond_net.weights()
        return self.net.weights()

    def network_input(self, x1: Tensor, condition: Tensor | None, weights: tuple, at: int) -> Tensor:
        """The kept half, concatenated with the embedded condition."""
        if not self.conditional:
            return x1
        c = self.cond_net.compute(condition, weights, at + self.net_weights)
        return concat((c, x1) if self.condition_first else (x1, c))

    def respond(self, x1: Tensor, condition: Tensor | None, weights: tuple, at: int) -> Tensor:
        """The network's output for the kept half and the condition."""
        return self.net.compute(self.network_input(x1, condition, weights, at), weights, at)

    def initialise(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        x1, _ = halves(x)
        self.net.initialise(self.network_input(x1, condition, self.weights(), 0))
        return super().initialise(x, condition)

    def transform(self, x: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> tuple[Tensor, Tensor]:
        x1, x2 = halves(x)
        y2 = x2 + self.respond(x1, condition, weights, at)
        return concat((x1, y2)), zeros_like(x[:, 0, 0, 0])

    def invert(self, y: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> Tensor:
        y1, y2 = halves(y)
        return concat((y1, y2 - self.respond(y1, condition, weights, at)))


class AffineCoupling(AdditiveCoupling):
    """``y1 = x1``, ``y2 = s (x2 + t)`` with ``(log s, t)`` from ``net``, which has C outputs; ``logdet = sum log s``.

    Published form (Glow's code): ``s = sigmoid(h + 2)``, in (0, 1), 0.88 at the start. With ``limit``: ``log s`` within
    (-limit, limit), ``s = 1`` at the start. The network puts scales in the first half of its channels and shifts in the
    second; ``interleaved`` (C-Glow, DUAL-Glow): shifts in the even ones, scales in the odd.
    """

    def __init__(
        self,
        net: Net,
        cond_net: Net | None = None,
        condition_first: bool = False,
        interleaved: bool = False,
        limit: float | None = None,
    ):
        super().__init__(net, cond_net, condition_first)
        self.interleaved, self.limit = interleaved, limit

    def scale_and_shift(
        self, x1: Tensor, condition: Tensor | None, weights: tuple, at: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``(s, log s, t)``, each with the shape of ``x1``."""
        h = self.respond(x1, condition, weights, at)
        if self.interleaved:
            n, c, height, width = h.shape
            h = reshape(h, (n, c // 2, 2, height, width))
            t, raw = h[:, :, 0], h[:, :, 1]
        else:
            raw, t = halves(h)
        if self.limit:
            log_s = bounded_log_scale(raw, self.limit)
            return exp(log_s), log_s, t
        return sigmoid(raw + 2.0), -softplus(-2.0 - raw), t

    def transform(self, x: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> tuple[Tensor, Tensor]:
        x1, x2 = halves(x)
        s, log_s, t = self.scale_and_shift(x1, condition, weights, at)
        return concat((x1, s * (x2 + t))), sum_per_sample(log_s)

    def invert(self, y: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> Tensor:
        y1, y2 = halves(y)
        s, _, t = self.scale_and_shift(y1, condition, weights, at)
        return concat((y1, y2 / s - t))
