"""Ascend chips and what differs between them: reduced precision, overflow, types.

Facts, with their source:

* names: MindSpore 2.10 maps each to its series (``ascend910``, ``ascend910b``, ``ascend910_93``, ``ascend950``); CANN's
  ``aclrtGetSocName`` gives them. Ascend910B is a 910; those of Atlas A2 have a digit behind it.
* HF32: CANN, option ``allow_hf32`` of atc: A2, A3 and 950 have it; the Atlas training series has not. It is on for
  convolutions and off for matrix products unless said otherwise.
* float32 lowered to float16: MindSpore, ``op_precision.precision_mode``: by default ``force_fp16`` on the Atlas
  training series and ``must_keep_origin_dtype`` on others (2.5); 2.10 names the latter for all. Here it is always said.
* overflow: CANN, ``aclrtFloatOverflowMode``: the Atlas training series only saturates (+-MAX in the place of infinity
  and 0 in that of NaN), Atlas A2 and A3 give infinity and NaN by default, 950 always.
* bfloat16: every series but the Atlas training series.
"""

__all__ = ["Chip", "find_chip", "known_chips", "read_chip_name"]

import ctypes
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Chip:
    """A chip by its series.

    Attributes:
        name: as CANN says it.
        series: what Huawei calls its products; empty for a chip that is not known.
        lowers_fp32: operators take float16 for float32 unless it is forbidden.
        has_hf32: convolutions can round their inputs to 11 bits.
        saturates: overflow gives the largest number, never infinity or NaN.
        has_bf16: whether there is bfloat16.
        whole_graphs: MindSpore hands whole graphs to CANN's deprecated engine unless it is told to launch operators.
    """

    name: str
    series: str
    lowers_fp32: bool
    has_hf32: bool
    saturates: bool
    has_bf16: bool
    whole_graphs: bool = False

    @property
    def known(self) -> bool:
        return bool(self.series)


# name, series, lowers_fp32, has_hf32, saturates, has_bf16, whole_graphs
_SERIES: tuple[tuple[str, str, bool, bool, bool, bool, bool], ...] = (
    (r"Ascend910(A|B|ProA|ProB|PremiumA)?", "Atlas training series", True, False, True, False, True),
    (r"Ascend910B(1|2|2C|3|4|4-1)", "Atlas A2", False, True, False, True, False),
    (r"Ascend910_93\d\d", "Atlas A3", False, True, False, True, False),
    (r"Ascend950(PR|DT)_\w{4}", "Ascend 950", False, True, False, True, False),
)
# of a chip that is not known nothing is assumed; fp16, which needs to see an overflow, is refused there
_UNKNOWN = (False, False, False, False)


def find_chip(name: str) -> Chip:
    """The chip of this name; of one that is not known :attr:`Chip.known` is False."""
    for pattern, series, *facts in _SERIES:
        if re.fullmatch(pattern, name):
            return Chip(name, series, *facts)
    return Chip(name, "", *_UNKNOWN)


def known_chips() -> str:
    """The series that are known, for messages."""
    return ", ".join(series for _, series, *_ in _SERIES)


def read_chip_name() -> str:
    """The name of this host's chip as CANN says it, for example Ascend910B2; empty if it does not."""
    try:
        ask = ctypes.CDLL("libascendcl.so").aclrtGetSocName
    except (OSError, AttributeError):
        return ""
    ask.restype = ctypes.c_char_p
    return (ask() or b"").decode("ascii", "replace")
