"""Intervals in hours."""

from src.training.clock import HourClock


def test_due_once_an_interval():
    now = [0.0]
    clock = HourClock(0.5, lambda: now[0])
    assert not clock.due()
    now[0] = 1799.0
    assert not clock.due()
    now[0] = 1801.0
    assert clock.due() and not clock.due()
    now[0] = 1801.0 + 1799.0
    assert not clock.due()
    now[0] = 10_000.0
    assert clock.due() and not clock.due()


def test_zero_is_never():
    now = [0.0]
    clock = HourClock(0.0, lambda: now[0])
    now[0] = 1e9
    assert not clock.due()
