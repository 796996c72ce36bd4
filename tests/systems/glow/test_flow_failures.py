"""What a run of a flow and its evaluation say when numbers cease to be finite, at the command's level."""

import re

import pytest

from src.runs.checkpoint_reader import CheckpointReader
from src.runs.checkpoints import write_networks
from src.systems.programs import load_config
from src.utils.errors import UserError
from tests.running import evaluate, train
from tests.tiny_runs import make_streets

OPTIONS = (
    "--config_path", "configs/fullglow_streets.yaml", "--name", "run", "--data_root", "data", "--mode", "pynative",
    "--device_target", "CPU", "--img_size", "[12, 24]", "--n_block", "1", "--n_flow", "[1]", "--coupling_filters", "8",
    "--batch_size", "2", "--niter", "1", "--print_freq", "99", "--no_html", "True", "--do_lu", "False",
    "--scale_limit", "0",
)  # fmt: skip


@pytest.fixture
def data(tmp_path):
    return make_streets(tmp_path / "data", train=4, test=1)


def command(*more):
    return load_config([*OPTIONS, *more])


def test_a_run_that_diverges_names_the_op(data):
    with pytest.raises(UserError) as told:
        train(command("--lr", "1e30", "--niter", "5", "--batch_size", "1"))
    assert "steps in a row had no finite gradient (not finite: total" in str(told.value)
    assert re.search(r"The first of them is in block 0, flow 0, (left|right) \w+ ", str(told.value))


def test_a_singular_matrix_of_a_checkpoint_is_named(data, tmp_path):
    assert train(command()) == 0
    with pytest.raises(UserError, match="temp"):
        evaluate(command("--temp", "-1"))
    saved = CheckpointReader(tmp_path / "checkpoints" / "run").load("latest")
    arrays = {name: array.copy() for name, array in saved.networks["glow"].items()}
    arrays["left_glow.blocks.0.flows.0.inv_conv.weight"][0] = arrays["left_glow.blocks.0.flows.0.inv_conv.weight"][1]
    write_networks(tmp_path / "checkpoints" / "broken", "latest", {"glow": arrays}, saved.config, "fullglow")
    named = ("--name", "broken")
    assert evaluate(command(*named, "--check_invertible", "True")) == 1
    with pytest.raises(UserError, match=r"likelihood that is not finite: the 1x1 matrix of left_glow\.blocks\.0\.flo"):
        evaluate(command(*named, "--task", "bits_per_dim"))
