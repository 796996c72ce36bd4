"""CUT through the commands that users type: training, going on, evaluation, refusals."""

import json

import pytest

import train as train_command
from src.utils.errors import UserError
from tests.saved_runs import check_equal
from tests.test_sim2real import script, sizes, write_streets

SMALL = "--load_size 36 --fine_size 32 --ngf 4 --ndf 4 --n_residual_blocks 1 --nce_layers 0 8 12 --netF_nc 8"
SMALL += " --num_patches 16 --batch_size 2 --pool_size 3 --lambda_NCE 10 --nce_idt False"
SMALL += " --flip_equivariance True --resize_or_crop scale_short_and_crop"
QUICK = ["--device_target", "CPU", "--mode", "pynative"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("cut") / "data"
    for name, number, blue in (("trainA", 4, 0), ("trainB", 5, 255), ("testA", 2, 0), ("testB", 1, 255)):
        write_streets(root / name, number, blue)
    return root


@pytest.fixture(scope="module")
def run(data):
    """Two epochs of FastCUT by its options, and in `parts` the same with a stop, begun by its preset."""
    folder = data.parent
    words = ["--name", "run", *SMALL.split(), "--niter_decay", "0", *QUICK]
    script("distribute_train_cut.sh", 1, data, *words, "--niter", 2, folder=folder)
    parts = [*words, "--save_ckpt_dir", str(folder / "parts"), "--data_root", str(data)]
    first = ["--config_path", "configs/cut_fast.yaml", *parts, "--niter", "1"]
    assert not train_command.main(first)
    script("train_cut.sh", *parts, "--niter", 2, "--continue_train", "True", folder=folder)
    return folder / "checkpoints" / "run"


def test_a_continued_run_equals_an_uninterrupted_one(run):
    """Weights, moments and the pool of images."""
    names = sorted(path.name for path in run.glob("2_*.safetensors"))
    assert names == [f"2_{part}.safetensors" for part in ("net_D", "net_F", "net_G", "state")]
    check_equal(run, run.parents[1] / "parts" / "run", "2", "replay_B")


def test_evaluation_translates_one_way_and_says_how_well(data, run):
    folder = data.parent
    said = script("eval_cut.sh", "--data_root", data, "--name", "run", "--mode", "pynative", folder=folder)
    assert "fake_B: layout of A kept" in said and "distance" not in said
    results = next((folder / "results" / "predict" / "run").iterdir())
    assert sizes(results / "images") == dict.fromkeys(("testA0_fake_B.png", "testA1_fake_B.png"), (43, 32))
    assert json.loads((results / "look.json").read_text())["fake_B"]["pictures"] == 2


def test_more_patches_than_places_are_refused_and_leave_no_run_and_no_records(data, tmp_path):
    words = ["--config_path", "configs/cut.yaml", *SMALL.split(), *QUICK, "--data_root", str(data)]
    words += ["--records_dir", str(tmp_path / "records")]
    with pytest.raises(UserError, match="num_patches 65 is above the 8x8 = 64 places of the smallest feature map"):
        train_command.main([*words, "--num_patches", "65", "--name", "bad", "--save_ckpt_dir", str(tmp_path / "runs")])
    assert not (tmp_path / "runs" / "bad").exists() and not (tmp_path / "records").exists()
