"""Gradients in buckets: few, complete, in order, and the same again when they are taken apart."""

import numpy as np
import pytest
from mindspore import Tensor, nn

from src.systems.registry import SYSTEMS, create_system
from src.training import steps
from src.training.buckets import COLLECTIVES, Buckets, averaging_buckets, joining_buckets
from src.training.steps import StepOptions, TrainStep
from tests.training.test_steps import NAN, Given, everything, given, groups_of
from tests.training.two_workers import config_of, size_of


def complete(spans, count):
    return [k for first, last in spans for k in range(first, last)] == list(range(count))


@pytest.mark.parametrize("seed", range(12))
def test_several_devices_need_few_collectives(seed):
    """Networks of up to gigabytes in as many groups as any system has."""
    rng = np.random.default_rng(seed)
    groups = [
        (10 ** rng.uniform(0, rng.uniform(1, 7.5), rng.integers(1, 800))).astype(int).tolist()
        for _ in range(seed % 5 + 1)
    ]
    buckets = averaging_buckets(groups)
    assert len(groups) <= sum(len(own.sizes) for own in buckets) <= COLLECTIVES
    limit = max(1 << 24, sum(map(sum, groups)) / (COLLECTIVES - len(groups)) + 1)
    for sizes, own in zip(groups, buckets, strict=True):
        assert complete(own.chunks, len(sizes)) and sum(own.sizes) == sum(sizes)
        assert max(last - first for first, last in own.chunks) <= 32
        assert max(own.sizes) < limit + max(sizes)


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_needs_few_collectives(name):
    """Its groups as they are, and thousands of times as large."""
    config = config_of(name)
    groups = create_system(config).objective(size_of(config)).groups(1)
    for larger in (1, 5000):
        sizes = [[larger * parameter.size for parameter in group.parameters.values()] for group in groups]
        buckets = averaging_buckets(sizes)
        assert sum(len(own.sizes) for own in buckets) <= COLLECTIVES
        assert all(complete(own.chunks, len(own_sizes)) for own, own_sizes in zip(buckets, sizes, strict=True))


def test_one_device_joins_small_neighbours():
    sizes = [5, 9, 10, 3, 2, 1, 40, *[1] * 40]
    (buckets,) = joining_buckets([sizes], stays=10)
    assert buckets.chunks == ((0, 2), (2, 3), (3, 6), (6, 7), (7, 39), (39, 47))
    # hosts read and write every gradient where it is
    assert joining_buckets([sizes])[0].chunks == tuple((i, i + 1) for i in range(len(sizes)))


class JoinAndPart(nn.Cell):
    """What becomes of gradients; as a part of a Cell, because only Cells are compiled."""

    def __init__(self, buckets):
        super().__init__()
        self.buckets = buckets

    def construct(self, *gradients):
        joined = self.buckets.join(gradients)
        return joined, self.buckets.part(joined)


@pytest.mark.parametrize("slices", [False, True])
def test_what_is_joined_comes_apart_again(mode, slices):
    shapes = [(2, 3), (4,), (1, 2, 2), (5,), (3, 1)]
    gradients = [Tensor(np.random.default_rng(i).normal(size=s).astype(np.float32)) for i, s in enumerate(shapes)]
    buckets = Buckets([6, 4, 4, 5, 3], [(0, 2), (2, 3), (3, 5)], [(0, 2), (2, 3)])
    buckets.slices = slices
    joined, parts = JoinAndPart(buckets)(*gradients)
    assert [value.shape for value in joined] == [(14,), (8,)] and buckets.sizes == (14, 8)
    parts = [part for chunk in parts for part in chunk]
    for part, gradient in zip(parts, gradients, strict=True):
        assert (part.asnumpy() == gradient.asnumpy().reshape(-1)).all()
    assert buckets.nest("abcde") == (("a", "b"), ("c",), ("d", "e"))


def test_gradients_that_stay_alone_are_handed_on(mode):
    """Neither joined nor parted nor put into tuples of one, which would cost the compiler a call for each."""
    gradients = [Tensor(np.full(shape, 2.0, np.float32)) for shape in ((2, 3), (4,))]
    (buckets,) = joining_buckets([[6, 4]], stays=0)
    for values in JoinAndPart(buckets)(*gradients):
        assert [value.shape for value in values] == [(2, 3), (4,)]
    assert buckets.nest("ab") == ("a", "b")


def test_a_step_with_buckets_is_the_same_step(mode, monkeypatch):
    """With a loss scale, clipping and weight decay, and after a step that was not finite."""
    options = StepOptions(loss_scale=8.0, clip_norm=2.0)
    plain = TrainStep(Given(), groups_of(weight_decay=0.1), options)
    monkeypatch.setattr(steps, "joining_buckets", lambda sizes: joining_buckets(sizes, stays=100))
    joined = TrainStep(Given(), groups_of(weight_decay=0.1), options)
    assert [own.chunks for own in joined.buckets] == [((0, 2),), ((0, 1),)]
    for inputs in (given(), given(b=((NAN,),)), given(a=(0.1, 0.7))):
        norms = [step(*inputs)[1].asnumpy() for step in (plain, joined)]
        np.testing.assert_allclose(*norms, rtol=1e-6)
        for first, second in zip(everything(plain), everything(joined), strict=True):
            np.testing.assert_allclose(first, second, rtol=1e-6, atol=1e-9)
    assert plain.good_steps.asnumpy() == joined.good_steps.asnumpy() == 1
