"""Every preset of the flows builds and takes its steps, and every task of a trained one runs from the command."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor
from PIL import Image

from src.imaging.images import read_image
from src.options.owner import ROOT
from src.systems.programs import EVAL, load_config, read_command
from src.systems.registry import create_system
from src.training.steps import TrainStep
from src.utils.errors import UserError
from tests.running import evaluate, train

BASES = ("fullglow", "cglow", "dualglow")
PRESETS = sorted(p.name for base in BASES for p in (ROOT / "configs").glob(f"{base}*.yaml"))


def shrunk(config):
    """A preset with its own kinds of ops and levels, but an image and widths that fit a test."""
    height, width = config.img_size
    unit = 2**config.n_block
    side = max(unit * 5, 24 if config.model == "cglow" else 0)
    changes = {
        "img_size": [side, side * (2 if width > height else 1)],
        "n_flow": [1] * config.n_block,
        "batch_size": 2,
    }
    if config.model != "cglow":
        changes["coupling_filters"] = 8
    else:
        changes |= {"x_hidden_size": 4, "x_hidden_channels": 4, "y_hidden_channels": 8}
        changes["img_size"] = [-(-s // 8) * 8 for s in changes["img_size"]]
    return config.replace(**changes)


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_takes_steps(preset):
    config = shrunk(load_config([], f"configs/{preset}"))
    system = create_system(config)
    rng = np.random.default_rng(0)
    size = config.img_size
    batch = {
        "condition": rng.uniform(-1, 1, (2, config.condition_nc, *size)).astype(np.float32),
        "image": rng.uniform(-1, 1, (2, config.image_nc, *size)).astype(np.float32),
        "boundary": rng.integers(0, 2, (2, 3, *size)).astype(np.float32),
        "id": np.arange(2, dtype=np.int32),
    }
    objective = system.objective(tuple(size))
    objective.initialise(batch)
    groups = objective.groups(1)
    step = TrainStep(objective.gradients(groups), groups)
    losses = [step(*(Tensor(x) for x in objective.inputs(batch, i)))[0].asnumpy() for i in range(2)]
    assert np.isfinite(losses).all()


def write_pairs(root, phase, count):
    for index in range(count):
        rng = np.random.default_rng(index)
        ids = np.kron(rng.integers(7, 14, (2, 4)), np.ones((8, 8))).astype(np.uint8)
        for folder, array in (("label", ids), ("img", rng.integers(0, 256, (16, 32, 3)).astype(np.uint8))):
            path = root / f"{phase}_{folder}" / f"s{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)


RUN = ("--name", "run", "--data_root", "data", "--mode", "pynative", "--device_target", "CPU")
OPTIONS = (
    *RUN, "--img_size", "12", "24", "--n_block", "1", "--n_flow", "1", "--coupling_filters", "8", "--batch_size", "2",
    "--niter", "1", "--print_freq", "2", "--display_freq", "2", "--recompute", "False",
)  # fmt: skip


def command(*more):
    """What eval.py makes of these words: all else comes from the trained run."""
    return read_command(EVAL, [*RUN, *more])[1]


@pytest.fixture
def trained(tmp_path):
    write_pairs(tmp_path / "data", "train", 4)
    write_pairs(tmp_path / "data", "test", 3)
    assert train(load_config(OPTIONS, "configs/fullglow_streets.yaml")) == 0
    return tmp_path / "results" / "predict" / "run"


def assert_close(made, real):
    """Both files show the same, up to the rounding to 8 bits."""
    first, second = (read_image(path, 3).astype(int) for path in (made, real))
    assert first.shape == second.shape and abs(first - second).max() <= 1


def test_tasks_of_a_trained_flow(trained):
    assert evaluate(command("--n_samples", "2")) == 0
    images = sorted(p.name for p in (trained / "test_1" / "images").iterdir())
    assert len(images) == 6 and "s0_synthesized_image_2.png" in images

    assert evaluate(command("--task", "bits_per_dim")) == 0
    bits = json.loads((trained / "bits_per_dim_test_1" / "bits_per_dim.json").read_text())
    assert set(bits["pictures"]) == {"s0", "s1", "s2"}
    assert np.isclose(bits["mean"], np.mean(list(bits["pictures"].values())))
    assert 2 < bits["mean"] < 12

    assert evaluate(command("--task", "reconstruct")) == 0
    errors = json.loads((trained / "reconstruct_test_1" / "reconstruct.json").read_text())["pictures"]
    assert max(errors.values()) < 1e-4

    assert evaluate(command("--task", "transfer", "--content", "s0", "--structure", "s2")) == 0
    assert (trained / "transfer_test_1" / "images" / "s0_to_s2_transferred.png").is_file()
    assert evaluate(command("--task", "transfer", "--content", "s0", "--structure", "s0")) == 0
    made = trained / "transfer_test_1" / "images"
    # what an earlier transfer left is gone
    assert {path.name.partition("_to_")[2][:2] for path in made.iterdir()} == {"s0"}
    assert_close(made / "s0_to_s0_transferred.png", made / "s0_to_s0_content.png")
    with pytest.raises(UserError, match="no sample nobody"):
        evaluate(command("--task", "transfer", "--content", "nobody"))

    assert evaluate(command("--task", "interpolate", "--frames", "3", "--how_many", "2")) == 0
    frames = trained / "interpolate_test_1" / "images"
    assert len(list(frames.iterdir())) == 3
    for frame, sample in (("00", "s0"), ("02", "s1")):
        real = trained / "reconstruct_test_1" / "images" / f"{sample}_real_image.png"
        assert_close(frames / f"s0_to_s1_frame_{frame}.png", real)

    assert evaluate(command("--task", "resample", "--n_samples", "2")) == 0
    assert (trained / "resample_test_1" / "images" / "s1_resampled_2.png").is_file()

    assert evaluate(command("--check_invertible", "True")) == 0
    blocks = json.loads(next(trained.glob("*/check_invertible.json")).read_text())
    assert blocks.pop("conv_precision") == bits["conv_precision"] == "exact"
    assert set(blocks) == {"block 0"} and 0 <= blocks["block 0"] < 1e-3
    assert evaluate(command("--task", "check_invertible", "--drift_tolerance", "0")) == 1

    # a folder of predictions is scored without any run
    without = ("--model", "fullglow", "--dataset", "pairs", "--name", "run", "--data_root", "data")
    words = [*without, "--task", "segmentation", "--predictions", "data/test_label", "--save_ckpt_dir", "nowhere"]
    assert evaluate(read_command(EVAL, words)[1]) == 0
    assert json.loads((trained / "segmentation.json").read_text())["class_iou"] == 1.0
    (trained.parents[2] / "data" / "test_label" / "s1.png").rename(trained / "elsewhere.png")
    with pytest.raises(UserError, match="train_img_none does not exist"):
        evaluate(command("--task", "segmentation", "--predictions", "data/train_img_none"))

    with pytest.raises(UserError, match="img_size"):
        evaluate(command("--img_size", "16", "16"))


def test_mnist_trains_from_its_files(tmp_path):
    rng = np.random.default_rng(0)
    for name, array in (
        ("train-images-idx3-ubyte", rng.integers(0, 256, (4, 28, 28)).astype(np.uint8)),
        ("train-labels-idx1-ubyte", np.uint8([1, 2, 3, 4])),
    ):
        header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        (tmp_path / name).write_bytes(header + array.tobytes())
    config = load_config(
        [
            "--name", "digits", "--data_root", str(tmp_path), "--mode", "pynative", "--device_target", "CPU",
            "--n_flow", "[1]", "--coupling_filters", "8", "--batch_size", "2", "--max_iter", "2",
        ],
        "configs/fullglow_mnist.yaml",
    )  # fmt: skip
    assert train(config) == 0
    assert Path("checkpoints/digits/manifest.json").is_file()


@pytest.mark.parametrize("size", ["256", "512"])
def test_scripts_train_and_sample(size, tmp_path):
    """The scripts as users call them, the preset made tiny by options behind it."""
    write_pairs(tmp_path / "data", "train", 2)
    write_pairs(tmp_path / "data", "test", 1)
    environment = os.environ | {"PYTHON": sys.executable, "DEVICE_TARGET": "CPU"}

    def script(kind, *options):
        path = ROOT / "scripts" / f"{kind}_fullglow_{size}.sh"
        return subprocess.run(["bash", path, *options], env=environment, capture_output=True, text=True)

    trained = script("train", "--dataset", "pairs", *OPTIONS, "--niter_decay", "0")
    assert trained.returncode == 0, trained.stderr
    sampled = script("eval", *RUN, "--temp", "0.5")
    assert sampled.returncode == 0, sampled.stderr
    assert (tmp_path / "results" / "predict" / "run" / "test_1" / "images" / "s0_synthesized_image.png").is_file()
    usage = subprocess.run(
        ["bash", ROOT / "scripts" / f"distribute_train_fullglow_{size}.sh"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert usage.returncode == 1 and "DEVICES" in usage.stderr
