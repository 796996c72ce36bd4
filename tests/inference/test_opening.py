"""Opening a trained run: which one, with which options, and what is said when it cannot be."""

import numpy as np
import pytest

from src.editing.__main__ import options_of
from src.inference.opening import open_model, stored_options
from src.models.parameters import state_arrays
from src.runs.checkpoints import CheckpointStore, Position
from src.systems.programs import EDIT, EVAL, TRAIN, read_command
from src.systems.registry import find_system
from src.utils.errors import UserError
from tests.saved_runs import save_run


def opened(program, *words):
    description, config = read_command(program, [*words, "--device_target=CPU", "--mode=pynative"])
    return open_model(config, description.load())


def test_a_wrong_name_lists_the_runs_there_are(tmp_path):
    """Before options of the run's system are refused as those of another."""
    save_run(tmp_path, "pix2pixHD")
    (tmp_path / "pix2pixHD").rename(tmp_path / "label2city")
    for number in range(12):
        folder = tmp_path / f"run{number:02d}"
        folder.mkdir()
        (folder / "1_net_G.safetensors").touch()
    (tmp_path / "notes").mkdir()
    words = [f"--save_ckpt_dir={tmp_path}", "--name=labl2city", "--sample_std=0.5"]
    with pytest.raises(UserError) as caught:
        read_command(EVAL, words)
    said = str(caught.value)
    assert "there is no run" in said and "; did you mean label2city?" in said
    assert "holds label2city, run00, run01," in said and "run08 and 3 others: check the name" in said
    assert "notes" not in said and len(said.splitlines()) == 1
    with pytest.raises(UserError, match="holds no run: check the name and the folder, or train it first"):
        read_command(EVAL, [f"--save_ckpt_dir={tmp_path / 'nowhere'}", "--name=city"])
    with pytest.raises(UserError, match="cannot read .*: File name too long|there is no run"):
        read_command(EVAL, [f"--save_ckpt_dir={tmp_path}", f"--name={'n' * 5000}"])


def test_what_needs_no_run_may_have_any_name(tmp_path):
    _, config = read_command(EVAL, ["--name=numbers", "--fake=results", "--metrics=fid"])
    assert config.name == "numbers"


def test_the_editor_takes_a_run_or_one_of_its_files(tmp_path):
    run = save_run(tmp_path, "cyclegan")
    for word, epoch in ((run, "latest"), (run / "1_net_G_AB.safetensors", "1")):
        description, config = read_command(EDIT, options_of([str(word), "--seed=3"]))
        assert (description.name, config.load_ckpt) == ("cyclegan", str(run))
        assert (config.which_epoch, config.seed) == (epoch, 3)
    with pytest.raises(UserError, match="there is no run .*cycelgan; did you mean cyclegan"):
        options_of([str(tmp_path / "cycelgan")])
    with pytest.raises(UserError, match="the first word is the run's folder, not --seed"):
        options_of(["--seed=3"])


def trained(folder, name, *words):
    """A run as training and conversion store it: with the options of ``train.py``, and what its preset kept."""
    description, config = read_command(TRAIN, [*words, "--device_target=CPU", "--mode=pynative"])
    networks = {n: state_arrays(cell) for n, cell in description.load()(config, training=False).networks.items()}
    CheckpointStore(folder / name).save(Position(1), networks, {}, config.to_dict(), description.name)
    return folder / name


def test_evaluation_options_of_the_preset_are_found(tmp_path):
    """What a preset says about evaluation holds for its runs; the command line decides."""
    small = ["--ngf=2", "--n_residual_blocks=0"]
    run = trained(tmp_path, "card", "--config_path=configs/cyclegan_sim2real_card.yaml", *small)
    for program in (EVAL, EDIT):
        config = opened(program, f"--load_ckpt={run}").config
        assert config.eval_size == "restored"
    assert opened(EVAL, f"--load_ckpt={run}").config.display == "minmax"
    model = opened(EVAL, f"--load_ckpt={run}", "--display=linear", "--eval_size=original")
    assert (model.config.display, model.config.eval_size) == ("linear", "original")


def test_commands_keep_their_own_options(tmp_path):
    """What a run was trained with says nothing about where results go, on which device and from which seed."""
    run = save_run(tmp_path, "fullglow", seed=7, how_many=3, predict_dir="theirs", n_samples=5, temp=0.25)
    config = opened(EVAL, f"--load_ckpt={run}").config
    assert (config.seed, config.how_many, config.predict_dir) == (0, 0, "results/predict/")
    assert (config.temp, config.data_root) == (0.25, str(tmp_path))


def test_todays_name_counts_before_another(tmp_path):
    system = find_system("cyclegan").load()
    stored = {"crop_width": 48, "width": 0, "loadSize": 30, "unheard_of": 1}
    assert stored_options(stored, system, "x") == {"crop_width": 48, "load_size": 30}
    assert stored_options({"direction": "photo2label"}, find_system("fullglow").load(), "x") == {
        "mapping": "photo2label"
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ngf": 10**12}, "the options stored in .*: ngf 1000000000000 is out of range"),
        ({"ngf": "many"}, "the options stored in .*: ngf many is not a whole number"),
        ({"n_blocks_global": [1] * 1000}, "the options stored in .*: n_blocks_global .* is not a whole number"),
        ({"norm": "layer"}, "the options stored in .*: norm layer is not one of instance, batch"),
        ({"ngf": 4096}, "not those of its arrays: ngf 4096 is more than any of their sizes and than their number .70."),
        ({"n_blocks_global": 200}, "not those of its arrays: n_blocks_global 200 is more than"),
        ({"model": "x" * 5000}, "is not one of pix2pixHD"),
        ({"model": ["pix2pixHD"]}, "is not one of pix2pixHD"),
        ({"model": None}, "does not say which system it is of"),
    ],
)
def test_stored_options_that_are_none(tmp_path, changes, message):
    description, config = read_command(TRAIN, ["--ngf=2", "--n_downsample_global=1", "--n_blocks_global=0"])
    networks = {"G": {"weight": np.zeros((70, 3), np.float32)}}
    options = config.to_dict() | changes
    CheckpointStore(tmp_path / "run").save(Position(1), networks, {}, options, description.name)
    with pytest.raises(UserError, match=message) as caught:
        opened(EVAL, f"--load_ckpt={tmp_path / 'run'}")
    assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 1000


def test_a_run_of_another_system(tmp_path):
    save_run(tmp_path, "cyclegan")
    with pytest.raises(UserError, match="is of cyclegan, not of pix2pixHD: leave --model and --config_path out"):
        opened(EVAL, f"--load_ckpt={tmp_path / 'cyclegan'}", "--model=pix2pixHD")


@pytest.mark.parametrize("words, name", [([], "card"), (["--name=mine"], "mine")])
def test_results_of_a_run_that_is_opened_by_its_folder_have_its_name(tmp_path, words, name):
    run = trained(tmp_path, "card", "--model=cyclegan", "--ngf=2", "--n_residual_blocks=0")
    assert opened(EVAL, f"--load_ckpt={run}", *words).config.name == name
