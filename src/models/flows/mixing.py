"""Invertible 1x1 convolutions: one C x C matrix mixes the channels of every pixel (Kingma and Dhariwal 2018, 3.2).

Each of the four applies its matrix in one batched product; the conditional ones have a matrix a sample, for any batch.
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
from mindspore import Parameter, Tensor
from scipy.linalg import lu

from .linalg import TriangularInverse, inverse, logabsdet, masks
from .nets import parameter
from .op import InvertibleOp, Net
from .primitives import batch_matmul, exp, ones_like, reduce_sum, repeat, reshape
from .scales import bounded_log_scale


def random_rotation(rng: np.random.Generator, channels: int) -> np.ndarray:
    """A random orthogonal (C, C) float32 matrix."""
    return np.linalg.qr(rng.standard_normal((channels, channels)))[0].astype(np.float32)


def lu_parts(w: np.ndarray) -> dict[str, np.ndarray]:
    """``w = w_p (w_l + I) (w_u + diag(s_sign exp(w_s)))`` with strictly triangular ``w_l`` and ``w_u``, all float32."""
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
    """``w`` (N, C, C), or (1, C, C) for all samples, applied to the channels of ``x`` (N, C, H, W)."""
    n, c, height, width = x.shape
    if w.shape[0] != n:
        w = repeat(w, n)
    return reshape(batch_matmul(w, reshape(x, (n, c, height * width))), x.shape)


class InvertibleConv(InvertibleOp):
    """``y = W x`` at every pixel, ``weight`` (C, C, 1, 1); ``logdet = H W log |det W|``.

    Published form: W starts as a random rotation and is free after that; nothing keeps it away from singular matrices
    (the LU form does). Determinant and inverse are taken in float64.
    """

    def __init__(self, rng: np.random.Generator, channels: int):
        super().__init__()
        self.channels = channels
        self.weight = parameter(random_rotation(rng, channels).reshape(channels, channels, 1, 1), "weight")

    def weights(self) -> tuple[Parameter, ...]:
        return (self.weight,)

    def matrix(self, condition: Tensor | None, weights: tuple, at: int) -> Tensor:
        """W as (1, C, C)."""
        return reshape(weights[at], (1, self.channels, self.channels))

    def transform(self, x: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> tuple[Tensor, Tensor]:
        w = self.matrix(condition, weights, at)
        return mix(w, x), _per_sample(logabsdet(w), x)

    def invert(self, y: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> Tensor:
        return mix(inverse(self.matrix(condition, weights, at)), y)


class ConditionalInvertibleConv(InvertibleConv):
    """A free matrix for every sample: ``W = cond_net(condition)``, (N, C*C) row by row.

    Published form (Full-Glow): no bound on W, which may be singular for a condition never seen. The last layer,
    ``cond_net.last``, starts with zero weight and a random rotation as its bias.
    """

    def __init__(self, rng: np.random.Generator, channels: int, cond_net: Net):
        InvertibleOp.__init__(self)
        self.channels = channels
        self.cond_net = cond_net
        cond_net.last.start(random_rotation(rng, channels).reshape(-1))

    def weights(self) -> tuple[Parameter, ...]:
        return self.cond_net.weights()

    def matrix(self, condition: Tensor | None, weights: tuple, at: int) -> Tensor:
        """W as (N, C, C)."""
        w = self.cond_net.compute(condition, weights, at)
        return reshape(w, (-1, self.channels, self.channels))


class InvertibleConvLU(InvertibleOp):
    """``W = w_p (w_l + I) (w_u + diag(s_sign exp(w_s)))``; ``logdet = H W sum w_s``.

    The permutation ``w_p`` and the signs ``s_sign`` stay as they were drawn, the triangles and ``w_s`` are trained, so
    W is never singular. The inverse goes through the inverses of the two triangles. With ``limit`` the log-diagonal is
    kept within (-limit, limit).
    """

    def __init__(self, rng: np.random.Generator, channels: int, limit: float | None = None):
        super().__init__()
        parts = self._draw(rng, channels, limit)
        self.w_l = parameter(parts["w_l"], "w_l")
        self.w_u = parameter(parts["w_u"], "w_u")
        self.w_s = parameter(parts["w_s"], "w_s")

    def _draw(self, rng: np.random.Generator, channels: int, limit: float | None) -> dict[str, np.ndarray]:
        """Set the fixed parts, which both LU forms have, and return all factors of a random rotation."""
        self.channels, self.limit = channels, limit
        parts = lu_parts(random_rotation(rng, channels))
        self.w_p = parameter(parts["w_p"], "w_p", trainable=False)
        self.s_sign = parameter(parts["s_sign"], "s_sign", trainable=False)
        self.lower_mask, self.upper_mask, self.identity = masks(channels)
        self.lower_inverse = TriangularInverse(channels)
        self.upper_inverse = TriangularInverse(channels, upper=True)
        return parts

    def weights(self) -> tuple[Parameter, ...]:
        return (self.w_p, self.s_sign, self.w_l, self.w_u, self.w_s)

    def raw_factors(self, condition: Tensor | None, weights: tuple, at: int) -> tuple[Tensor, Tensor, Tensor]:
        """The triangles, of which only the strict parts are used, and the log-diagonal: (1, C, C) twice, (1, C, 1)."""
        c = self.channels
        square = (1, c, c)
        return (
            reshape(weights[at], square),
            reshape(weights[at + 1], square),
            reshape(weights[at + 2], (1, c, 1)),
        )

    def factors(
        self, condition: Tensor | None, weights: tuple, at: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """``(P, L, U, log diagonal, diagonal)``: three times (N or 1, C, C), twice (N or 1, C, 1)."""
        lower, upper, log_s = self.raw_factors(condition, weights, at + 2)
        if self.limit:
            log_s = bounded_log_scale(log_s, self.limit)
        c = self.channels
        diagonal = exp(log_s) * reshape(weights[at + 1], (1, c, 1))
        p = repeat(reshape(weights[at], (1, c, c)), lower.shape[0])
        return p, lower * self.lower_mask, upper * self.upper_mask, log_s, diagonal

    def transform(self, x: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> tuple[Tensor, Tensor]:
        p, lower, upper, log_s, diagonal = self.factors(condition, weights, at)
        w = batch_matmul(lower + self.identity, upper + self.identity * diagonal)
        return mix(batch_matmul(p, w), x), _per_sample(reduce_sum(log_s, (1, 2)), x)

    def invert(self, y: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> Tensor:
        p, lower, upper, log_s, diagonal = self.factors(condition, weights, at)
        unpermuted = batch_matmul(self.lower_inverse(lower, ones_like(log_s)), p.transpose(0, 2, 1))
        return mix(self.upper_inverse(upper, diagonal), mix(unpermuted, y))


class ConditionalInvertibleConvLU(InvertibleConvLU):
    """The LU form with a matrix a sample: ``cond_net(condition)`` is (N, 2C*C + C): lower, upper, log-diagonal.

    The permutation and the signs do not depend on the condition. The last layer, ``cond_net.last``, starts with zero
    weight and the factors of a random rotation as its bias. The published code takes one sample at a time; this one
    takes any batch.
    """

    def __init__(self, rng: np.random.Generator, channels: int, cond_net: Net, limit: float | None = None):
        InvertibleOp.__init__(self)
        parts = self._draw(rng, channels, limit)
        self.cond_net = cond_net
        cond_net.last.start(np.concatenate([parts[name].reshape(-1) for name in ("w_l", "w_u", "w_s")]))

    def weights(self) -> tuple[Parameter, ...]:
        return (self.w_p, self.s_sign) + self.cond_net.weights()

    def raw_factors(self, condition: Tensor | None, weights: tuple, at: int) -> tuple[Tensor, Tensor, Tensor]:
        """The triangles and the log-diagonal of every sample: (N, C, C) twice, (N, C, 1)."""
        c = self.channels
        h = self.cond_net.compute(condition, weights, at)
        n = h.shape[0]
        lower, upper, log_s = h[:, : c * c], h[:, c * c : 2 * c * c], h[:, 2 * c * c :]
        return reshape(lower, (n, c, c)), reshape(upper, (n, c, c)), reshape(log_s, (n, c, 1))


def _per_sample(log_volume: Tensor, x: Tensor) -> Tensor:
    """The log-determinant (N,) of an op that changes the volume of every pixel of ``x`` by ``log_volume`` (N or 1,)."""
    logdet = log_volume * (x.shape[2] * x.shape[3])
    if logdet.shape[0] != x.shape[0]:
        logdet = repeat(logdet, x.shape[0])
    return logdet
