"""Recipes, curves and their comparison; the trainings themselves take minutes and are not run here."""

import json
import re
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import training_parity
from benchmarks.parity import curves as curve_files
from benchmarks.parity.curves import Curves, compare, drift, read_curves, write_curves
from benchmarks.parity.drawing import draw
from benchmarks.parity.figures import figures
from benchmarks.parity.ours import Ours
from benchmarks.parity.recipe import EARLY, RECIPES, batches, digest, first_weights, pictures, slowed
from benchmarks.parity.side import train
from src.utils.errors import UserError
from tests.reference_checks.twins import weights_of

ROOT = Path(__file__).resolve().parents[2]
STORED = ROOT / "tests" / "reference" / "curves"
SMALL = replace(
    RECIPES["pix2pixhd"],
    height=32,
    width=64,
    steps=26,
    trained=3,
    held_out=2,
    options={
        "ngf": 2,
        "ndf": 2,
        "n_downsample_global": 1,
        "n_blocks_global": 0,
        "n_layers_D": 1,
        "num_D": 1,
        "no_vgg_loss": True,
        "lr": 0.0002,
    },
)


def test_recipes_need_no_mindspore():
    """The published code's side imports them where there is none."""
    code = (
        "import sys; sys.modules['mindspore'] = None; "
        "import benchmarks.parity.side, benchmarks.parity.recipe as r; print(r.digest(r.RECIPES['pix2pixhd']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.stdout.strip() == digest(RECIPES["pix2pixhd"]), done.stderr


def test_arrays_follow_from_recipe_and_seed():
    images, again = pictures(SMALL), pictures(SMALL)
    assert all(np.array_equal(images[name], again[name]) for name in images)
    assert images["label"].shape == (3, 1, 32, 64) and np.abs(images["image"]).max() <= 1
    assert not np.array_equal(images["image"][:2], pictures(SMALL, held_out=True)["image"])
    orders = [[batch["number"][0] for batch in batches(SMALL, {"number": np.arange(3)}, seed)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0][:3]) == sorted(orders[0][3:6]) == [0, 1, 2]
    unpaired = replace(SMALL, kind="unpaired")
    pairs = [(b["A"][0], b["B"][0]) for b in batches(unpaired, {"A": np.arange(3), "B": np.arange(3)}, 0)]
    assert len(set(pairs)) > 3


def test_weights_are_drawn_by_name():
    shapes = {"G.a.weight": (4, 3, 3, 3), "G.a.bias": (4,), "G.b.weight": (4, 3, 3, 3), "G.scale": ()}
    drawn = first_weights(SMALL, 0, shapes)
    assert set(drawn) == {"G.a.weight", "G.a.bias", "G.b.weight"}
    backwards = first_weights(SMALL, 0, dict(reversed(shapes.items())))
    assert all(np.array_equal(drawn[name], backwards[name]) for name in drawn)
    assert not np.array_equal(drawn["G.a.weight"], drawn["G.b.weight"])
    assert 0.01 < drawn["G.a.weight"].std() < 0.03 and np.abs(drawn["G.a.bias"]).max() < 1 / np.sqrt(27)
    assert not np.array_equal(drawn["G.a.weight"], first_weights(SMALL, 1, shapes)["G.a.weight"])
    flat = first_weights(replace(SMALL, deviation=0.0, biases="zero"), 0, shapes)
    assert np.abs(flat["G.a.weight"]).max() < 1 / np.sqrt(27) and not flat["G.a.bias"].any()


@pytest.fixture(scope="module")
def side():
    return Ours(SMALL)


@pytest.fixture(scope="module")
def ours(side):
    """A small training, and as its second seed the same with other numbers."""
    first = train(SMALL, side, 0, lambda _: None)
    second = replace(
        first,
        seed=1,
        early=[[1.1 * value for value in row] for row in first.early],
        figures={name: 1.1 * value for name, value in first.figures.items()},
    )
    made_by = {"code": "a/b", "commit": "c"}
    return Curves("pix2pixhd", SMALL.steps, made_by, [*side.loss_names], [first, second])


def test_a_training_begins_anew_with_every_seed(side, ours):
    other = train(SMALL, side, 1, lambda _: None, steps=2)
    again = train(SMALL, side, 0, lambda _: None, steps=2)
    assert again.early == ours.runs[0].early[:2] != other.early
    assert len(ours.runs[0].early) == EARLY and len(ours.runs[0].curve) == 2
    side.begin(1)
    weights = weights_of(side.system, side.objective)
    shapes = {f"G.{name}": array.shape for name, array in weights["G"].items()}
    drawn = first_weights(SMALL, 1, shapes)
    assert drawn and all(np.array_equal(weights["G"][name[2:]], array) for name, array in drawn.items())


def test_rates_are_those_of_the_recipe(side):
    side.begin(0)
    batch = next(batches(SMALL, pictures(SMALL), 0))
    side.step(batch, 0, slowed(0))
    assert [float(o.current_rate) for o in side.train_step.optimizers] == pytest.approx([2e-6, 2e-6])
    side.step(batch, EARLY, slowed(EARLY))
    assert [float(o.current_rate) for o in side.train_step.optimizers] == pytest.approx([2e-4, 2e-4])


def test_curves_are_stored_and_agree_with_themselves(ours, tmp_path):
    write_curves(tmp_path / "pix2pixhd.json", ours, SMALL)
    stored = read_curves(tmp_path / "pix2pixhd.json", SMALL)
    assert stored.loss_names == ours.loss_names and set(stored.runs[0].figures) == {"feature matching", "PSNR"}
    verdicts = compare(ours, stored)
    assert len(verdicts) == 2 * 4 + 2 and all(verdict.holds for verdict in verdicts)
    assert max(drift(ours, stored)) < 1e-8
    picture = ElementTree.fromstring(draw(ours, stored))
    assert len(picture.findall("{*}polyline")) == 4 * 4 and "G_GAN_Feat" in draw(ours, stored)


def test_a_seed_is_compared_with_the_same_seed(ours):
    verdicts = compare(replace(ours, runs=ours.runs[1:]), ours)
    assert [v.theirs for v in verdicts if v.what == "final"] == [*ours.runs[1].figures.values()]
    assert all(v.holds for v in verdicts) and len(verdicts) == 4 + 2


@pytest.mark.parametrize("number", [1.002, float("nan")])
def test_a_wrong_loss_is_noticed(ours, number):
    early = [list(row) for row in ours.runs[1].early]
    early[7][2] *= number
    wrong = replace(ours, runs=[ours.runs[0], replace(ours.runs[1], early=early)])
    failed = [verdict.name for verdict in compare(wrong, ours) if not verdict.holds]
    assert failed == ["seed 1 D_real, worst of 20 steps (step 8)"]


@pytest.mark.parametrize("moved, holds", [(4e-4, True), (6e-4, False)])
def test_a_loss_that_passes_through_zero_is_relative_to_its_largest_value(ours, moved, holds):
    def signed(more):
        rows = [[0.5 - 0.05 * step + more, *row[1:]] for step, row in enumerate(ours.runs[0].early)]
        return replace(ours, runs=[replace(ours.runs[0], early=rows)])

    verdicts = [v for v in compare(signed(moved), signed(0.0)) if v.what == "early"]
    assert [v.holds for v in verdicts] == [holds, True, True, True]
    assert max(drift(signed(moved), signed(0.0))) == pytest.approx(moved / 0.5)


@pytest.mark.parametrize("change", [lambda spread: 1.1 * spread, lambda spread: -1.1 * spread, lambda _: float("nan")])
def test_a_figure_outside_of_the_spread_is_noticed(ours, change):
    spread = abs(ours.runs[0].figures["PSNR"] - ours.runs[1].figures["PSNR"])
    moved = [replace(r, figures=r.figures | {"PSNR": r.figures["PSNR"] + change(spread)}) for r in ours.runs]
    assert [v.name for v in compare(replace(ours, runs=moved), ours) if not v.holds] == ["PSNR"]


def test_curves_of_another_recipe_are_refused_by_name(ours, tmp_path, monkeypatch):
    path = tmp_path / "pix2pixhd.json"
    write_curves(path, ours, SMALL)
    with pytest.raises(
        UserError, match=re.escape(str(path)) + ".*26 steps and digest .* this is pix2pixhd of 31 steps"
    ):
        read_curves(path, SMALL.shortened(31))
    monkeypatch.setattr(curve_files, "VERSION", curve_files.VERSION + 1)
    with pytest.raises(UserError, match=r"made with version 1 of the recipes, and this is version 2: make them again"):
        read_curves(path, SMALL)
    path.write_text(json.dumps({"recipe": {}}))
    with pytest.raises(UserError, match="damaged or holds no curves"):
        read_curves(path, SMALL)
    with pytest.raises(UserError, match=r"does not exist: known are curves of pix2pixhd"):
        read_curves(tmp_path / "none.json", SMALL)


def test_figures_of_images_that_are_right_or_worse():
    held_out = pictures(SMALL, held_out=True)
    best = figures(SMALL, held_out, {"image": held_out["image"]})
    near, far = (figures(SMALL, held_out, {"image": held_out["image"] * factor}) for factor in (0.9, 0.5))
    assert best["feature matching"] == 0 < near["feature matching"] < far["feature matching"]
    assert best["PSNR"] > near["PSNR"] > far["PSNR"] > 5
    level = np.float32(2 / 255)
    shifted = np.clip(held_out["image"], -0.9, 0.9)
    one = figures(SMALL, held_out | {"image": shifted}, {"image": shifted + level})
    assert one["PSNR"] == pytest.approx(20 * np.log10(255), abs=1e-6)


def test_figures_of_unpaired_translations():
    recipe = replace(SMALL, kind="unpaired")
    held_out = pictures(recipe, held_out=True)
    kept = figures(recipe, held_out, {"fake_B": held_out["A"]})
    taken = figures(recipe, held_out, {"fake_B": held_out["B"]})
    assert kept["fake_B layout"] == pytest.approx(1) and taken["fake_B layout"] < 0.7
    assert taken["fake_B distance"] < kept["fake_B distance"]


@pytest.mark.parametrize("path", sorted(STORED.glob("*.json")), ids=lambda path: path.stem)
def test_stored_curves_are_those_of_the_recipe(path):
    stored = read_curves(path, RECIPES[path.stem])
    assert [run.seed for run in stored.runs] == [*RECIPES[path.stem].seeds]
    assert {"code", "commit", "torch", "machine"} <= set(stored.made_by)
    assert path.stat().st_size < 200_000


@pytest.fixture
def command(ours, tmp_path, monkeypatch, capsys):
    """Runs the command on one seed of the small training beside curves of its own, changed by ``change``."""

    def run(*words, change=lambda curves: None):
        monkeypatch.setitem(RECIPES, "pix2pixhd", SMALL)
        curves = deepcopy(ours)
        change(curves)
        write_curves(tmp_path / "pix2pixhd.json", curves, SMALL)
        places = f"--curves={tmp_path}", f"--output={tmp_path / 'made'}"
        status = training_parity.main(["--systems=pix2pixhd", "--seeds=0", "--mode=pynative", *places, *words])
        return status, capsys.readouterr().out, tmp_path / "made"

    return run


def test_the_command_compares_the_first_steps_alone(command):
    status, said, made = command("--early")
    assert status == 0 and "FAIL" not in said and "PSNR" not in said and "beside a/b c, 26 steps" in said
    assert not made.exists()


def test_the_command_trains_compares_and_draws(command):
    def change(curves):
        curves.runs[0].early[0][0] *= 1.01

    status, said, made = command(change=change)
    failed = [line for line in said.splitlines() if line.endswith("FAIL")]
    assert status == 1 and len(failed) == 1 and failed[0].strip().startswith("seed 0 G_GAN, worst of 20 steps (step 1)")
    assert "PSNR" in said and len(read_curves(made / "pix2pixhd.json", SMALL).runs) == 1
    assert ElementTree.parse(made / "pix2pixhd.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    "words, said",
    [
        (["--systems=pix2pixhd,pix3pix"], "systems pix3pix: known are pix2pixhd"),
        (["--systems=pix2pixhd", "--seeds=7"], "seeds 7: the published curves have 0, 1, 2"),
        (["--systems=pix2pixhd", "--curves=nowhere"], "nowhere/pix2pixhd.json does not exist"),
    ],
)
def test_the_command_refuses(words, said):
    with pytest.raises(UserError, match=re.escape(said)):
        training_parity.main(words)
