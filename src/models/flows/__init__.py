"""Invertible ops for flows on pictures, plain and conditional; nothing here knows a system.

The contract is :class:`InvertibleOp`; :class:`Sequence` runs many of them with bounded memory.
"""

from src.models.flows.actnorm import ActNorm, ConditionalActNorm
from src.models.flows.coupling import AdditiveCoupling, AffineCoupling
from src.models.flows.mixing import (
    ConditionalInvertibleConv,
    ConditionalInvertibleConvLU,
    InvertibleConv,
    InvertibleConvLU,
)
from src.models.flows.op import Inverse, InvertibleOp, Net
from src.models.flows.sequence import MEMORY_MODES, Sequence
from src.models.flows.split import Split, TopPrior, gaussian_log_prob
from src.models.flows.squeeze import Squeeze, check_squeezable

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
