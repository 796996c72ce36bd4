"""Overflow that only saturates is noticed, on every worker and across accumulated steps, and the scale has a bound."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from src.training.overflow import LARGEST_SCALE, largest_number
from src.training.steps import StepOptions, TrainStep
from src.utils.chips import find_chip
from src.utils.runtime import Device
from tests.training.test_steps import Given, everything, given, groups_of, same

HALF, SINGLE = 65504.0, float(np.finfo(np.float32).max)


def step_of(groups, **options):
    return TrainStep(Given(), groups, StepOptions(**options))


@pytest.mark.parametrize("largest, value", [(HALF, HALF), (HALF, -HALF), (SINGLE, SINGLE), (SINGLE, -SINGLE)])
@pytest.mark.parametrize("where", ["a", "c"])
def test_saturated_gradients_change_nothing(mode, largest, value, where):
    groups = groups_of()
    step = step_of(groups, saturates_at=largest, dynamic_loss_scale=True, loss_scale=1.0)
    before = everything(step)
    values = {"a": (0.3, value), "c": (0.0, value, 4.0)}
    step(*given(**{where: values[where]}))
    assert float(step.finite.asnumpy()) == 0 and float(step.bad_steps.asnumpy()) == 1
    assert same(before, everything(step))
    step(*given())
    assert float(step.finite.asnumpy()) == 1 and not same(before, everything(step))


@pytest.mark.parametrize("value", [65503.0, 65536.0, 1e18])
def test_large_numbers_are_no_overflow(value):
    groups = groups_of()
    step = step_of(groups, saturates_at=HALF)
    _, norms, _ = step(*given(a=(value, 0.0)))
    assert float(step.finite.asnumpy()) == 1
    np.testing.assert_allclose(norms.asnumpy()[0], np.hypot(value, 1.2), rtol=1e-6)


def test_saturated_squares_are_an_overflow():
    """On the device the square of 2e19 is the largest number instead of infinity, and the norm the root of that."""
    step = step_of(groups_of(), saturates_at=SINGLE)
    root = float(np.sqrt(np.float32(SINGLE)))
    step._norm = lambda gradients: Tensor(root, ms.float32)
    step(*given())
    assert float(step.finite.asnumpy()) == 0


def test_an_overflow_in_an_accumulated_step_reaches_the_update(mode):
    groups, options = groups_of(), StepOptions(accumulation=2, saturates_at=HALF, loss_scale=4.0)
    step = TrainStep(Given(), groups, options)
    partial = TrainStep(Given(), groups, options, applies=False, sums=step.sums)
    partial.scale = step.scale
    before = everything(step)
    partial(*given(a=(HALF / 4, 0.0)))
    step(*given())
    assert float(step.finite.asnumpy()) == 0 and same(before, everything(step))
    partial(*given())
    step(*given())
    assert float(step.finite.asnumpy()) == 1


def test_the_loss_scale_has_a_bound():
    groups = groups_of()
    step = step_of(groups, loss_scale=LARGEST_SCALE / 2, dynamic_loss_scale=True, scale_window=1)
    scales = []
    for _ in range(3):
        step(*given())
        scales.append(float(step.scale.asnumpy()))
    assert scales == [LARGEST_SCALE] * 3
    given_above = step_of(groups_of(), loss_scale=2 * LARGEST_SCALE, dynamic_loss_scale=True, scale_window=1)
    given_above(*given())
    assert float(given_above.scale.asnumpy()) == 2 * LARGEST_SCALE


def test_which_devices_saturate():
    old, new = (Device("Ascend", chip=find_chip(name)) for name in ("Ascend910A", "Ascend910B2"))
    assert largest_number("fp16", old) == HALF and largest_number("fp32", old) == SINGLE
    assert largest_number("fp16", new) == largest_number("fp16", Device("CPU")) == 0
