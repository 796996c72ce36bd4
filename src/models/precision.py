"""Convolutions in 16 bits (Micikevicius et al. 2018, "Mixed Precision Training", with the norms in float32, too).

Weights, their gradients and the optimizer's moments stay float32; a convolution casts its weight where it uses it.
Operators between convolutions keep the type of their input: paddings, activations and sums stay in 16 bits, and the
norms of :mod:`src.models.layers` compute in float32 inside. Losses cast what they compare to float32.
"""

__all__ = ["compute_type", "set_precision"]

from typing import Any

import mindspore as ms
from mindspore import nn

_TYPES = {"fp32": ms.float32, "fp16": ms.float16, "bf16": ms.bfloat16}


def compute_type(precision: str) -> Any:
    """The MindSpore type that convolutions compute in with ``precision`` fp32, fp16 or bf16."""
    return _TYPES[precision]


def set_precision(cell: nn.Cell, precision: str) -> None:
    """Let every convolution inside ``cell`` compute in ``precision``; call it before anything is compiled.

    Convolutions are ``nn.Conv2d``, ``nn.Conv2dTranspose`` and every Cell with a method ``set_compute_type``. With fp16
    the loss needs a scale, or small gradients vanish.
    """
    if precision == "fp32":
        return
    for _, child in cell.cells_and_names():
        if hasattr(child, "set_compute_type"):
            child.set_compute_type(_TYPES[precision])
        elif isinstance(child, (nn.Conv2d, nn.Conv2dTranspose)):
            child.to_float(_TYPES[precision])
        elif isinstance(child, nn.BatchNorm2d):
            child.to_float(ms.float32)
