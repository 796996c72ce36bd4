"""Every pix2pixHD script in the order of a user on tiny data, and what bad input gets."""

import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

import eval as eval_command
import precompute_feature_maps as precompute_command
import train as train_command
from src.options.owner import ROOT
from src.systems.programs import load_config
from src.utils.errors import run_command
from tests.tiny_runs import TINY, make_streets, options_of

# the device comes from DEVICE_TARGET, as scripts are used
SCRIPT_OPTIONS = options_of(device_target=None, num_D=2)
COMMON = ["--mode=pynative", "--max_instances=64"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A user's folder: data where the scripts look for it; runs and results come to lie beside it."""
    folder = tmp_path_factory.mktemp("home")
    make_streets(folder / "datasets" / "cityscapes")
    return folder


def script(home, name, *options):
    """Run a script to its end; what it said."""
    settings = {"PYTHON": sys.executable, "DEVICE_TARGET": "CPU", "LOG_DIR": str(home / "logs" / name)}
    done = subprocess.run(
        ["bash", str(ROOT / "scripts" / name), *map(str, options)],
        cwd=home, env=os.environ | settings, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def arrays(home, run, network, tag="latest"):
    return load_file(home / "checkpoints" / run / f"{tag}_net_{network}.safetensors")


def results(home, run):
    """Names and sizes of the translated test pictures."""
    folder = home / "results" / "predict" / run / "test_1"
    assert (folder / "gallery" / "index.html").is_file()
    return {path.name: Image.open(path).size for path in sorted((folder / "images").iterdir())}


PICTURES = {f"scene_0000{k}_synthesized_image.png": (64, 32) for k in range(2)}


@pytest.fixture(scope="module")
def labels_512p(home):
    return script(home, "train_512p.sh", *SCRIPT_OPTIONS)


@pytest.fixture(scope="module")
def features_512p(home):
    return script(home, "train_512p_feat.sh", *SCRIPT_OPTIONS)


@pytest.fixture(scope="module")
def precomputed(home, features_512p):
    return script(home, "precompute_feature_maps.sh", *COMMON)


@pytest.fixture(scope="module")
def labels_1024p(home, labels_512p):
    return script(home, "train_1024p.sh", *local_options(niter=2, niter_fix_global=1))


@pytest.fixture(scope="module")
def features_1024p(home, features_512p):
    return script(home, "train_1024p_feat.sh", *local_options())


def local_options(**changes):
    # half the filters around a generator of the 512p run's width
    return options_of(**({"device_target": None, "ngf": 2, "num_D": 3, "load_size": None} | changes))


def test_train_512p(home, labels_512p):
    assert "device CPU (as requested), pynative mode" in labels_512p
    assert {p.name for p in (home / "checkpoints/label2city_512p").glob("1_*")} == {
        "1_net_G.safetensors", "1_net_D.safetensors", "1_state.safetensors",
    }  # fmt: skip
    assert arrays(home, "label2city_512p", "G")["model.1.weight"].shape == (4, 36, 7, 7)


def test_eval_512p(home, labels_512p):
    said = script(home, "eval_512p.sh", *COMMON)
    assert "checkpoint 1 of checkpoints/label2city_512p, 2 of 2 samples of test" in said
    assert results(home, "label2city_512p") == PICTURES


def test_train_512p_feat(home, features_512p):
    assert arrays(home, "label2city_512p_feat", "G")["model.1.weight"].shape == (4, 39, 7, 7)
    assert "model.1.weight" in arrays(home, "label2city_512p_feat", "E")


def test_precompute_feature_maps(home, precomputed):
    run, maps = home / "checkpoints/label2city_512p_feat", home / "datasets/cityscapes/train_feat"
    assert "feature maps in datasets/cityscapes/train_feat" in precomputed
    features = np.load(run / "features.npy", allow_pickle=False)
    clusters = np.load(run / "features_clustered_010.npy", allow_pickle=False)
    assert features.shape[1] == 5 and clusters.shape[1] == 4 and len(clusters) > 0
    assert set(clusters[:, 0]) <= set(features[:, 0]) and np.abs(features[:, 1:4]).max() <= 1.001
    written = sorted(path.name for path in maps.glob("*.png"))
    assert written == [f"scene_0000{k}.png" for k in range(4)]
    for name in written:
        colours = np.array(Image.open(maps / name)).reshape(-1, 3)
        ids = np.array(Image.open(home / "datasets/cityscapes/train_inst" / name)).reshape(-1)
        assert len(np.unique(ids)) > 3
        # one colour an instance
        assert all(len(np.unique(colours[ids == i], axis=0)) == 1 for i in np.unique(ids))


def test_eval_512p_feat(home, features_512p):
    said = script(home, "eval_512p_feat.sh", *COMMON)
    assert "clusters of" in said and "feature maps in" not in said
    assert results(home, "label2city_512p_feat") == PICTURES


def test_another_seed_draws_other_styles_from_the_same_clusters(home, features_512p):
    script(home, "eval_512p_feat.sh", *COMMON)
    run = home / "checkpoints/label2city_512p_feat"
    made = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.glob("features*")}
    images = home / "results" / "predict" / "label2city_512p_feat" / "test_1" / "images"
    before = {path.name: path.read_bytes() for path in images.iterdir()}
    said = script(home, "eval_512p_feat.sh", *COMMON, "--seed=7", "--n_clusters=10")
    assert "are up to date" in said and "encoding" not in said
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.glob("features*")} == made
    assert any(path.read_bytes() != before[path.name] for path in images.iterdir())


