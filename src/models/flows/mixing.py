"""Invertible 1x1 convolutions: one C x C matrix mixes the channels of every pixel (Kingma and Dhariwal 2018,
3.2).

Each of the four applies its matrix in one batched product; the conditional ones have a matrix a sample, for
any batch.
"""

__all__ = [
    "ConditionalInvertibleConv",
    "ConditionalInvertibleConvLU",
    "InvertibleConv",
    "InvertibleConvLU",
    "lu_parts",
    "random_rotation",
]

import numpy as np
from mindspore import Tensor, ops
from scipy.linalg import lu

from src.models.flows.linalg import TriangularInverse, inverse, logabsdet, masks
from src.models.flows.nets import parameter
from src.models.flows.op import InvertibleOp, Net
from src.models.flows.scales import bounded_log_scale


def random_rotation(rng: np.random.Generator, channels: int) -> np.ndarray:
    """A random orthogonal (C, C) float32 matrix."""
    return np.linalg.qr(rng.standard_normal((channels, channels)))[0].astype(np.float32)


def lu_parts(w: np.ndarray) -> dict[str, np.ndarray]:
    """``w = w_p (w_l + I) (w_u + diag(s_sign exp(w_s)))`` with strictly triangular ``w_l`` and ``w_u``, all
    float32."""
    p, lower, upper = lu(w)
    diagonal = np.diag(upper)
    parts = {
        "w_p": p,
        "w_l": np.tril(lower, -1),
        "w_u": np.triu(upper, 1),
        "w_s": np.log(np.abs(diagonal)),
        "s_sign": np.sign(diagonal),
    }
    return {name: value.astype(np.float32) for name, value in parts.items()}


def mix(w: Tensor, x: Tensor) -> Tensor:
    """``w`` (C, C) or (N, C, C) applied to the channels of ``x`` (N, C, H, W)."""
    n, c, h, width = x.shape
    return ops.matmul(w, x.reshape(n, c, h * width)).reshape(n, c, h, width)


class InvertibleConv(InvertibleOp):
    """``y = W x`` at every pixel, ``weight`` (C, C, 1, 1); ``logdet = H W log |det W|``.

    Published form: W starts as a random rotation and is free after that; nothing keeps it away from singular
    matrices (the LU form does). Determinant and inverse are taken in float64.
    """

    def __init__(self, rng: np.random.Generator, channels: int):
        super().__init__()
        self.channels = channels
        self.weight = parameter(random_rotation(rng, channels).reshape(channels, channels, 1, 1), "weight")

    def weights(self):
        return (self.weight,)

    def matrix(self, condition: Tensor | None, *weights: Tensor) -> Tensor:
        """W as (1, C, C)."""
        return weights[0].reshape(1, self.channels, self.channels)

    def transform(self, x: Tensor, condition: Tensor | None, *weights: Tensor):
        w = self.matrix(condition, *weights)
        logdet = logabsdet(w) * (x.shape[2] * x.shape[3])
        return mix(w, x), logdet + ops.zeros((x.shape[0],), x.dtype)

    def invert(self, y: Tensor, condition: Tensor | None, *weights: Tensor):
        return mix(inverse(self.matrix(condition, *weights)), y)


class ConditionalInvertibleConv(InvertibleConv):
    """A free matrix for every sample: ``W = cond_net(condition)``, (N, C*C) row by row.

    Published form (Full-Glow): no bound on W, which may be singular for a condition never seen. The last
    layer, ``cond_net.last``, starts with zero weight and a random rotation as its bias.
    """

    def __init__(self, rng: np.random.Generator, channels: int, cond_net: Net):
        InvertibleOp.__init__(self)
        self.channels = channels
        self.cond_net = cond_net
        cond_net.last.start(random_rotation(rng, channels).reshape(-1))

    def weights(self):
        return self.cond_net.weights()

    def matrix(self, condition: Tensor | None, *weights: Tensor) -> Tensor:
        """W as (N, C, C)."""
        return self.cond_net.compute(condition, *weights).reshape(-1, self.channels, self.channels)


