"""Scales that cannot reach zero or infinity, an alternative to the published parametrisation."""

__all__ = ["atanh_init", "bounded_log_scale"]

import numpy as np
from mindspore import Tensor

from .primitives import tanh


def bounded_log_scale(raw: Tensor, limit: float) -> Tensor:
    """``limit * tanh(raw / limit)``: a log-scale in (-limit, limit), the identity near zero."""
    return limit * tanh(raw / limit)


def atanh_init(log_scale: np.ndarray, limit: float) -> np.ndarray:
    """The inverse of :func:`bounded_log_scale`: the ``raw`` for ``log_scale``, clipped to the limit."""
    return limit * np.arctanh(np.clip(np.asarray(log_scale, np.float64) / limit, -0.999, 0.999))
