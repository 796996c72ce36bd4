"""How exact convolutions and matrix products are on the device, and what it makes of an overflow."""

__all__ = ["measure"]

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src.systems.programs import load_config
from src.utils.runtime import start

_CHANNELS, _SIDE = 64, 16


def measure(target: str, words: list[str]) -> dict[str, Any]:
    """Exact bits of results in float32, and the value of an overflow.

    The bits are ``-log2`` of the RMS error over the RMS of a float64 result: about 22 where float32 is float32, 12
    where convolutions round their inputs to 11 bits (HF32, TF32, float16).
    """
    config = load_config([f"--device_target={target}", *words])
    start(config)
    random = np.random.default_rng(0)
    image = random.normal(size=(1, _CHANNELS, _SIDE, _SIDE)).astype(np.float32)
    weight = random.normal(size=(_CHANNELS, _CHANNELS, 3, 3)).astype(np.float32)
    left, right = (random.normal(size=(256, 256)).astype(np.float32) for _ in range(2))
    convolution = nn.Conv2d(_CHANNELS, _CHANNELS, 3, pad_mode="valid", weight_init=Tensor(weight))
    found: dict[str, Any] = {
        "convolution, exact bits": _bits(convolution(Tensor(image)), _convolved(image, weight)),
        "matrix product, exact bits": _bits(
            ops.matmul(Tensor(left), Tensor(right)), left.astype(np.float64) @ right.astype(np.float64)
        ),
    }
    huge = float((Tensor(np.full(8, 3e38, np.float32)) * Tensor(np.full(8, 10, np.float32))).asnumpy()[0])
    found["3e38 * 10"] = f"{huge}: " + ("infinity" if np.isinf(huge) else "saturates, so finite checks are blind")
    found["chip"] = _chip() if target == "Ascend" else target
    return found


def _convolved(image: np.ndarray, weight: np.ndarray) -> np.ndarray:
    image, weight = image.astype(np.float64), weight.astype(np.float64)
    side = _SIDE - 2
    parts = (
        np.einsum("oc,nchw->nohw", weight[:, :, y, x], image[:, :, y : y + side, x : x + side])
        for y in range(3)
        for x in range(3)
    )
    return np.sum(list(parts), axis=0)


def _bits(got: Tensor, want: np.ndarray) -> float:
    error = np.sqrt(np.mean((got.asnumpy().astype(np.float64) - want) ** 2) / np.mean(want**2))
    return round(float(-np.log2(max(error, 1e-12))), 1)


def _chip() -> str:
    from mindspore._c_expression import MSContext

    # no public function tells the name of the chip in all of MindSpore 2.7 to 2.10
    name = getattr(MSContext.get_instance(), "get_ascend_soc_name", None)
    return str(name()) if name else f"unknown to MindSpore {ms.__version__}"