class InvertibleConvLU(InvertibleOp):
    """``W = w_p (w_l + I) (w_u + diag(s_sign exp(w_s)))``; ``logdet = H W sum w_s``.

    The permutation ``w_p`` and the signs ``s_sign`` stay as they were drawn, the triangles and ``w_s`` are
    trained, so W is never singular. The inverse goes through the inverses of the two triangles. With
    ``bound`` the log-diagonal is kept within (-bound, bound).
    """

    def __init__(self, rng: np.random.Generator, channels: int, bound: float | None = None):
        super().__init__()
        parts = self.set_up(rng, channels, bound)
        self.w_l = parameter(parts["w_l"], "w_l")
        self.w_u = parameter(parts["w_u"], "w_u")
        self.w_s = parameter(parts["w_s"], "w_s")

    def set_up(self, rng: np.random.Generator, channels: int, bound: float | None) -> dict[str, np.ndarray]:
        """What both LU forms have: the fixed parts. Returns the factors of a random rotation."""
        self.channels, self.bound = channels, bound
        parts = lu_parts(random_rotation(rng, channels))
        self.w_p = parameter(parts["w_p"], "w_p", trainable=False)
        self.s_sign = parameter(parts["s_sign"], "s_sign", trainable=False)
        self.lower_mask, self.upper_mask, self.identity = masks(channels)
        self.lower_inverse = TriangularInverse(channels)
        self.upper_inverse = TriangularInverse(channels, upper=True)
        return parts

    def weights(self):
        return (self.w_p, self.s_sign, self.w_l, self.w_u, self.w_s)

    def factors(self, condition: Tensor | None, *weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The triangles (strict parts count) and the log-diagonal: (1, C, C), (1, C, C), (1, C)."""
        c = self.channels
        return weights[2].reshape(1, c, c), weights[3].reshape(1, c, c), self.limit(weights[4].reshape(1, c))

    def limit(self, log_s: Tensor) -> Tensor:
        """The log-diagonal within its bound, if there is one."""
        if self.bound:
            return bounded_log_scale(log_s, self.bound)
        return log_s

    def transform(self, x: Tensor, condition: Tensor | None, *weights: Tensor):
        lower, upper, log_s = self.factors(condition, *weights)
        diagonal = weights[1] * ops.exp(log_s)
        upper = upper * self.upper_mask + self.identity * diagonal.expand_dims(-1)
        w = ops.matmul(weights[0], ops.matmul(lower * self.lower_mask + self.identity, upper))
        logdet = log_s.sum(1) * (x.shape[2] * x.shape[3])
        return mix(w, x), logdet + ops.zeros((x.shape[0],), x.dtype)

    def invert(self, y: Tensor, condition: Tensor | None, *weights: Tensor):
        lower, upper, log_s = self.factors(condition, *weights)
        diagonal = weights[1] * ops.exp(log_s)
        lower_inverse = ops.matmul(
            self.lower_inverse(lower, ops.ones_like(log_s)), weights[0].transpose(1, 0)
        )
        return mix(self.upper_inverse(upper, diagonal), mix(lower_inverse, y))


class ConditionalInvertibleConvLU(InvertibleConvLU):
    """The LU form with a matrix a sample: ``cond_net(condition)`` is (N, 2C*C + C): lower, upper,
    log-diagonal.

    The permutation and the signs do not depend on the condition. The last layer, ``cond_net.last``, starts
    with zero weight and the factors of a random rotation as its bias. The published code takes one sample at
    a time; this one takes any batch.
    """

    def __init__(self, rng: np.random.Generator, channels: int, cond_net: Net, bound: float | None = None):
        InvertibleOp.__init__(self)
        parts = self.set_up(rng, channels, bound)
        self.cond_net = cond_net
        cond_net.last.start(np.concatenate([parts[name].reshape(-1) for name in ("w_l", "w_u", "w_s")]))

    def weights(self):
        return (self.w_p, self.s_sign) + self.cond_net.weights()

    def factors(self, condition: Tensor | None, *weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The triangles and the log-diagonal of every sample: (N, C, C), (N, C, C), (N, C)."""
        c = self.channels
        h = self.cond_net.compute(condition, *weights[2:])
        n = h.shape[0]
        lower, upper = h[:, : c * c].reshape(n, c, c), h[:, c * c : 2 * c * c].reshape(n, c, c)
        return lower, upper, self.limit(h[:, 2 * c * c :])
