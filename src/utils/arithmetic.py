"""The arithmetic of float32 convolutions on this device, set once in a process before its first operator."""

__all__ = ["CONV_PRECISIONS", "conv_precision", "set_conv_precision"]

from collections.abc import Callable

import mindspore as ms

from .chips import Chip, known_chips
from .errors import UserError

CONV_PRECISIONS = ("exact", "hf32")
# like the device itself, a process has one
_current = "exact"


def conv_precision() -> str:
    """What convolutions of float32 compute in here: ``exact``, or ``hf32`` (HF32 on Ascend, TF32 on CUDA)."""
    return _current


def set_conv_precision(target: str, chip: Chip | None, wanted: str, say: Callable[[str], None]) -> str:
    """Tell MindSpore what the options want, and return what the device does; call it before the first operator.

    With ``exact`` nothing is rounded: no HF32 or TF32, and on chips that lower float32 to float16 the types are kept.
    With ``hf32`` a device that has it rounds inputs and weights of convolutions to 11 bits (TF32: 10). Products of
    matrices are always exact: inverses, determinants and running sums of flows are such products.

    Args:
        target: ``Ascend``, ``GPU`` or ``CPU``.
        chip: the chip where the target is Ascend.
        wanted: one of :data:`CONV_PRECISIONS`.
        say: receives a notice where the device does not do what is wanted.

    Raises:
        UserError: the process has computed in another mode already.
    """
    global _current
    rounds = wanted == "hf32"
    calls: list[tuple[Callable, bool | str]] = []
    if target == "Ascend" and chip is not None:
        if not chip.known:
            rounds = False
            say(
                f"chip {chip.name or 'without a name'} is not known here (known: {known_chips()}): convolutions are "
                "exact, and nothing else is assumed"
            )
        elif rounds and not chip.has_hf32:
            rounds = False
            say(f"{chip.name} has no hf32: convolutions are exact")
        precision = ms.device_context.ascend.op_precision
        calls += [(precision.conv_allow_hf32, rounds), (precision.matmul_allow_hf32, False)]
        if chip.lowers_fp32 or not chip.known:
            calls.append((precision.precision_mode, "must_keep_origin_dtype"))
    elif target == "GPU":
        precision = ms.device_context.gpu.op_precision
        calls += [(precision.conv_allow_tf32, rounds), (precision.matmul_allow_tf32, False)]
    elif rounds:
        rounds = False
        say(f"{target} has no hf32: convolutions are exact")
    try:
        for function, value in calls:
            function(value)
    except RuntimeError as error:
        raise UserError(
            f"conv_precision {wanted}: this process computes in another mode already, and a process has one "
            f"({str(error).splitlines()[0]}): start another"
        ) from None
    _current = CONV_PRECISIONS[rounds]
    return _current
