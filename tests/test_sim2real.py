"""CycleGAN and Hierarchy Flow through the commands that users type, on tiny pictures."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from src.gallery.page import read_page
from src.imaging.video import Video, write_video
from src.runs.checkpoint_reader import CheckpointReader
from tests.saved_runs import check_equal

ROOT = Path(__file__).resolve().parents[1]
CYCLEGAN = "--load_size 36 --fine_size 32 --ngf 4 --ndf 4 --n_residual_blocks 1 --batch_size 2 --pool_size 3"
HIERARCHY = "--width 32 --height 24 --out_channels [6,12] --pad_size 4 --vgg_pre_trained random:1 --batch_size 2"


def write_streets(folder, number, blue):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(blue)
    for i in range(number):
        pixels = rng.integers(0, 255, (5, 7, 3)).astype(np.uint8)
        pixels[..., 2] = blue
        Image.fromarray(pixels).resize((50, 37), Image.Resampling.NEAREST).save(folder / f"{folder.name}{i}.png")


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sim2real") / "data"
    for name, number, blue in (("trainA", 6, 0), ("trainB", 5, 255), ("testA", 2, 0), ("testB", 1, 255)):
        write_streets(root / name, number, blue)
    return root


def script(name, *options, folder, fails=False, **environment):
    """Run a script in PyNative mode on the CPU; the working folder is where runs and results go."""
    command = ["bash", str(ROOT / "scripts" / name), *map(str, options)]
    settings = {"PYTHON": sys.executable, "DEVICE_TARGET": "CPU", **environment}
    done = subprocess.run(command, cwd=folder, env=os.environ | settings, capture_output=True, text=True, timeout=600)
    assert (done.returncode != 0) == fails, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def sizes(folder):
    return {path.name: Image.open(path).size for path in sorted(folder.glob("*.png"))}


@pytest.fixture(scope="module")
def teacher(streets):
    """A CycleGAN of six steps, stopped after four and continued."""
    folder = streets.parent
    options = ["--data_root", streets, "--name", "teacher", *CYCLEGAN.split(), "--mode", "pynative"]
    script("train_cyclegan.sh", *options, "--niter", 2, "--niter_decay", 0, "--save_epoch_freq", 1, folder=folder)
    # the same run, cut off after its first epoch
    shutil.copytree(folder / "checkpoints", folder / "whole")
    script("train_cyclegan.sh", *options, "--niter", 1, "--niter_decay", 0, "--save_ckpt_dir", "parts", folder=folder)
    script(
        "train_cyclegan.sh",
        *options,
        *("--niter", 2, "--niter_decay", 0, "--save_ckpt_dir", "parts", "--continue_train", "True"),
        folder=folder,
    )
    return folder / "checkpoints" / "teacher"


def test_a_continued_run_equals_an_uninterrupted_one(teacher):
    """Weights, moments, replay buffers and all."""
    names = {path.name for path in teacher.glob("2_*.safetensors")}
    assert names >= {f"2_net_{network}.safetensors" for network in ("G_AB", "G_BA", "D_A")}
    check_equal(teacher, teacher.parents[1] / "parts" / "teacher", "2", "replay_A")


def test_cyclegan_translates_both_ways_and_says_how_well(streets, teacher):
    folder = streets.parent
    said = script("eval_cyclegan.sh", "--data_root", streets, "--name", "teacher", "--mode", "pynative", folder=folder)
    assert "fake_B: layout of A kept" in said and "distance to the style of A" in said
    results = folder / "results" / "predict" / "teacher" / "test_2"
    made = sizes(results / "images")
    assert made == dict.fromkeys(("testA0_fake_B.png", "testA1_fake_B.png", "testB0_fake_A.png"), (43, 32))
    assert json.loads((results / "look.json").read_text())["fake_B"]["pictures"] == 2
    assert (results / "gallery" / "index.html").is_file()


def test_student_learns_from_the_teacher(streets, teacher):
    """Translate, pair, train: the translated pictures keep the size of their sources."""
    folder, pairs = streets.parent, streets.parent / "pairs"
    student = "--load_size 48 --ngf 4 --ndf 4 --n_downsample_global 2 --n_blocks_global 1 --no_vgg_loss True"
    script(
        "distill_sim2real.sh",
        *(teacher, streets / "trainA", pairs, *student.split(), "--resize_or_crop", "resize_and_crop"),
        *("--fine_size", 32, "--niter", 1, "--niter_decay", 0, "--mode", "pynative"),
        folder=folder,
    )
    assert len(sizes(pairs / "train_A")) == 5 and len(sizes(pairs / "test_B")) == 1
    assert set(sizes(pairs / "train_B").values()) == {(50, 37)}
    assert (folder / "checkpoints" / "teacher_student" / "manifest.json").is_file()


def test_light_student_of_translations_from_elsewhere(streets, tmp_path):
    """A folder is a teacher as well; where it lacks an image's partner, that is said before anything is trained."""
    theirs, pairs = tmp_path / "theirs", tmp_path / "pairs"
    shutil.copytree(streets / "trainA", theirs)
    student = "--student light --resize_or_crop none --ngf 4 --ndf 4 --real_patches [2,2]"
    student += " --n_downsample_global 2 --n_blocks_global 1 --niter 1 --niter_decay 0 --mode pynative"
    command = ["distill_sim2real.sh", theirs, streets / "trainA", pairs, *student.split()]
    partner = (theirs / "trainA3.png").rename(tmp_path / "trainA3.png")
    said = script(*command, folder=tmp_path, fails=True)
    assert len(said.splitlines()) == 1 and "theirs lacks the translations of 1 of 6 images" in said
    assert "(trainA3.png): add them" in said and not pairs.exists()
    partner.rename(theirs / partner.name)
    said = script(*command, folder=tmp_path, REAL=str(streets / "trainB"))
    assert "5 images of patches from 20 real ones" in said and "G_L1" in said and "P_real" in said
    run = tmp_path / "checkpoints" / "theirs_student"
    assert "body.0.conv_block.1.weight" in load_file(run / "latest_net_G.safetensors")


