"""Temporal consistency: a frame and the one before it look alike where they show the same thing.

The short-term loss of Lai et al. 2018, "Learning Blind Video Temporal Consistency", section 3.2, without its weighting
by the difference of the inputs, because where the flow is known is an input here.
"""

__all__ = ["moved", "temporal_loss"]

import mindspore as ms
from mindspore import Tensor, ops


def temporal_loss(later: Tensor, before: Tensor, flow: Tensor) -> Tensor:
    """Mean absolute difference of frames along their flow: a float32 scalar, 0 where no flow is known.

    The gradient is that of ``later`` alone. Each frame of a video is the later one of a pair, so that all are pulled
    towards each other, and the pass that makes ``before`` keeps nothing for a backward pass. The gradient of a gather
    would be a scatter with additions at equal places, which is slow and not repeatable on GPUs and NPUs.

    Args:
        later, before: images (N, C, H, W) of any float type.
        flow: float32 (N, 3, H, W): pixels right and down from a place in ``later`` to the same thing in ``before``, and
            1 where this is known, 0 elsewhere.
    """
    before, seen = moved(ops.stop_gradient(before), flow)
    difference = ops.abs(later.astype(ms.float32) - before).mean(1)
    return (difference * seen).sum() / ops.maximum(seen.sum(), Tensor(1.0, ms.float32))


def moved(before: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """The frame before, moved to where the later one has it, between four pixels each, and where that is known.

    Args:
        before, flow: as in :func:`temporal_loss`.

    Returns:
        float32 (N, C, H, W), and float32 (N, H, W): 1 where the flow is known and leads to a place inside the frame.
    """
    count, channels, height, width = before.shape
    x = flow[:, 0] + ms.numpy.arange(width).astype(ms.float32)
    y = flow[:, 1] + ms.numpy.arange(height).astype(ms.float32).reshape(height, 1)
    inside = ops.logical_and(
        ops.logical_and(x >= 0.0, x <= float(width - 1)), ops.logical_and(y >= 0.0, y <= float(height - 1))
    )
    # far ends outside, which do not count, must not overflow integers
    x, y = x.clip(0.0, float(width - 1)), y.clip(0.0, float(height - 1))
    left, top = ops.floor(x), ops.floor(y)
    right, down = x - left, y - top
    left, top = left.astype(ms.int32), top.astype(ms.int32)
    columns = (left, (left + 1).clip(0, width - 1))
    first = ms.numpy.arange(count).astype(ms.int32).reshape(count, 1, 1) * (height * width)
    rows = (first + top * width, first + (top + 1).clip(0, height - 1) * width)
    shares_x, shares_y = (1.0 - right, right), (1.0 - down, down)
    pixels = before.astype(ms.float32).transpose(0, 2, 3, 1).reshape(-1, channels)
    total = ops.zeros_like(pixels)
    for j in range(2):
        for i in range(2):
            corner = ops.gather(pixels, (rows[j] + columns[i]).reshape(-1), 0)
            total = total + corner * (shares_y[j] * shares_x[i]).reshape(-1, 1)
    image = total.reshape(count, height, width, channels).transpose(0, 3, 1, 2)
    return image, flow[:, 2] * inside.astype(ms.float32)
