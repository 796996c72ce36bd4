"""Runs that version 0.1 trained: they open, give the images that they gave, and go on training."""

import shutil
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from eval import main as evaluate
from src import load
from src.imaging.images import read_image
from src.inference.opening import stored_options
from src.runs.checkpoint_reader import CheckpointReader
from src.runs.log import read_log
from src.systems.registry import find_system
from tests.tiny_runs import make_streets
from train import main as train

RUNS = Path(__file__).resolve().parents[1] / "fixtures" / "runs_0_1"
EXPECTED = np.load(RUNS / "expected.npz")
_RNG = np.random.default_rng(0)
LABEL = _RNG.integers(0, 35, (32, 64))
IMAGE = _RNG.integers(0, 256, (32, 64, 3)).astype(np.uint8)


def opened(name, **options):
    return load(RUNS / name, device_target="CPU", mode="pynative", **options)


def test_images_are_the_same():
    """To the bit, as 8-bit images, styles drawn from the stored clusters and samples of a flow among them."""
    np.testing.assert_array_equal(opened("paired").translate(LABEL, instances=LABEL * 1000), EXPECTED["paired"])
    np.testing.assert_array_equal(opened("cyclegan").translate(IMAGE), EXPECTED["cyclegan"])
    np.testing.assert_array_equal(opened("fullglow").sample(IMAGE[:12, :12], seed=1), EXPECTED["fullglow"])


def test_exported_files_still_run():
    """A checksum of the weights in the files says that they belong to this checkpoint."""
    model = opened("paired", runtime="onnx")
    assert [type(model.system._generate).__name__, type(model.system._encode).__name__] == ["OnnxPass"] * 2
    image = model.translate(LABEL, instances=LABEL * 1000)
    assert np.abs(image.astype(int) - EXPECTED["paired"]).max() <= 1
    styles = model.encode(IMAGE, LABEL, LABEL * 1000)
    for region, style in opened("paired").encode(IMAGE, LABEL, LABEL * 1000).items():
        np.testing.assert_allclose(styles[region], style, atol=1e-4)


def test_options_under_their_names_of_then(tmp_path):
    """The crops were called width and height, and what conditions what was called direction."""
    stored = CheckpointReader(RUNS / "cyclegan").load().config
    assert (stored["width"], stored["height"], stored["direction"]) == (64, 32, "AtoB")
    found = stored_options(stored, find_system("cyclegan").load(), "")
    assert (found["crop_width"], found["crop_height"], found["direction"]) == (64, 32, "AtoB")
    config = opened("cyclegan").config
    assert (config.crop_width, config.crop_height, config.direction) == (64, 32, "AtoB")
    assert opened("fullglow").config.mapping == "label2photo"
    # what was the size of an exported file then is no crop
    assert opened("paired").config.height == 0


def test_it_is_evaluated(tmp_path):
    data = make_streets(tmp_path / "data", train=2, test=1)
    words = [f"--load_ckpt={RUNS / 'paired'}", "--name=old", f"--data_root={data}", "--predict_dir=out"]
    assert evaluate([*words, "--device_target=CPU", "--mode=pynative"]) == 0
    assert read_image(tmp_path / "out/old/test_1/images/scene_00000_synthesized_image.png").shape == (32, 64, 3)


@pytest.fixture
def graph_mode_ends():
    yield
    ms.set_context(mode=ms.PYNATIVE_MODE)


def test_training_goes_on(tmp_path, graph_mode_ends):
    """With the configuration that the run wrote beside its checkpoints, at the next epoch."""
    shutil.copytree(RUNS / "paired", tmp_path / "runs" / "paired")
    make_streets(tmp_path / "data", train=2, test=1)
    words = ["--config_path", "runs/paired/config.yaml", "--continue_train", "True", "--niter", "2"]
    assert train([*words, "--mode", "pynative", "--print_freq", "1"]) == 0
    assert [record["epoch"] for record in read_log(tmp_path / "runs" / "paired" / "log.jsonl")] == [2, 2]
    before, after = (CheckpointReader(tmp_path / "runs" / "paired").load(tag) for tag in ("1", "2"))
    changed = {name for name, array in after.networks["G"].items() if (array != before.networks["G"][name]).any()}
    # the run trained biases that a norm cancels, and has moments of them: they are kept, and not trained any more
    cancelled = {name for name in before.networks["G"] if name.endswith(".bias")} - {"model.18.bias"}
    assert changed == set(before.networks["G"]) - cancelled and after.config["n_layers_D"] == 1
    moments = [name for name in before.state if name.endswith(".model.1.bias")]
    assert moments and not set(moments) & set(after.state)
