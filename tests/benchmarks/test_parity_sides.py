"""Every system's small training from a recipe, and the closed forms that stand in for published curves of flows."""

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from mindspore import nn

from benchmarks import training_parity
from benchmarks.parity.closed_forms import check
from benchmarks.parity.curves import Curves, Run
from benchmarks.parity.gaussian import bounds, pair
from benchmarks.parity.ours import Ours
from benchmarks.parity.recipe import RECIPES, batches, pictures, slowed
from benchmarks.parity.side import train
from src.models.parameters import state_arrays
from src.systems.programs import load_config
from src.systems.registry import create_system
from tests.reference_checks.twins import weights_of

_FLOW = {"n_block": 1, "n_flow": [1], "lr": 0.002, "recompute": False}
# the tiny preset without the level in the middle
_LEVELS = {
    key: [value[0], value[2]]
    for key, value in load_config([], "configs/hflow_tiny.yaml").to_dict().items()
    if isinstance(value, list) and len(value) == 3 and not key.startswith(("endblock_", "segmenter"))
}
SMALL = {
    "hierarchyflow": replace(
        RECIPES["hierarchyflow"],
        width=32,
        options=RECIPES["hierarchyflow"].options | {"out_channels": [6], "pad_size": 4},
    ),
    "hflow": replace(RECIPES["hflow"], batch=2, options=RECIPES["hflow"].options | _LEVELS),
    "fullglow": replace(
        RECIPES["fullglow"], height=12, width=12, options=_FLOW | {"img_size": [12, 12], "coupling_filters": 4}
    ),
    "cglow": replace(RECIPES["cglow"], height=8, width=8, options=_FLOW | {"img_size": [8, 8], "y_hidden_channels": 4}),
}


@pytest.fixture(scope="module", params=SMALL)
def side(request):
    return Ours(replace(SMALL[request.param], trained=4, held_out=2, steps=3))


def test_a_system_trains_from_its_recipe(side):
    """A seed begins anew whatever was trained before, and figures are finite."""
    first = train(side.recipe, side, 0, lambda _: None, steps=1)
    side.begin(1)
    side.begin(0)
    again = side.step(next(batches(side.recipe, pictures(side.recipe), 0)), 0, slowed(0))
    assert again.tolist() == first.early[0]
    assert first.figures and all(np.isfinite(value) for value in first.figures.values())


def _parameters(weights):
    return [(network, name, array) for network, arrays in weights.items() for name, array in arrays.items()]


def test_a_seed_begins_as_a_run_of_it_does(side):
    """What differs from a new system with this seed is drawn by the recipe, or fitted to the first batch."""
    side.begin(1)
    networks = create_system(side.config.replace(seed=1), training=True).networks
    fresh = {network: state_arrays(cell) for network, cell in networks.items()}
    found = _parameters(weights_of(side.system, side.objective))
    differ = {name.rpartition(".")[2] for network, name, a in found if not np.array_equal(fresh[network][name], a)}
    assert differ == _BEGUN[side.recipe.system]


_BEGUN = {
    "hierarchyflow": {"weight", "bias"},
    "hflow": {"an_bias", "an_scale"},
    "fullglow": {"loc", "scale", "initialized", "bias"},
    "cglow": set(),
}


def test_entropies_are_those_of_the_covariances():
    """From the covariance of many small pairs, whose conditional part is a Schur complement."""
    size = (2, 4)
    draws = [pair(*size, [seed]) for seed in range(8000)]
    condition, image = (0.5 * np.array(arrays, np.float64).reshape(8000, -1) for arrays in zip(*draws, strict=True))
    covariance = np.cov(np.concatenate([condition, image], 1), rowvar=False)
    n = condition.shape[1]

    def bits(matrix):
        return 8 + (0.5 * np.linalg.slogdet(matrix)[1] / n + 0.5 * np.log(2 * np.pi * np.e)) / np.log(2)

    known = bounds(*size)
    given = covariance[n:, n:] - covariance[n:, :n] @ np.linalg.solve(covariance[:n, :n], covariance[:n, n:])
    assert known.entropy == pytest.approx(bits(given), abs=0.02)
    assert known.without_condition == pytest.approx(bits(covariance[n:, n:]), abs=0.02)
    assert known.without_neighbours == pytest.approx(bits(np.diag(np.diag(given))), abs=0.02)
    assert known.entropy < known.without_neighbours < known.without_condition


def test_the_command_holds_a_flow_to_closed_forms(monkeypatch, tmp_path, capsys):
    """A flow that has hardly begun is invertible and knows its log-determinant, and its bits are too many."""
    monkeypatch.setitem(RECIPES, "cglow", replace(SMALL["cglow"], trained=8, held_out=8, steps=2))
    words = ["--systems=cglow", "--seeds=1", "--mode=pynative", f"--output={tmp_path}"]
    assert training_parity.main([*words, "--early"]) == 0
    said = capsys.readouterr().out
    assert "beside closed forms" in said and said.count(" ok") == 2 and not list(tmp_path.iterdir())
    assert training_parity.main(words) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.endswith("FAIL")]
    assert len(failed) == 1 and failed[0].strip().startswith("bits_per_dim between")
    picture = ElementTree.parse(tmp_path / "cglow.svg").getroot()
    assert len(picture.findall("{*}polyline")) == len(picture.findall("{*}line")) == 1


class _Skewed(nn.Cell):
    """A flow whose log-determinant is one part in a thousand too large."""

    def __init__(self, flow):
        super().__init__()
        self.flow, self.dimensions, self.decode = flow, flow.dimensions, flow.decode
        self.channels, self.condition_channels, self.size, self.use_bmaps = 3, 3, flow.size, False

    def construct(self, *images):
        *most, logdet, latents = self.flow(*images)
        return *most, 1.001 * logdet, latents


@pytest.mark.parametrize(
    "more, holds", [((0.1, 0.3), [True, True]), ((0.1, 2.0), [True, False]), ((-0.1, 0.3), [False, True])]
)
def test_what_a_flow_cannot_do_is_noticed(more, holds):
    """Bits below the entropy, and a log-determinant that is not the Jacobian's."""
    recipe = SMALL["cglow"]
    least = bounds(recipe.height, recipe.width).entropy
    runs = [Run(seed, [], [], {"bits_per_dim": least + bits}) for seed, bits in enumerate(more)]
    flow = create_system(Ours(recipe).config).networks["glow"]
    verdicts = check(recipe, _Skewed(flow), Curves("cglow", 1, {}, [], runs))
    assert [verdict.holds for verdict in verdicts] == [*holds, False, True]
