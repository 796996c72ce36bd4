"""Scales that cannot reach zero or infinity, for those who choose them over the published parametrisation."""

__all__ = ["atanh_init", "bounded_log_scale"]

import numpy as np
from mindspore import Tensor, ops


def bounded_log_scale(raw: Tensor, bound: float) -> Tensor:
    """``bound * tanh(raw / bound)``: a log-scale in (-bound, bound), the identity near zero."""
    return bound * ops.tanh(raw / bound)


def atanh_init(log_scale: np.ndarray, bound: float) -> np.ndarray:
    """The ``raw`` whose :func:`bounded_log_scale` is ``log_scale``, or as near as the bound allows."""
    return bound * np.arctanh(np.clip(np.asarray(log_scale, np.float64) / bound, -0.999, 0.999))