def test_train_1024p(home, labels_1024p):
    assert "pretrained checkpoints/label2city_512p: network G, 14 parameters loaded" in labels_1024p
    assert "epoch 2: now training G, D" in labels_1024p
    given = arrays(home, "label2city_512p", "G")
    first, last = (arrays(home, "label2city_1024p", "G", tag) for tag in ("1", "2"))
    inner = [name for name in first if name.startswith("model.")]
    assert len(inner) == 14 and all((first[name] == given[name]).all() for name in inner)
    # norms cancel the biases in front of them
    assert all((last[name] != first[name]).any() for name in first if name.endswith(".weight"))


def test_eval_1024p(home, labels_1024p):
    said = script(home, "eval_1024p.sh", *COMMON, "--which_epoch=1")
    assert "checkpoint 1 of checkpoints/label2city_1024p" in said
    assert results(home, "label2city_1024p") == PICTURES


def test_train_1024p_feat(home, features_1024p):
    assert "feature maps in datasets/cityscapes/train_feat" in features_1024p
    assert "pretrained checkpoints/label2city_512p_feat: network G, 14 parameters loaded" in features_1024p
    assert "copied features_clustered_010.npy" in features_1024p
    run = home / "checkpoints/label2city_1024p_feat"
    # the encoder that made the features stays with the run, as it was
    given, kept = (arrays(home, name, "E") for name in ("label2city_512p_feat", "label2city_1024p_feat"))
    assert given.keys() == kept.keys() and all((given[name] == kept[name]).all() for name in given)
    resolved = load_config(["--config_path", str(run / "config.yaml")])
    assert resolved.load_features and resolved.encode_load_size == TINY["load_size"]


def test_a_resumed_run_keeps_the_features_and_records_it_began_with(home, features_1024p):
    """Even if the encoder's run was trained on: nothing is encoded again, and no record is built."""
    data, mark = home / "datasets/cityscapes", home / "datasets/cityscapes/train_feat/precomputed.json"
    mark.write_text(mark.read_text().replace("made_from", "was_made_from"))
    files = [*data.glob("train_feat/*"), *data.glob(".mindi2i_records/*.json")]
    before = {path: path.stat().st_mtime_ns for path in files}
    said = script(home, "train_1024p_feat.sh", *local_options(), "--continue_train")
    assert "continuing checkpoints/label2city_1024p_feat" in said
    assert "encoding" not in said and "building them" not in said
    assert {path: path.stat().st_mtime_ns for path in files} == before


@pytest.mark.parametrize("options", [[], ["--use_encoded_image=True"]])
def test_eval_1024p_feat(home, features_1024p, options):
    shutil.rmtree(home / "results" / "predict" / "label2city_1024p_feat", ignore_errors=True)
    script(home, "eval_1024p_feat.sh", *COMMON, *options)
    assert results(home, "label2city_1024p_feat") == PICTURES


def test_distribute_train_512p_in_its_older_form(home):
    said = script(home, "distribute_train_512p.sh", 2, "True", "datasets/cityscapes", *SCRIPT_OPTIONS, "--name=d512p")
    assert "pynative mode, 2 workers" in said and "4 samples, 2 steps an epoch" in said
    assert "model.1.weight" in arrays(home, "d512p", "G")


