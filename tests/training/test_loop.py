"""Whole runs on tiny data: resuming bit for bit, phases, pretrained weights, refusals, evaluation."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.options.owner import ROOT
from src.runs.checkpoint_reader import CheckpointReader
from src.runs.log import read_log
from src.systems.programs import load_config
from src.utils.errors import UserError
from tests.running import evaluate, train
from tests.tiny_runs import make_streets, options_of

# three epochs of four steps: at the full rate, again (the first of the decay), and at half of it
OPTIONS = {"niter": 1, "niter_decay": 2, "instance_feat": True, "pool_size": 2, "print_freq": 1}
STEPS = 12
LEGACY = Path(__file__).resolve().parents[1] / "fixtures" / "runs_0_1"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_streets(tmp_path_factory.mktemp("streets"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data):
    """An uninterrupted run; its folder."""
    folder = tmp_path_factory.mktemp("whole")
    assert train(load_config(words(data, save_ckpt_dir=folder))) == 0
    return folder / "label2city"


def words(data, **changes):
    return options_of(**({"data_root": data, "display_freq": 1000} | OPTIONS | changes))


def run(data, **changes):
    return train(load_config(words(data, **changes)))


def checkpoint(folder, which="latest"):
    return CheckpointReader(folder).load(which)


def assert_equal_runs(one, other):
    """Networks, moments, pools and counters of the newest checkpoints are equal to the bit."""
    first, second = checkpoint(one), checkpoint(other)
    assert first.position == second.position
    for name in first.networks.keys() | second.networks.keys():
        assert_equal_arrays(first.networks[name], second.networks[name])
    assert_equal_arrays(first.state, second.state)


def assert_equal_arrays(one, other):
    assert one.keys() == other.keys()
    different = [name for name in one if one[name].tobytes() != other[name].tobytes()]
    assert not different


def logged(folder):
    return [record["step"] for record in read_log(folder / "log.jsonl")]


def start_process(data, folder, **changes):
    command = [sys.executable, str(ROOT / "train.py"), *words(data, save_ckpt_dir=folder, **changes)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)


def wait_for(process, text):
    """Read what the process says until a line holds ``text``."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return
    pytest.fail(f"{text} was never said:\n{''.join(lines)}")


# -- a whole run -------------------------------------------------------------------------------------------------


def test_a_run_leaves_what_it_should(whole):
    found = checkpoint(whole)
    assert (found.tag, found.system, found.position.tag) == ("3", "pix2pixHD", "3")
    assert set(found.networks) == {"G", "D", "E"}
    assert found.state["run.step"] == STEPS and found.state["step.bad_steps"] == 0
    assert (whole / "latest_net_G.safetensors").read_bytes() == (whole / "3_net_G.safetensors").read_bytes()
    records = read_log(whole / "log.jsonl")
    assert [record["step"] for record in records] == list(range(1, STEPS + 1))
    assert [(r["epoch"], r["iteration"]) for r in records] == [(e, i) for e in (1, 2, 3) for i in (1, 2, 3, 4)]
    assert list(records[0]["values"]) == ["G_GAN", "G_GAN_Feat", "D_real", "D_fake"]
    rates = [record["extra"]["learning_rate"] for record in records]
    assert rates == pytest.approx([2e-4] * 8 + [1e-4] * 4)
    assert (whole / "gallery" / "index.html").is_file()
    resolved = load_config(["--config_path", str(whole / "config.yaml")])
    assert resolved.to_dict() == found.config
    assert resolved.niter_decay == 2 and resolved.instance_feat


def test_a_finished_run_says_so(whole, data, capsys):
    before = (whole / "manifest.json").read_bytes()
    assert run(data, save_ckpt_dir=whole.parent, continue_train=True) == 0
    assert "the run is complete, with 3 epochs done" in capsys.readouterr().out
    assert (whole / "manifest.json").read_bytes() == before


# -- resuming ----------------------------------------------------------------------------------------------------


def test_sigterm_in_mid_epoch_and_resuming_change_nothing(whole, data, tmp_path, capfd):
    process = start_process(data, tmp_path)
    try:
        wait_for(process, "(epoch: 1, iters: 2,")
        process.send_signal(signal.SIGTERM)
        said = process.stdout.read()
        assert process.wait(60) == 128 + signal.SIGTERM
    finally:
        process.kill()
    assert "stopped after step" in said and "Traceback" not in said
    stopped = checkpoint(tmp_path / "label2city").state["run.step"].item()
    assert 2 <= stopped < STEPS
    assert run(data, save_ckpt_dir=tmp_path, continue_train=True) == 0
    assert f"(step {stopped})" in capfd.readouterr().out
    assert_equal_runs(whole, tmp_path / "label2city")
    assert logged(tmp_path / "label2city") == list(range(1, STEPS + 1))


