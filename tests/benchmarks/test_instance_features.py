"""The benchmark of instance features: its figures in closed forms, and the command at a size that says nothing."""

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks import instance_features
from benchmarks.instances.numbers import errors_of, styles_of
from benchmarks.instances.streets import read_streets
from src.systems.programs import load_config
from src.utils.errors import UserError
from tests.tiny_runs import make_streets, options_of

TINY = [*options_of(max_instances=None), "--no_html=True", "--scenes=4", "--held_out=4", "--draws=1", "--n_clusters=2"]


def colours(scenes=6, styles=4, spread=3.0):
    """Grey cars: style k is 40 k bright in every scene, and scenes differ by `spread` in red alone."""
    red = np.arange(scenes)[:, None] * spread
    grey = np.arange(styles)[None] * 40.0
    return np.stack([red + grey, 0 * red + grey, 0 * red + grey], -1)


def test_distinct_styles_in_closed_form():
    found = styles_of(colours())
    between, within = 3 * np.var(40.0 * np.arange(4), ddof=1), np.var(3.0 * np.arange(6), ddof=1)
    assert (found["scenes"], found["styles"], found["chance"]) == (6, 4, 0.25)
    assert found["between"] == pytest.approx(between) and found["within"] == pytest.approx(within)
    assert found["ratio"] == pytest.approx(between / within) and found["f"] == pytest.approx(6 * between / within)
    assert found["own_share"] == 1


def test_a_number_that_means_another_style_in_every_scene_is_noticed():
    turned = np.stack([np.roll(scene, shift, 0) for shift, scene in enumerate(colours(4, 4, 0.0))])
    found = styles_of(turned)
    assert found["between"] == pytest.approx(0, abs=1e-9) and found["within"] > 1000 and found["own_share"] < 0.25


def test_styles_of_noise_are_none():
    found = styles_of(np.random.default_rng(0).normal(100, 20, (200, 5, 3)))
    assert found["f"] == pytest.approx(1, abs=1) and found["own_share"] == pytest.approx(0.2, abs=0.05)


def test_errors_in_closed_form():
    real = np.zeros((2, 3))
    along = np.array([[3.0, 4, 0], [0, 0, 1]])
    found = errors_of(real, along, np.stack([4 * along, 2 * along]), 2 * along)
    assert (found["cars"], found["encoded"], found["sampled"], found["plain"]) == (2, 3, 9, 6)
    assert (found["margin_sampled"], found["margin_plain"]) == (6, 3)
    assert found["gain_sampled"] == pytest.approx(2 / 3) and found["gain_plain"] == pytest.approx(1 / 2)
    assert found["margin_plain_spread"] == pytest.approx(np.std([5, 1], ddof=1))
    assert found["margin_plain_standard_error"] == pytest.approx(np.std([5, 1], ddof=1) / 2**0.5)


def test_cars_are_those_that_clusters_are_made_of(tmp_path):
    make_streets(tmp_path, train=1, test=6)
    config = load_config(options_of(data_root=tmp_path, instance_feat=True, max_instances=None))
    streets = list(read_streets(config, "test"))
    assert streets
    for street in streets:
        areas = {car: (street.inst == car).sum() for car in street.cars}
        assert set(street.large) == {car for car, area in areas.items() if area > street.inst.size / 64} != set()
        assert street.large_area == sum(areas[car] for car in street.large)
        mean = street.photo[street.inst == street.large[0]].mean(0)
        np.testing.assert_allclose(street.colours(street.photo)[0], mean)


def test_the_command_trains_clusters_measures_and_goes_on(tmp_path, capsys, monkeypatch):
    work = tmp_path / "work"
    words = [f"--work={work}", *TINY]
    # two steps teach nothing, so that bounds cannot hold
    assert instance_features.main(words) == 1
    facts = json.loads((work / "instance_features.json").read_text())
    table = (work / "instance_features.md").read_text()
    assert table in capsys.readouterr().out and "**not met**" in table
    # styles change the cars, if only a little
    assert facts["between"] > 0 and facts["encoded"] != facts["sampled"] != facts["plain"]
    assert facts["styles"] == 2 and facts["scenes"] >= 2 and facts["conv_precision"] == "exact"
    assert f"| error, without features | {facts['plain']:.1f} ± {facts['plain_spread']:.1f} |" in table
    with Image.open(work / "instance_features.jpg") as picture:
        assert picture.width == 4 * (64 + 4) - 4

    made = {path: path.stat().st_mtime_ns for path in work.rglob("*.safetensors")}
    monkeypatch.setattr(instance_features, "BOUNDS", dict.fromkeys(instance_features.BOUNDS, -1e9))
    assert instance_features.main(words) == 0
    assert made == {path: path.stat().st_mtime_ns for path in work.rglob("*.safetensors")}
    assert json.loads((work / "instance_features.json").read_text())["encoded"] == facts["encoded"]
    with pytest.raises(UserError, match="was begun with draws 1, not 2: pass another --work"):
        instance_features.main([*words, "--draws=2"])


@pytest.mark.parametrize(
    "words, said",
    [
        (["--n_clusters=1"], "n_clusters 1 is not a number above 1, such as 10"),
        (["--held_out=many"], "held_out many is not a number above 1, such as 40"),
        (["--data_root=x"], "option data_root belongs to this benchmark"),
        (["--instance_feat=False"], "option instance_feat belongs to this benchmark"),
        (["--ngff=2"], "ngf"),
        (["--work=file"], "file"),
    ],
)
def test_refusals(words, said, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=said):
        instance_features.main([f"--work={tmp_path / 'work'}", *TINY, *words])
    assert not (tmp_path / "work").exists()