def test_distribute_train_512p_feat(home):
    said = script(home, "distribute_train_512p_feat.sh", 2, "datasets/cityscapes", *SCRIPT_OPTIONS, "--name=d512p_feat")
    assert "2 workers" in said and "model.1.weight" in arrays(home, "d512p_feat", "E")


def test_distribute_train_1024p(home, labels_512p):
    said = script(home, "distribute_train_1024p.sh", 2, *local_options(), "--name=d1024p")
    assert "2 workers" in said and "model1_1.1.weight" in arrays(home, "d1024p", "G")


def test_distribute_train_1024p_feat(home, features_512p):
    pretrained = "--load_pretrain=checkpoints/label2city_512p_feat"
    words = ["datasets/cityscapes", *local_options(), "--name=d1024p_feat", pretrained]
    said = script(home, "distribute_train_1024p_feat.sh", 2, *words)
    assert "feature maps in datasets/cityscapes/train_feat" in said and "2 workers" in said
    assert {"latest_net_E.safetensors", "features_clustered_010.npy"} <= {
        path.name for path in (home / "checkpoints/d1024p_feat").iterdir()
    }


def test_one_worker_by_the_older_form(home):
    options = [*SCRIPT_OPTIONS, "--name=alone", "--dry_run"]
    said = script(home, "distribute_train_512p.sh", 2, "False", "datasets/cityscapes", *options)
    assert "dry run: everything is in place" in said and "workers" not in said


# -- bad input ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good_data(tmp_path_factory):
    return make_streets(tmp_path_factory.mktemp("good"), train=2, test=1)


@pytest.fixture
def data(good_data, tmp_path):
    """A copy to spoil."""
    shutil.copytree(good_data, tmp_path / "data", ignore=shutil.ignore_patterns(".*"))
    return tmp_path / "data"


def contents(folder):
    """Everything a user has there; hidden files are the program's own."""
    hidden = lambda path: any(part.startswith(".") for part in path.relative_to(folder).parts)  # noqa: E731
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and not hidden(p)}


def refused(capfd, command, data, *options, **changes):
    """Run a command that must end with status 2 and change nothing of the data; what it says."""
    before = contents(data)
    capfd.readouterr()
    with pytest.raises(SystemExit) as stopped:
        run_command(command.main, [*options_of(data_root=data, **changes), *options])
    said = capfd.readouterr().err
    assert stopped.value.code == 2 and "error: " in said and "Traceback" not in said
    assert contents(data) == before
    assert not list(Path("checkpoints").rglob("*.safetensors")) and not Path("results").exists()
    return said[said.index("error: ") :]


def paint(path, value):
    ids = np.array(Image.open(path))
    ids[0, 0] = value
    Image.fromarray(ids).save(path)


@pytest.mark.parametrize("value", [35, 255])
@pytest.mark.parametrize("phase", ["train", "test"])
def test_labels_beyond_label_nc(data, capfd, value, phase):
    paint(data / f"{phase}_label" / "scene_00000.png", value)
    command = train_command
    if phase == "test":
        # a run to evaluate, trained on data without that label
        command = eval_command
        run_command_quietly(train_command, data)
    said = refused_keeping_run(capfd, command, data) if phase == "test" else refused(capfd, command, data)
    assert f"label {value}" in said and f"{phase}_label/scene_00000.png" in said
    assert "label_nc 35" in said and f"--label_nc {value + 1}" in said


def run_command_quietly(command, data, **changes):
    with pytest.raises(SystemExit) as ended:
        run_command(command.main, options_of(data_root=data, **changes))
    assert ended.value.code == 0


def refused_keeping_run(capfd, command, data, *options):
    """As :func:`refused`, where a run exists that has to stay as it is."""
    before = contents(data) | contents(Path("checkpoints"))
    capfd.readouterr()
    kept = ("--data_root", "--device_target", "--mode", "--max_instances")
    words = [word for word in options_of(data_root=data) if word.startswith(kept)]
    with pytest.raises(SystemExit) as stopped:
        run_command(command.main, [*words, *options])
    said = capfd.readouterr().err
    assert stopped.value.code == 2 and "error: " in said and "Traceback" not in said
    assert contents(data) | contents(Path("checkpoints")) == before
    return said[said.index("error: ") :]


