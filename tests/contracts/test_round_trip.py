"""A flow whose image does not come back refuses to sample and to measure; one that is invertible is not held up."""

import numpy as np
import pytest
from mindspore import Tensor

from src.contracts.round_trip import LIMIT, RoundTrip
from src.systems.glow.inputs import NO_BOUNDARY
from src.systems.hflow.system import HFlowSystem
from src.systems.programs import EVAL, read_command
from src.systems.registry import create_system
from src.utils import arithmetic
from src.utils.errors import UserError
from tests.systems.hflow.small import draw, small_config

REFUSED = "is not invertible with --conv_precision exact: an image comes back with an error of"
GLOW = {"img_size": "[24,24]", "n_block": 2, "n_flow": "[1]", "condition_nc": 3, "image_nc": 3}
NARROW = {
    "fullglow": {"coupling_filters": 4},
    "cglow": {"x_hidden_channels": 2, "x_hidden_size": 4, "y_hidden_channels": 4},
    "dualglow": {"coupling_filters": 4},
    "hierarchyflow": {"out_channels": "[6,12]", "pad_size": 4},
}


def images(count=2, size=24):
    return np.random.default_rng(0).random((count, 3, size, size), np.float32)


def shifted(by, calls=None):
    """A round trip that moves every value by ``by``."""

    def back(image):
        if calls is not None:
            calls.append(image.shape)
        return image + by

    return RoundTrip("fullglow", back, "take another")


def test_the_limit_holds_for_one_image_measured_once():
    calls = []
    round_trip = shifted(0.98 * LIMIT, calls)
    for _ in range(2):
        round_trip.require(images())
    assert calls == [(1, 3, 24, 24)] and 0.97 * LIMIT < round_trip.error < 0.99 * LIMIT
    # of values twice as large as the range the rounding is, too
    shifted(1.98 * LIMIT).require(2 * images() / images().max())


@pytest.mark.parametrize("by, told", [(1.02 * LIMIT, "2.0e-03"), (0.25, "2.5e-01"), (np.nan, "nan")])
def test_beyond_it_every_call_is_refused(by, told):
    round_trip = shifted(by)
    for _ in range(2):
        with pytest.raises(UserError, match=f"this fullglow {REFUSED} {told} of its range, and the limit is 2.0e-03"):
            round_trip.require(images())


def test_the_option_is_named_where_it_helps(monkeypatch):
    monkeypatch.setattr(arithmetic, "_current", "hf32")
    with pytest.raises(UserError, match="conv_precision hf32: .*: use --conv_precision exact, or take another"):
        shifted(0.1).require(images())


def built(model):
    words = [f"--{key}={value}" for key, value in ({"model": model} | NARROW[model]).items()]
    words += [f"--{key}={value}" for key, value in GLOW.items()] if model != "hierarchyflow" else []
    system = create_system(read_command(EVAL, words)[1], training=False)
    if model != "hierarchyflow":
        system.network.initialise(Tensor(images()), Tensor(images()[::-1].copy()), Tensor(NO_BOUNDARY))
    return system


def breaks(monkeypatch, network, name):
    """The inverse ``network.name`` misses by a hundredth."""
    right = getattr(network, name)

    def wrong(*arguments):
        result = right(*arguments)
        return (result[0] + 0.01, *result[1:]) if isinstance(result, tuple) else result + 0.01

    # through the class, because a Cell keeps what it is given as an attribute
    monkeypatch.setattr(type(network), name, lambda self, *arguments: wrong(*arguments))


@pytest.mark.parametrize("model", ["fullglow", "cglow", "dualglow"])
def test_conditional_flows(model, monkeypatch):
    system = built(model)
    x_a, x_b = images(), images()[::-1].copy()
    _, _, latents = system.analyse(x_a, x_b)
    assert system.round_trip.error < 1e-4
    np.testing.assert_allclose(system.synthesise(x_a, latents), x_b, atol=1e-4)
    broken = built(model)
    breaks(monkeypatch, broken.network, "decode")
    with pytest.raises(UserError, match=f"this {model} {REFUSED} 1.0e-02"):
        broken.analyse(x_a, x_b, NO_BOUNDARY)
    broken = built(model)
    with pytest.raises(UserError, match=f"this {model} {REFUSED} (1.0e-02|9.9e-03)"):
        broken.synthesise(x_a, latents)


def test_hflow(monkeypatch):
    system = HFlowSystem(small_config(), training=False)
    latents, _ = system.encode(0.5 * draw(2))
    assert system.round_trip.error < 1e-4
    for call in (lambda s: s.encode(0.5 * draw(2)), lambda s: s.decode(latents), lambda s: s.require_inverse(draw(1))):
        broken = HFlowSystem(small_config(), training=False)
        with monkeypatch.context() as patched:
            breaks(patched, broken.networks["F_ema"], "generate")
            with pytest.raises(UserError, match=f"this hflow {REFUSED} 1.0e-02"):
                call(broken)


def test_training_shows_what_it_has():
    system = HFlowSystem(small_config(), training=True)
    system.encode(0.5 * draw(1))
    assert system.round_trip.error is None


def test_hierarchyflow(monkeypatch):
    system = built("hierarchyflow")
    batch = {"A": 2 * images(size=80) - 1, "B": 2 * images(size=70) - 1}
    system.translate(batch)
    assert system.round_trip.error < 1e-5
    broken = built("hierarchyflow")
    breaks(monkeypatch, broken.networks["HF"], "_crop")
    with pytest.raises(UserError, match=f"this hierarchyflow {REFUSED} 1.0e-02"):
        broken.translate(batch)
