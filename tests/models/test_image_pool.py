"""The history of images that discriminators are shown."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from src.models.image_pool import ImagePool, draw_distinct_slots, draw_pool_slots


@pytest.mark.parametrize("dtype", [ms.float32, ms.float16])
@pytest.mark.parametrize("distinct", [False, True])
@pytest.mark.parametrize("size, batch", [(1, 1), (3, 1), (3, 2), (4, 3), (1, 3)])
def test_pool_against_a_list(mode, size, batch, distinct, dtype):
    pool, stored = ImagePool(size, (2, 3, 4), dtype), []
    rng, swapped = np.random.default_rng(0), 0
    for step in range(12):
        new = rng.standard_normal((batch, 2, 3, 4)).astype(np.float16).astype(np.float32)
        before = list(stored)
        slots = draw_distinct_slots(size, batch, step, [5, 1]) if distinct else draw_pool_slots(size, batch, step, 5)
        shown = pool(Tensor(new), Tensor(slots)).asnumpy()
        for i in range(batch):
            if len(stored) < size:
                assert tuple(slots[i]) == (-1, len(stored))
                stored.append(new[i])
                want = new[i]
            elif slots[i, 0] < 0:
                assert tuple(slots[i]) == (-1, -1)
                want = new[i]
            else:
                assert slots[i, 0] == slots[i, 1]
                assert not distinct or slots[i, 0] < len(before)
                want, stored[slots[i, 0]] = stored[slots[i, 0]], new[i]
                swapped += 1
            np.testing.assert_array_equal(shown[i], want)
        read = [slot for slot in slots[:, 0].tolist() if slot >= 0]
        assert not distinct or len(set(read)) == len(read)
        np.testing.assert_array_equal(pool.images.asnumpy()[: len(stored)], stored)
    assert swapped


def test_pool_draws_depend_on_seed_and_step_alone():
    draws = np.concatenate([draw_pool_slots(50, 1, step, 1) for step in range(50, 1050)])
    np.testing.assert_array_equal(draws[7:8], draw_pool_slots(50, 1, 57, 1))
    assert (np.concatenate([draw_pool_slots(50, 1, step, 2) for step in range(50, 1050)]) != draws).any()
    used = draws[draws[:, 0] >= 0]
    assert 0.45 < len(used) / len(draws) < 0.55
    assert set(used[:, 0]) == set(range(50))


@pytest.mark.parametrize("dtype, bad", [(ms.float32, np.nan), (ms.float32, np.inf), (ms.float16, 1e6)])
def test_images_that_are_not_finite_are_shown_and_not_stored(mode, dtype, bad):
    pool = ImagePool(2, (1, 2, 2), dtype)
    good, spoilt = np.full((1, 1, 2, 2), 0.5, np.float32), np.full((1, 1, 2, 2), 0.25, np.float32)
    spoilt[0, 0, 1, 1] = bad
    pool(Tensor(good), Tensor(np.array([[-1, 0]], np.int32)))
    shown = pool(Tensor(spoilt), Tensor(np.array([[-1, 0]], np.int32)))
    np.testing.assert_array_equal(shown.asnumpy(), spoilt)
    np.testing.assert_array_equal(pool.images.asnumpy(), np.concatenate([good, 0 * good]))


@pytest.mark.parametrize("size, batch", [(1, 1), (3, 2), (1, 3)])
def test_a_call_is_taken_back(mode, size, batch):
    """In the order in which images took their places, and only where something was not finite."""
    pool = ImagePool(size, (2, 3, 4), batch=batch)
    rng = np.random.default_rng(1)
    for step in range(12):
        before = pool.images.asnumpy().copy()
        slots = draw_pool_slots(size, batch, step, 5)
        pool(Tensor(rng.standard_normal((batch, 2, 3, 4)).astype(np.float32)), Tensor(slots))
        after = pool.images.asnumpy().copy()
        pool.revert(Tensor(True))
        np.testing.assert_array_equal(pool.images.asnumpy(), after)
        if step % 3 == 2:
            pool.revert(Tensor(False))
            np.testing.assert_array_equal(pool.images.asnumpy(), before)
    assert (pool.images.asnumpy() != 0).any()
