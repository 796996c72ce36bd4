"""hflow through the training loop: resuming, its own files, the scripts, and what a new run leaves alone."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from src.options.owner import ROOT
from src.runs.checkpoint_reader import CheckpointReader
from src.runs.log import read_log
from src.systems.programs import load_config
from src.utils.errors import UserError
from tests.running import train


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for i in range(10):
        coarse = np.random.default_rng(i).integers(0, 256, (4, 4, 3)).astype(np.uint8)
        Image.fromarray(coarse).resize((32, 32), Image.Resampling.BILINEAR).save(folder / f"{i}.png")
    return folder


def words(images, runs, **changes):
    options = {
        "config_path": "configs/hflow_tiny.yaml",
        "data_root": images,
        "save_ckpt_dir": runs,
        "device_target": "CPU",
        "mode": "pynative",
        "batch_size": 2,
        "samples_per_grad_eval": 4,
        "initial_samples": 4,
        "held_out": 2,
        "niter": 2,
        "print_freq": 2,
        "no_html": True,
        "learning_rate_decay_start": 0,
    }
    return [f"--{key}={value}" for key, value in (options | changes).items()]


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    """Two epochs of four steps, two of them to an update."""
    runs = tmp_path_factory.mktemp("runs")
    assert train(load_config(words(images, runs))) == 0
    return runs


def load(runs):
    return CheckpointReader(runs / "hflow_tiny").load("latest")


def test_a_resumed_run_is_the_uninterrupted_one(images, whole, tmp_path):
    assert train(load_config(words(images, tmp_path, niter=1))) == 0
    assert train(load_config(words(images, tmp_path, continue_train=True))) == 0
    one, other = load(whole), load(tmp_path)
    for network in ("F", "F_ema"):
        for name, value in one.networks[network].items():
            np.testing.assert_array_equal(value, other.networks[network][name])
    for name, value in one.state.items():
        np.testing.assert_array_equal(value, other.state[name])
    different = [np.abs(one.networks["F"][n] - one.networks["F_ema"][n]).max() for n in one.networks["F"]]
    assert max(different) > 0


def test_the_streets_preset_is_a_network(images, tmp_path, capsys):
    options = words(images, tmp_path, config_path="configs/hflow_streets.yaml", dry_run=True, max_dataset_size=4)
    assert train(load_config(options)) == 0
    assert "network F_ema: 880,308 parameters" in capsys.readouterr().out


def test_rates_of_all_groups_are_logged(whole):
    records = read_log(whole / "hflow_tiny" / "log.jsonl")
    rates = {name: value for name, value in records[-1]["extra"].items() if name.startswith("lr/")}
    assert rates == pytest.approx({"lr/encoders": 5e-4, "lr/decoders": 2e-3, "lr/flows": 5e-3})
    assert records[-1]["values"].keys() >= {"loss", "bits_per_dim", "bits_32", "bits_1_1"}


def test_a_new_run_never_takes_an_old_ones_place(images, whole):
    before = {path: path.read_bytes() for path in (whole / "hflow_tiny").glob("*.safetensors")}
    with pytest.raises(UserError):
        train(load_config(words(images, whole)))
    assert {path: path.read_bytes() for path in before} == before


def test_images_metrics_and_checkpoints_by_the_clock(images, tmp_path):
    """Intervals so short that every step is due."""
    hours = dict.fromkeys(("images_every_hours", "metrics_every_hours", "checkpoint_every_hours"), 1e-9)
    train(load_config(words(images, tmp_path, niter=1, no_html=False, max_dataset_size=4, **hours)))
    records = read_log(tmp_path / "hflow_tiny" / "log.jsonl")
    bounds = [r["extra"]["likelihood_bound/bpd_eval_ema"] for r in records if "loss/eval_ema" in r["extra"]]
    assert len(bounds) == 2 and all(2 < bound < 14 for bound in bounds)
    assert len(list((tmp_path / "hflow_tiny" / "gallery" / "images" / "training").glob("*samples*"))) == 2


@pytest.mark.parametrize("name", ["train_hflow_128", "train_hflow_256", "eval_hflow_128", "eval_hflow_256"])
def test_scripts_run(images, whole, tmp_path, name):
    """Each passes its options on: the tiny configuration, given later, counts."""
    options = words(images, tmp_path, dry_run=True)
    if name.startswith("eval"):
        evaluated = ("config_path", "save_ckpt_dir", "device_target", "mode", "batch_size")
        options = [word for word in words(images, whole) if word[2:].partition("=")[0] in evaluated]
        options += [f"--predict_dir={tmp_path}", "--task=sample", "--n_samples=1"]
    script = ROOT / "scripts" / f"{name}.sh"
    environment = os.environ | {"PYTHON": sys.executable, "DEVICE_TARGET": "CPU"}
    result = subprocess.run(["bash", script, *options], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert ("dry run" in result.stdout + result.stderr) == name.startswith("train")
    if name.startswith("eval"):
        assert list(tmp_path.rglob("samples.png"))


@pytest.mark.parametrize("size", [128, 256])
def test_distributed_scripts_explain_themselves(size):
    script = ROOT / "scripts" / f"distribute_train_hflow_{size}.sh"
    environment = os.environ | {"PYTHON": sys.executable}
    result = subprocess.run(["bash", script], capture_output=True, text=True, env=environment)
    assert result.returncode == 1 and f"distribute_train_hflow_{size}.sh DEVICES" in result.stderr
