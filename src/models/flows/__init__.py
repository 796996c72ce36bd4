"""Invertible ops for flows on images, plain and conditional; nothing here knows a system.

The contract is :class:`InvertibleOp`; :class:`Sequence` runs many of them with bounded memory.
"""

from .actnorm import ActNorm, ConditionalActNorm
from .coupling import AdditiveCoupling, AffineCoupling
from .mixing import (
    ConditionalInvertibleConv,
    ConditionalInvertibleConvLU,
    InvertibleConv,
    InvertibleConvLU,
)
from .op import Inverse, InvertibleOp, Net
from .sequence import MEMORY_MODES, Sequence
from .split import Split, TopPrior, gaussian_log_prob
from .squeeze import Squeeze, check_squeezable

__all__ = [
    "MEMORY_MODES",
    "ActNorm",
    "AdditiveCoupling",
    "AffineCoupling",
    "ConditionalActNorm",
    "ConditionalInvertibleConv",
    "ConditionalInvertibleConvLU",
    "Inverse",
    "InvertibleConv",
    "InvertibleConvLU",
    "InvertibleOp",
    "Net",
    "Sequence",
    "Split",
    "Squeeze",
    "TopPrior",
    "check_squeezable",
    "gaussian_log_prob",
]
