"""The temporal loss: closed forms of shifts, what does not count, and its gradient, in both modes."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from src.imaging.flow import warp
from src.models.temporal import moved, temporal_loss

SIZE = (7, 9)


class Moved(nn.Cell):
    def construct(self, before, flow):
        return moved(before, flow)


class Loss(nn.Cell):
    def construct(self, later, before, flow):
        return temporal_loss(later, before, flow)


def flow_of(x, y, count=1, size=SIZE):
    return np.broadcast_to(np.float32([x, y, 1]).reshape(1, 3, 1, 1), (count, 3, *size)).copy()


def images(count=2, channels=3, size=SIZE, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, channels, *size)).astype(np.float32)


def loss(later, before, flow, cell=None):
    return float((cell or Loss())(Tensor(later), Tensor(before), Tensor(flow)))


def test_a_shift_by_whole_pixels_and_by_half_a_pixel(mode):
    before = images()
    whole, known = (x.asnumpy() for x in Moved()(Tensor(before), Tensor(flow_of(2, -1, 2))))
    np.testing.assert_array_equal(whole[:, :, 1:, :-2], before[:, :, :-1, 2:])
    wanted = np.zeros((2, *SIZE), np.float32)
    wanted[:, 1:, :-2] = 1
    np.testing.assert_array_equal(known, wanted)
    half, known = (x.asnumpy() for x in Moved()(Tensor(before), Tensor(flow_of(0.5, 0, 2))))
    np.testing.assert_allclose(half[..., :-1], (before[..., :-1] + before[..., 1:]) / 2, atol=1e-6)
    assert known[..., :-1].all() and not known[..., -1].any()


def test_it_is_zero_for_frames_that_agree_and_what_is_unknown_does_not_count():
    before, flow = images(), flow_of(1, 2, 2)
    later = np.full_like(before, 5.0)
    later[:, :, :-2, :-1] = before[:, :, 2:, 1:]
    # the rest leads outside
    assert loss(later, before, flow) == 0.0
    later[0, :, 3, 4] += [0.3, -0.6, 0.0]
    assert loss(later, before, flow) == pytest.approx(0.3 / (2 * 5 * 8), rel=1e-5)
    flow[0, 2, 3, 4] = 0.0
    assert loss(later, before, flow) == 0.0
    flow[:, 2] = 0.0
    assert loss(later, before, flow) == 0.0


def test_any_flow_is_that_of_the_measure_and_half_precision_is_widened():
    """With places far outside, and images of each type, on the measure's warp."""
    rng = np.random.default_rng(3)
    before, later = images(seed=1), images(seed=2)
    flow = np.concatenate([rng.uniform(-4, 4, (2, 2, *SIZE)), rng.random((2, 1, *SIZE)) < 0.8], 1).astype(np.float32)
    flow[0, 0, 2, 2] = 1e12
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    at_x, at_y = flow[:, 0] + x, flow[:, 1] + y
    seen = (flow[:, 2] > 0) & (at_x >= 0) & (at_x <= SIZE[1] - 1) & (at_y >= 0) & (at_y <= SIZE[0] - 1)
    # OpenCV's weights are in 1/32 pixel
    steps = np.rint(flow[:, :2] * 32) / 32
    flow[:, :2] = np.where(seen[:, None], steps, flow[:, :2])
    there = np.stack([warp(b.transpose(1, 2, 0), f[:2].transpose(1, 2, 0)) for b, f in zip(before, flow, strict=True)])
    wanted = np.abs(later - there.transpose(0, 3, 1, 2)).mean(1)[seen].mean()
    assert 0.2 < seen.mean() < 0.8
    assert loss(later, before, flow) == pytest.approx(wanted, rel=1e-5)
    half = temporal_loss(Tensor(later, ms.float16), Tensor(before, ms.float16), Tensor(flow))
    assert half.dtype == ms.float32 and float(half) == pytest.approx(wanted, rel=1e-2)


def test_the_gradient_is_that_of_the_later_frame(mode):
    """Against central differences, and none for the frame before."""
    rng = np.random.default_rng(5)
    before, later, flow = images(seed=6), images(seed=7), flow_of(0.25, -1.5, 2)
    flow[:, 2] = rng.random((2, *SIZE)) < 0.7
    cell = Loss()
    of_later, of_before = (g.asnumpy() for g in ms.grad(cell, (0, 1))(Tensor(later), Tensor(before), Tensor(flow)))
    assert not of_before.any()
    for place in [(0, 0, 3, 4), (1, 2, 5, 1), (1, 1, 2, 8), (0, 2, 0, 0)]:
        ends = []
        for sign in (1, -1):
            changed = later.copy()
            changed[place] += sign * 1e-2
            ends.append(loss(changed, before, flow, cell))
        assert of_later[place] == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=1e-2, abs=1e-6), place