def test_a_missing_partner(data, capfd):
    (data / "train_inst" / "scene_00001.png").unlink()
    said = refused(capfd, train_command, data)
    assert "the files do not pair by name" in said and "train_inst lacks 1 (scene_00001)" in said
    assert "Add the missing files or remove their partners" in said


def test_a_differently_named_partner(data, capfd):
    (data / "train_img" / "scene_00001.png").rename(data / "train_img" / "photo_1.png")
    said = refused(capfd, train_command, data)
    assert "photo_1" in said and "scene_00001" in said and "train_img lacks 1" in said


@pytest.mark.parametrize("column", ["label", "inst", "img"])
@pytest.mark.parametrize("kept, word", [(0, "empty (0 bytes)"), (0.6, "damaged or truncated")])
def test_truncated_and_empty_pictures(data, capfd, column, kept, word):
    path = data / f"train_{column}" / "scene_00001.png"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    said = refused(capfd, train_command, data)
    assert str(path) in said and word in said and "copy it again or remove it" in said


def test_instance_maps_of_8_bits(data, capfd):
    path = data / "train_inst" / "scene_00000.png"
    Image.fromarray(np.zeros((32, 64), np.uint8)).save(path)
    said = refused(capfd, train_command, data)
    assert f"instance map {path} has 8 bits" in said
    assert "--no_instance True" in said and "--allow_8bit_instances True" in said


def test_a_size_that_the_network_does_not_divide(data, capfd):
    said = refused(capfd, train_command, data, load_size=70)
    assert "70x35" in said and "stride 4" in said and "--load_size" in said


def test_a_folder_that_is_not_there(data, capfd, tmp_path):
    said = refused(capfd, train_command, data, "--data_root=nowhere")
    assert "data_root nowhere does not exist: pass --data_root" in said
    shutil.rmtree(data / "train_inst")
    said = refused(capfd, train_command, data)
    assert f"folder {data}/train_inst does not exist: pass --no_instance True" in said


def test_an_unknown_option(data, capfd):
    assert "unknown option --lable_nc; did you mean label_nc?" in refused(capfd, train_command, data, "--lable_nc", "3")


def test_vgg_weights_that_are_not_there(data, capfd):
    said = refused(capfd, train_command, data, no_vgg_loss=False)
    assert "the VGG19 weights ./vgg19.safetensors do not exist" in said
    assert "Download torchvision's vgg19-dcbb9e9d.pth" in said and "--no_vgg_loss True" in said


class Runs:
    """A pickle that would do something when it is read."""

    def __reduce__(self):
        return os.system, ("touch it_ran",)


def test_vgg_weights_that_run_something(data, capfd):
    Path("evil.pth").write_bytes(pickle.dumps({"features.0.weight": Runs()}))
    said = refused(capfd, train_command, data, no_vgg_loss=False, vgg_pre_trained="evil.pth")
    assert "evil.pth" in said and not Path("it_ran").exists()


def test_vgg_weights_of_something_else(data, capfd):
    save_file({"features.0.weight": np.zeros((2, 2), np.float32)}, "other.safetensors")
    said = refused(capfd, train_command, data, no_vgg_loss=False, vgg_pre_trained="other.safetensors")
    assert "other.safetensors holds no VGG19 of torchvision" in said and "--no_vgg_loss True" in said


def test_runs_stay_what_they_are(data, capfd):
    """The folder of another run, options that contradict it, an encoder it has not, feature maps of another origin."""
    run_command_quietly(train_command, data)
    folder = Path("checkpoints") / "label2city"
    said = refused_keeping_run(capfd, train_command, data, "--no_vgg_loss")
    assert "label2city already holds a run" in said and "--continue_train True" in said and "--name" in said
    said = refused_keeping_run(capfd, eval_command, data, "--netG", "local")
    assert "--netG local contradicts" in said and "trained with netG global" in said and "leave the option out" in said
    said = refused_keeping_run(capfd, eval_command, data, "--name", "nobody")
    assert "nobody" in said
    said = refused_keeping_run(capfd, precompute_command, data)
    assert f"{folder} has no trained encoder: train it first" in said
    assert not (data / "train_feat").exists() and not list(folder.glob("*.npy"))

    run_command_quietly(train_command, data, name="feat", instance_feat=True)
    (data / "train_feat").mkdir()
    Image.fromarray(np.zeros((32, 64, 3), np.uint8)).save(data / "train_feat" / "scene_00000.png")
    said = refused_keeping_run(capfd, precompute_command, data, "--name", "feat")
    assert "train_feat holds files that were not made here: move them away, nothing was overwritten" in said
    # sampling needs clusters, which nobody made
    said = refused_keeping_run(capfd, eval_command, data, "--name", "feat")
    assert "feat/features_clustered_010.npy, and there is no such file: make it with precompute_feature_maps.py" in said


