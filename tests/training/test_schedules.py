"""Learning rates against the published update rule, and the length of a run."""

import math
from types import SimpleNamespace

import pytest

from src.systems.programs import load_config
from src.training.schedules import SCHEDULES, learning_rate_factor, total_epochs, total_steps


def config_of(**changes):
    return load_config([f"--{key}={value}" for key, value in changes.items()])


def published_rates(niter, niter_decay):
    """Rate of every epoch as pix2pixHD's loop means it: it falls after each epoch past ``niter``."""
    rate, rates = 1.0, []
    for epoch in range(1, niter + niter_decay + 1):
        rates.append(rate)
        if epoch > niter:
            rate -= 1 / niter_decay
    return rates


@pytest.mark.parametrize("niter, niter_decay", [(100, 100), (3, 2), (1, 5), (0, 4), (4, 1), (5, 0)])
def test_linear_is_the_published_rule(niter, niter_decay):
    config = config_of(niter=niter, niter_decay=niter_decay)
    factors = [learning_rate_factor(config, epoch, 0.0) for epoch in range(1, niter + niter_decay + 1)]
    assert factors == pytest.approx(published_rates(niter, niter_decay))
    assert all(factor > 0 for factor in factors)


def test_linear_at_its_corners():
    config = config_of(niter=100, niter_decay=100)
    at = {epoch: learning_rate_factor(config, epoch, 0.0) for epoch in (1, 100, 101, 102, 150, 200)}
    assert at == pytest.approx({1: 1, 100: 1, 101: 1, 102: 0.99, 150: 0.51, 200: 0.01})
    assert learning_rate_factor(config_of(niter=7, niter_decay=0), 7, 0.0) == 1


def test_cosine_falls_to_its_floor():
    config = SimpleNamespace(lr_policy="cosine", lr=0.2, eta_min=0.05)
    factors = [learning_rate_factor(config, 1, share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    want = [0.25 + 0.75 * (1 + math.cos(math.pi * share)) / 2 for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert factors == pytest.approx(want) and factors[0] == 1 and factors[-1] == 0.25
    without_floor = config_of(lr_policy="cosine")
    assert learning_rate_factor(without_floor, 1, 1.0) == pytest.approx(0)
    assert learning_rate_factor(config_of(lr_policy="cosine", lr=0), 1, 0.5) == 0.5


def test_constant():
    assert learning_rate_factor(config_of(lr_policy="constant", niter=1), 9, 0.9) == 1


def test_every_choice_has_its_rule():
    for policy in SCHEDULES:
        assert config_of(lr_policy=policy).lr_policy == policy


def test_length_of_a_run():
    config = config_of(niter=3, niter_decay=2)
    assert (total_steps(config, 7), total_epochs(config, 7)) == (35, 5)
    counted = SimpleNamespace(niter=3, niter_decay=2, max_iter=10, debug=False)
    assert (total_steps(counted, 7), total_epochs(counted, 7)) == (10, 2)
    counted.debug = True
    assert (total_steps(counted, 7), total_epochs(counted, 7)) == (35, 5)
    counted.max_iter, counted.debug = 0, False
    assert (total_steps(counted, 7), total_epochs(counted, 7)) == (35, 5)