def test_kill_after_a_checkpoint_in_mid_epoch_and_resuming_change_nothing(whole, data, tmp_path):
    process = start_process(data, tmp_path, save_latest_freq=3)
    try:
        wait_for(process, "saved checkpoint 2.2 ")
        wait_for(process, "(epoch: 2, iters: 3,")
    finally:
        process.kill()
        process.communicate()
    folder = tmp_path / "label2city"
    assert checkpoint(folder).position.tag == "2.2" and logged(folder)[-1] > 6
    assert run(data, save_ckpt_dir=tmp_path, continue_train=True) == 0
    assert_equal_runs(whole, folder)
    assert logged(folder) == list(range(1, STEPS + 1))


def test_a_finished_run_can_be_extended(whole, data, tmp_path):
    assert run(data, save_ckpt_dir=tmp_path, niter=2, niter_decay=0) == 0
    assert checkpoint(tmp_path / "label2city").tag == "2"
    assert run(data, save_ckpt_dir=tmp_path, continue_train=True) == 0
    assert_equal_runs(whole, tmp_path / "label2city")


def test_stopping_after_every_step_changes_nothing(data, tmp_path, monkeypatch):
    """With half-done accumulations, a full image pool, a growing loss scale and clipping on the way."""
    options = {
        "niter": 1,
        "niter_decay": 1,
        "max_dataset_size": 3,
        "accumulation": 2,
        "dynamic_loss_scale": True,
        "loss_scale": 8,
        "clip_norm": 0.5,
        "label_feat": True,
        "instance_feat": False,
    }
    assert run(data, save_ckpt_dir=tmp_path, name="whole", **options) == 0
    monkeypatch.setenv("MINDI2I_STOP_FILE", str(tmp_path / "stop"))
    (tmp_path / "stop").touch()
    for step in range(1, 7):
        assert run(data, save_ckpt_dir=tmp_path, name="pieces", continue_train=step > 1, **options) == 0
        assert checkpoint(tmp_path / "pieces").state["run.step"] == step
    assert_equal_runs(tmp_path / "whole", tmp_path / "pieces")
    state = checkpoint(tmp_path / "pieces").state
    assert state["step.good_steps"] == 3 and any(name.startswith("sum.G.") for name in state)
    assert state["buffer.pool.images"].any()