def test_hierarchy_flow_trains_by_steps_and_names_its_results(streets):
    folder = streets.parent
    options = ["--data_root", streets, "--name", "flow", "--mode", "pynative"]
    script("train_hierarchyflow.sh", *options, *HIERARCHY.split(), "--max_iter", 4, folder=folder)
    assert CheckpointReader(folder / "checkpoints" / "flow").load("latest").state["run.step"] == 4
    script("eval_hierarchyflow.sh", *options, folder=folder)
    results = folder / "results" / "predict" / "flow" / "test_2.1"
    assert sizes(results / "images") == {f"testA{i}_to_testB0.png": (32, 24) for i in (0, 1)}
    # content, style and output beside each other
    assert sizes(results / "side_by_side") == {f"testA{i}_to_testB0.png": (96, 24) for i in (0, 1)}


def test_two_workers_train_together(streets, tmp_path):
    said = script(
        "distribute_train_cyclegan.sh",
        *(2, streets, "--name", "two", *CYCLEGAN.split(), "--niter", 1, "--niter_decay", 0, "--mode", "pynative"),
        *("--batch_size", 1),
        folder=tmp_path,
    )
    assert "2 workers" in said
    assert (tmp_path / "checkpoints" / "two" / "manifest.json").is_file()


def test_older_form_of_the_distribute_scripts(streets, tmp_path):
    script(
        "distribute_train_hierarchyflow.sh",
        *(1, "False", streets, "--name", "one", *HIERARCHY.split(), "--max_iter", 1, "--mode", "pynative"),
        folder=tmp_path,
    )
    assert (tmp_path / "checkpoints" / "one" / "manifest.json").is_file()


def test_a_video_in_is_a_video_out(streets, teacher):
    folder = streets.parent
    video = write_video(folder / "drive.mp4", sorted((streets / "trainB").iterdir()), 12.0)
    script(
        "eval_cyclegan.sh",
        *("--load_ckpt", teacher, "--name", "teacher", "--input", video, "--direction", "BtoA", "--mode", "pynative"),
        *("--metrics", "warp_error"),
        folder=folder,
    )
    results = folder / "results" / "predict" / "teacher" / "drive_2"
    assert read_page(results / "gallery" / "index.html")["title"] == "teacher: drive, checkpoint 2"
    made = Video(results / "drive_fake_A.mp4")
    assert made.rate == pytest.approx(12.0) and len(made.frames) == 5
    # that of the video, although images are translated at the size of the training
    assert Image.open(made.frames[0]).size == (50, 36)
    assert Image.open(next((results / "images").iterdir())).size != (50, 36)
    measured = json.loads((results / "metrics.json").read_text())["measurements"]
    assert [m["output"] for m in measured] == ["fake_A", "source images (floor)"]
    assert measured[0]["count"] == 4 and measured[0]["value"] > 0
    assert measured[0]["protocol"]["flow"] == "OpenCV's DIS (medium) on the source images"