def test_rgb_to_rgb_trains_and_never_precomputes(data, capfd):
    for phase in ("train", "test"):
        (data / f"{phase}_label").rename(data / f"{phase}_A")
        shutil.rmtree(data / f"{phase}_inst")
        shutil.copytree(data / f"{phase}_img", data / f"{phase}_B")
        shutil.rmtree(data / f"{phase}_A")
        (data / f"{phase}_img").rename(data / f"{phase}_A")
    run_command_quietly(train_command, data, label_nc=0, no_instance=True)
    said = refused_keeping_run(capfd, precompute_command, data)
    assert "has no trained encoder" in said
    words = [f"--data_root={data}", "--device_target=CPU", "--mode=pynative"]
    with pytest.raises(SystemExit) as ended:
        run_command(eval_command.main, words)
    assert ended.value.code == 0
    assert [p.name for p in Path("results").rglob("images/*synthesized*")] == ["scene_00000_synthesized_image.png"]


def test_a_report_of_the_data_instead_of_training(data, capfd):
    paint(data / "train_label" / "scene_00000.png", 200)
    (data / "train_img" / "scene_00001.png").write_bytes(b"")
    with pytest.raises(SystemExit) as ended:
        run_command(train_command.main, [*options_of(data_root=data), "--check_data"])
    said = capfd.readouterr()
    assert ended.value.code == 1
    assert "200" in said.out + said.err and "scene_00001" in said.out + said.err
    assert not Path("checkpoints").exists()


def test_json_of_precomputed_maps_names_their_origin(home, precomputed):
    mark = json.loads((home / "datasets/cityscapes/train_feat/precomputed.json").read_text())
    assert mark.items() >= {"run": "checkpoints/label2city_512p_feat", "checkpoint": "1", "feat_num": 3}.items()


# -- before workers start ----------------------------------------------------------------------------------------


def not_started(home, *options, **settings):
    """What a distributed start said that was refused, and how long it took."""
    began = time.monotonic()
    done = subprocess.run(
        ["bash", str(ROOT / "scripts" / "distribute_train_512p.sh"), "2", *options],
        cwd=home, env=os.environ | {"PYTHON": sys.executable, "LOG_DIR": str(home / "refused")} | settings,
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert not (home / "refused").exists()
    return done.stderr, time.monotonic() - began


def test_a_taken_port_is_said_at_once(home):
    with socket.socket() as held:
        held.bind(("", 0))
        held.listen()
        said, seconds = not_started(home, DEVICE_TARGET="CPU", MASTER_PORT=str(held.getsockname()[1]))
    assert said.startswith("error: port ") and "is in use on this host: set MASTER_PORT" in said and seconds < 20


def test_more_workers_than_devices_are_said_at_once(home):
    said, seconds = not_started(home, DEVICE_TARGET="Ascend")
    assert "2 workers need 2 Ascend devices, this host has" in said and seconds < 20


@pytest.mark.parametrize(
    "options, message",
    [
        (["nowhere"], "data_root nowhere does not exist"),
        (["--no_vgg_loss", "False"], "the VGG19 weights ./vgg19.safetensors do not exist"),
        (["--load_pretrain", "nowhere"], "there is no run nowhere"),
    ],
)
def test_what_is_missing_is_said_once_before_workers_start(home, options, message):
    # the later of two equal options counts, and the folder of data comes first
    said, seconds = not_started(home, *([] if options[0].startswith("--") else options), *SCRIPT_OPTIONS,
                            *(options if options[0].startswith("--") else []), DEVICE_TARGET="CPU")  # fmt: skip
    assert said.count(message) == 1 and "Traceback" not in said and seconds < 30
