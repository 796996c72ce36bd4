"""What ``export.py`` reads: the run, real samples where there are some, and packages before all else."""

import shutil
import sys

import mindspore as ms
import onnxruntime
import pytest

from export import main as export
from src.utils.errors import UserError
from tests.metrics.stand_ins import blocks, write_pictures
from tests.saved_runs import save_run
from tests.tiny_runs import make_streets


@pytest.fixture(autouse=True)
def graph_mode_ends():
    yield
    ms.set_context(mode=ms.PYNATIVE_MODE)


def exported(run, *words):
    assert export([f"--load_ckpt={run}", f"--name={run.name}", "--device_target=CPU", *words]) == 0
    return {path.stem: onnxruntime.InferenceSession(path) for path in run.glob("*.onnx")}


def test_label_maps_alone_are_real_inputs(tmp_path, capsys):
    """Neither images nor clusters are needed for a network that takes label maps, instances and features."""
    data = make_streets(tmp_path / "streets", train=1, test=1)
    shutil.rmtree(data / "test_img")
    shutil.rmtree(data / "train_img")
    sessions = exported(save_run(tmp_path, "feat", data_root=data))
    assert "checking with the first sample of the test set" in capsys.readouterr().out
    assert {i.name: i.shape for i in sessions["feat_G"].get_inputs()} == {
        "label": [1, 1, 32, 64],
        "inst": [1, 1, 32, 64],
        "features": [1, 3, 32, 64],
    }
    assert [i.shape for i in sessions["feat_E"].get_inputs()] == [[1, 3, 32, 64], [1, 1, 32, 64]]


def test_every_network_is_checked_with_samples_of_its_own_column(tmp_path, capsys):
    """Evaluation reads unpaired sets one after the other: the first sample has only one of both columns."""
    for side, size in (("A", 20), ("B", 24)):
        write_pictures(tmp_path / "data" / f"test{side}", {"a": blocks(1)[:16, :size]})
    sessions = exported(save_run(tmp_path, "cyclegan", data_root=tmp_path / "data", direction="both"))
    assert "checking with the first sample of the test set" in capsys.readouterr().out
    assert {name: s.get_inputs()[0].shape[:3] for name, s in sessions.items()} == {
        "cyclegan_G_AB": [1, 3, 256], "cyclegan_G_BA": [1, 3, 256],
    }  # fmt: skip


def test_small_samples_are_padded_as_for_translation(tmp_path):
    for side in "AB":
        write_pictures(tmp_path / "data" / f"test_{side}", {"a": blocks(1)[:3, :20]})
    run = save_run(tmp_path, "pictures", data_root=tmp_path / "data", resize_or_crop="none")
    # strides of 4, of which the residual blocks need two
    assert [i.shape for i in exported(run)["pictures_G"].get_inputs()] == [[1, 3, 8, 20]]
    with pytest.raises(UserError, match="--height 4 is below 8, the smallest that this network takes"):
        exported(run, "--height=4", "--width=16")


def test_a_missing_package_is_found_before_the_run_is_loaded(tmp_path, monkeypatch):
    run = save_run(tmp_path, "cyclegan")
    path = run / "1_net_G_AB.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match="no usable checkpoint"):
        exported(run)
    for package in ("onnx", "onnxruntime"):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, package, None)
            with pytest.raises(UserError, match="pip install"):
                exported(run)
            # what needs none of them goes on
            with pytest.raises(UserError, match="no usable checkpoint"):
                exported(run, "--file_format=mindir")
