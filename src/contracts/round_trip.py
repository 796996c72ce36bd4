"""What claims to be invertible is held to it: one image goes there and back before the first result is believed."""

__all__ = ["LIMIT", "RoundTrip", "eagerly"]

from collections.abc import Callable, Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor

from ..utils.arithmetic import conv_precision
from ..utils.errors import UserError

#: largest error of an image that comes back, of the range of its values: half a step of 8 bits, in every precision
LIMIT = 0.5 / 255


def eagerly(function: Callable[..., Any], arrays: Sequence[np.ndarray]) -> Any:
    """Run a walk through the network operator by operator in any execution mode."""
    mode = ms.get_context("mode")
    ms.set_context(mode=ms.PYNATIVE_MODE)
    if ms.get_context("device_target") == "CPU":
        # the asynchronous pipeline stalls on few cores
        ms.runtime.launch_blocking()
    try:
        return function(*(Tensor(array) for array in arrays))
    finally:
        ms.set_context(mode=mode)


class RoundTrip:
    """Measures once whether an inverse is one in the arithmetic of this process.

    Nothing is compiled for it: it runs operator by operator, on the first image that a caller samples or measures.

    Args:
        name: the system, for the message.
        back: ``(image, *rest)`` as tensors to the image that comes back; values of images have a range of 1.
        advice: what else helps, for the message.
    """

    def __init__(self, name: str, back: Callable[..., Tensor], advice: str):
        self.name, self._back, self._advice = name, back, advice
        self.error: float | None = None

    def require(self, image: np.ndarray, *rest: np.ndarray) -> None:
        """Measure with the first image of a batch, unless that has been done.

        Raises:
            UserError: the image does not come back; the message has the error, the limit and the option.
        """
        if self.error is None:
            image = image[:1].astype(np.float32)
            again = eagerly(self._back, (image, *(array[:1] for array in rest))).asnumpy()
            # of values outside the range, which hot samples have, the rounding is larger
            self.error = float(np.abs(again - image).max() / max(1.0, np.abs(image).max()))
        if self.error <= LIMIT:
            return
        mode = conv_precision()
        first = "use --conv_precision exact, or " if mode != "exact" else ""
        raise UserError(
            f"this {self.name} is not invertible with --conv_precision {mode}: an image comes back with an error of "
            f"{self.error:.1e} of its range, and the limit is {LIMIT:.1e}. Neither samples nor measures of it can be "
            f"trusted: {first}{self._advice}"
        )