def test_another_batch_size_goes_on_at_the_same_fraction_of_the_epoch(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MINDI2I_STOP_FILE", str(tmp_path / "stop"))
    (tmp_path / "stop").touch()
    for step in range(2):
        assert run(data, save_ckpt_dir=tmp_path, continue_train=step > 0, pool_size=0) == 0
    assert run(data, save_ckpt_dir=tmp_path, continue_train=True, pool_size=0, batch_size=2, dry_run=True) == 0
    said = capsys.readouterr().out
    assert "an epoch now has 2 steps, not 4, and epochs count: step 2 of the checkpoint is now step 1" in said
    assert "checkpoint 1.2 (step 1)" in said and "dry run: everything is in place" in said
    assert checkpoint(tmp_path / "label2city").position.tag == "1.2"
    (tmp_path / "stop").unlink()
    assert run(data, save_ckpt_dir=tmp_path, continue_train=True, pool_size=0, niter=1, niter_decay=0) == 0
    assert run(data, save_ckpt_dir=tmp_path, continue_train=True, pool_size=0, batch_size=2, dry_run=True) == 0
    assert "step 4 of the checkpoint is now step 2" in capsys.readouterr().out


# -- phases and pretrained weights -------------------------------------------------------------------------------

LOCAL = {"netG": "local", "num_D": 2, "niter_fix_global": 1, "pool_size": 0}


def test_first_the_enhancer_alone_then_everything(whole, data, tmp_path, capsys):
    options = LOCAL | {"save_ckpt_dir": tmp_path, "load_pretrain": whole, "ngf": 2, "keep_last": 9}
    assert run(data, name="local", **options) == 0
    said = capsys.readouterr().out
    # the 512p generator without its last convolution, and one discriminator scale
    assert f"pretrained {whole}: network G, 14 parameters loaded" in said
    assert "not in the file, so new: model1_1.1, model1_1.4, model1_2.0, model1_2.1, model1_2.5" in said
    assert "in the file, but not here: model.18" in said
    assert "not in the file, so new: scale1_layer0.0, " in said
    assert "epoch 2: now training G, D" in said

    start, first, last = checkpoint(whole), checkpoint(tmp_path / "local", "1"), checkpoint(tmp_path / "local", "3")
    given = start.networks["G"]
    inner = [name for name in first.networks["G"] if name.startswith("model.")]
    outer = [name for name in first.networks["G"] if name.startswith("model1_")]
    assert inner and outer and len(inner) + len(outer) == len(first.networks["G"])
    # phase 1: the global generator is as it was given, everything else moved
    assert_equal_arrays({name: first.networks["G"][name] for name in inner}, {name: given[name] for name in inner})
    assert (first.networks["E"]["model.1.weight"] != start.networks["E"]["model.1.weight"]).all()
    assert {k for k in first.state if k.startswith("optimizer.G")} == {
        k for k in first.state if k.startswith(("optimizer.G_enhancer.beta", "optimizer.G_enhancer.moment"))
    }
    # phase 2: everything moves but biases that the norms behind them cancel
    still = [name for name in first.networks["G"] if (first.networks["G"][name] == last.networks["G"][name]).all()]
    assert still and all(name.endswith(".bias") for name in still)
    # the discriminator's Adam counts all steps, the generator's those of its phase
    assert last.state["optimizer.D.beta1_power"] == np.float32(0.5**STEPS)
    assert last.state["optimizer.G.beta1_power"] == np.float32(0.5**8)
    rates = [record["extra"]["learning_rate"] for record in read_log(tmp_path / "local" / "log.jsonl")]
    assert rates == pytest.approx([2e-4] * 8 + [1e-4] * 4)

    # stopped between the phases, and resumed, it is the same run
    assert run(data, name="halves", **(options | {"niter_decay": 0})) == 0
    assert run(data, name="halves", continue_train=True, **options) == 0
    assert_equal_runs(tmp_path / "local", tmp_path / "halves")


def test_pretrained_weights_of_another_network_are_refused(whole, data, tmp_path):
    with pytest.raises(UserError, match=r"label2city fills 1 of 16 parameters of network G: are the options"):
        run(data, save_ckpt_dir=tmp_path, load_pretrain=whole, ngf=3)
    with pytest.raises(UserError, match=r"there is no run .*nowhere"):
        run(data, save_ckpt_dir=tmp_path, name="other", load_pretrain=tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"cyclegan holds G_AB, G_BA, none of the networks of pix2pixHD \(D, E, G\)"):
        run(data, save_ckpt_dir=tmp_path, name="other", load_pretrain=LEGACY / "cyclegan")


# -- refusals ----------------------------------------------------------------------------------------------------


def contents(folder):
    return {path: path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def test_the_folder_of_another_run_is_refused(whole, data):
    before = contents(whole)
    with pytest.raises(UserError, match=r"label2city already holds a run .*--continue_train True .*--name"):
        run(data, save_ckpt_dir=whole.parent)
    with pytest.raises(UserError, match=r"holds a run with other options \(ngf was 4, is 5\)"):
        run(data, save_ckpt_dir=whole.parent, continue_train=True, ngf=5)
    assert contents(whole) == before


def test_a_run_that_died_before_its_first_checkpoint_begins_again(whole, data, tmp_path, capsys):
    """It can be neither continued from a checkpoint nor started anew, because its folder holds a log."""
    folder = tmp_path / "label2city"
    folder.mkdir()
    for name in ("run.json", "config.yaml"):
        shutil.copy(whole / name, folder)
    line = (whole / "log.jsonl").read_text().splitlines()[0]
    (folder / "log.jsonl").write_text(line + "\n")
    with pytest.raises(UserError, match=r"already holds a run \(log.jsonl\): pass --continue_train True"):
        run(data, save_ckpt_dir=tmp_path)
    assert run(data, save_ckpt_dir=tmp_path, continue_train=True) == 0
    assert f"{folder} holds no checkpoint yet: beginning at step 0" in capsys.readouterr().out
    assert [record["step"] for record in read_log(folder / "log.jsonl")] == list(range(1, STEPS + 1))
    assert_equal_runs(whole, folder)


def test_a_start_that_fails_leaves_no_run(data, tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        run(data, save_ckpt_dir=tmp_path, load_pretrain=tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())


def test_ten_bad_steps_in_a_row_stop_the_run(data, tmp_path):
    with pytest.raises(UserError, match=r"10 steps in a row had no finite gradient .*not_finite_step_10.json"):
        run(data, save_ckpt_dir=tmp_path, loss_scale=3e38, keep_last=9)
    dump = json.loads((tmp_path / "label2city" / "not_finite_step_10.json").read_text())
    assert len(dump["steps"]) == 10 and all(entry["samples"][0].startswith("scene_") for entry in dump["steps"])
    assert {"inf", "nan"} & {str(value) for entry in dump["steps"] for value in entry["norms"].values()}
    # nothing was learned from them
    first, second = checkpoint(tmp_path / "label2city", "1"), checkpoint(tmp_path / "label2city", "2")
    for name, arrays in first.networks.items():
        assert_equal_arrays(arrays, second.networks[name])
    assert second.state["step.bad_steps"] == 8 and second.state["optimizer.G.beta1_power"] == 1


def test_half_precision_finds_its_loss_scale(data, tmp_path):
    half = {"precision": "fp16", "niter": 1, "niter_decay": 0, "max_dataset_size": 1}
    assert run(data, save_ckpt_dir=tmp_path, **half) == 0
    saved = checkpoint(tmp_path / "label2city")
    assert saved.config["dynamic_loss_scale"] and saved.state["step.scale"] >= 2.0
    assert run(data, save_ckpt_dir=tmp_path, name="fixed", loss_scale=8, **half) == 0
    assert not checkpoint(tmp_path / "fixed").config["dynamic_loss_scale"]


def test_one_debug_epoch(data, tmp_path):
    assert run(data, save_ckpt_dir=tmp_path, debug=True, niter=50, print_freq=100) == 0
    assert checkpoint(tmp_path / "label2city").tag == "1" and logged(tmp_path / "label2city") == [1, 2, 3, 4]


def test_frequencies_count_samples_over_the_whole_run(data, tmp_path):
    """A data set smaller than a frequency still has its lines and checkpoints."""
    options = {"pool_size": 0, "instance_feat": False, "print_freq": 5, "save_latest_freq": 6, "keep_last": 9}
    assert run(data, save_ckpt_dir=tmp_path, **options) == 0
    assert logged(tmp_path / "label2city") == [1, 5, 10]
    assert sorted(info.tag for info in CheckpointReader(tmp_path / "label2city").list()) == ["1", "2", "2.2", "3"]


# -- evaluation --------------------------------------------------------------------------------------------------


def translate(data, folder, *more, **changes):
    command = words(data, save_ckpt_dir=folder, predict_dir="results", use_encoded_image=True, **changes)
    kept = ("--data_root", "--save_ckpt_dir", "--predict_dir", "--use_encoded_image", "--device_target", "--mode")
    return evaluate(load_config([word for word in command if word.startswith(kept)] + list(more)))


def test_evaluation_keeps_names_and_sizes(whole, data, tmp_path):
    shutil.copytree(data, tmp_path / "data", ignore=shutil.ignore_patterns(".*"))
    for path in (tmp_path / "data").glob("test_*/scene_00001.png"):
        # 67x33 is divisible by nothing; ids and photos alike are only repeated at the border
        array = np.array(Image.open(path))
        pad = [(0, 1), (0, 3)] + [(0, 0)] * (array.ndim - 2)
        Image.fromarray(np.pad(array, pad, mode="edge")).save(path)
    assert translate(tmp_path / "data", whole.parent, "--load_size", "67") == 0
    images = tmp_path / "results" / "label2city" / "test_3" / "images"
    sizes = {path.name: Image.open(path).size for path in images.iterdir()}
    assert sizes == {"scene_00000_synthesized_image.png": (67, 33), "scene_00001_synthesized_image.png": (67, 33)}
    assert (images.parent / "gallery" / "index.html").is_file()


def test_how_many_and_the_checkpoint_are_chosen(whole, data, tmp_path, capsys):
    assert translate(data, whole.parent, "--how_many", "1", "--which_epoch", "2", "--phase", "train") == 0
    assert "stopping after 1, as --how_many says" in capsys.readouterr().out
    assert len(list((tmp_path / "results" / "label2city" / "train_2" / "images").iterdir())) == 1


@pytest.mark.parametrize(
    "option, message",
    [
        (["--netG", "local"], r"--netG local contradicts .*, which was trained with netG global: leave the option out"),
        (["--ngf", "8"], r"--ngf 8 contradicts .* ngf 4"),
        (["--label_nc", "19"], r"--label_nc 19 contradicts .* label_nc 35"),
        (["--instance_feat", "False"], r"--instance_feat False contradicts .* instance_feat True"),
        (["--norm", "batch"], r"--norm batch contradicts"),
        (["--which_epoch", "77"], r"77"),
        (["--name", "nobody"], r"there is no run .*nobody; .* holds label2city"),
    ],
)
def test_options_that_contradict_the_checkpoint_are_refused(whole, data, tmp_path, option, message):
    with pytest.raises(UserError, match=message):
        translate(data, whole.parent, *option)
    assert not (tmp_path / "results").exists()


def test_options_that_agree_with_the_checkpoint_may_be_given(whole, data):
    assert translate(data, whole.parent, "--ngf", "4", "--instance_feat", "True", "--how_many", "1") == 0
