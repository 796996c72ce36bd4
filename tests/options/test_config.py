"""Options: layers, checks, the published names and defaults, and the dump that reads back."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from src.options.command_line import parse_words
from src.options.files import read_documents
from src.options.owner import ROOT
from src.systems import programs
from src.systems.programs import ANY, EVAL, EXPORT, TRAIN, everyone, load_config, read_command, schema_of
from src.systems.registry import describe, descriptions
from src.utils.errors import UserError

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
ALIASES = schema_of(ANY, describe("pix2pixHD")).other_names

# Every option of the published implementation and of the predecessor's default file, under our name, with the default
# they have there; a third entry is our default where it differs, with the reason beside it.
PUBLISHED = {
    "name": ("label2city",),
    "checkpoints_dir": ("./checkpoints",),
    "save_ckpt_dir": ("./checkpoints",),
    "model": ("pix2pixHD",),
    "norm": ("instance",),
    "batchSize": (1,),
    "batch_size": (1,),
    "loadSize": (1024,),
    "load_size": (1024,),
    "fineSize": (512,),
    "fine_size": (512,),
    "label_nc": (35,),
    "input_nc": (3,),
    "output_nc": (3,),
    "dataroot": ("./datasets/cityscapes",),
    "data_root": ("./datasets/cityscapes",),
    "resize_or_crop": ("scale_width",),
    "serial_batches": (False,),
    "no_flip": (False,),
    "nThreads": (2,),
    # infinity has no whole number
    "max_dataset_size": (float("inf"), 0),
    "display_winsize": (512,),
    "tf_log": (False,),
    "netG": ("global",),
    "ngf": (64,),
    "n_downsample_global": (4,),
    "n_blocks_global": (9,),
    "n_blocks_local": (3,),
    "n_local_enhancers": (1,),
    "niter_fix_global": (0,),
    "no_instance": (False,),
    "instance_feat": (False,),
    "label_feat": (False,),
    "load_features": (False,),
    "feat_num": (3,),
    "n_downsample_E": (4,),
    "nef": (16,),
    "n_clusters": (10,),
    "display_freq": (100,),
    "print_freq": (100,),
    "save_latest_freq": (1000,),
    "save_epoch_freq": (10,),
    "no_html": (False,),
    "debug": (False,),
    "continue_train": (False,),
    "load_pretrain": ("",),
    "which_epoch": ("latest",),
    "phase": ("train",),
    "niter": (100,),
    "niter_decay": (100,),
    "beta1": (0.5,),
    "beta2": (0.999,),
    "lr": (0.0002,),
    "num_D": (2,),
    "n_layers_D": (3,),
    "ndf": (64,),
    "lambda_feat": (10.0,),
    "no_ganFeat_loss": (False,),
    "no_vgg_loss": (False,),
    "no_lsgan": (False,),
    "pool_size": (0,),
    # the name of the run is added, as the predecessor does
    "results_dir": ("./results/", "results/predict/"),
    "predict_dir": ("results/predict/",),
    "how_many": (50,),
    "cluster_path": ("features_clustered_010.npy",),
    "use_encoded_image": (False,),
    # the first device that works, instead of one kind
    "device_target": ("Ascend", "auto"),
    # both leave the choice to DEVICE_ID, whose default is 0
    "gpu_ids": (0, ""),
    "device_id": (0, -1),
    "run_distribute": (False,),
    "loss_scale": (1,),
    # weights that can be read without running anything
    "vgg_pre_trained": ("./vgg19.ckpt", "./vgg19.safetensors"),
    "init_type": ("normal",),
    "init_gain": (0.02,),
    "load_ckpt": ("",),
}
GONE = (
    "pad_mode", "device_num", "use_dropout", "ntest", "aspect_ratio", "fp16", "data_type", "local_rank", "verbose",
    "engine", "onnx", "export_onnx",
)  # fmt: skip


def overlay(folder: Path, text: str, name: str = "mine.yaml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_published_options_keep_name_and_default():
    config = load_config([])
    assert {name: getattr(config, ALIASES.get(name, name)) for name in PUBLISHED} == {
        name: defaults[-1] for name, defaults in PUBLISHED.items()
    }


def test_published_options_are_understood_on_the_command_line():
    default = load_config([]).to_dict()
    argv = [f"--{name}={default[ALIASES.get(name, name)]}" for name in PUBLISHED]
    config = load_config(argv)
    assert config.to_dict() == default
    assert config.explicit == {ALIASES.get(name, name) for name in PUBLISHED}


@pytest.mark.parametrize("name", GONE)
def test_options_that_are_gone_say_what_to_do_instead(name):
    with pytest.raises(UserError, match=rf"unknown option --{name} \(no longer there: \w+"):
        load_config([f"--{name}", "1"])


def test_the_published_choices_stay():
    for netG in ("global", "local"):
        assert load_config(["--netG", netG]).netG == netG
    for mode in ("scale_width", "scale_width_and_crop", "resize_and_crop", "crop", "none"):
        assert load_config(["--resize_or_crop", mode]).resize_or_crop == mode
    for kind in ("normal", "xavier", "constant"):
        assert load_config(["--init_type", kind]).init_type == kind


@pytest.mark.parametrize("owner", everyone(), ids=lambda owner: owner.path.relative_to(ROOT).as_posix())
def test_an_owner_gives_every_option_help_once_and_limits_only_what_it_has(owner):
    values, help_, choices, other_names, gone = read_documents(owner.path)
    described = {name for description in descriptions() for name in schema_of(ANY, description).options}
    assert {*values, *help_, *choices, *other_names.values()} <= described
    # what is gone from one program or system may be an option of another
    for program in (TRAIN, EVAL, EXPORT, programs.PRECOMPUTE, programs.CONVERT, programs.EDIT):
        for schema in (schema_of(program, description) for description in descriptions()):
            if owner in schema.owners:
                assert not gone.keys() & {*schema.options, *schema.other_names}


@pytest.mark.parametrize(
    "argv, key, value",
    [
        (["--niter", "7"], "niter", 7),
        (["--niter=7"], "niter", 7),
        (["--niter", "1e2"], "niter", 100),
        (["--niter", "010"], "niter", 10),
        (["--lr", "1e-4"], "lr", 1e-4),
        (["--lr", "1"], "lr", 1.0),
        (["--device_id", "-1"], "device_id", -1),
        (["--no_flip"], "no_flip", True),
        (["--no_flip", "True"], "no_flip", True),
        (["--no_flip", "true"], "no_flip", True),
        (["--no_flip", "1"], "no_flip", True),
        (["--no_flip", "False", "--lr", "1"], "no_flip", False),
        (["--no_flip", "--lr", "1"], "no_flip", True),
        (["--name", "007"], "name", "007"),
        (["--name", "null"], "name", "null"),
        (["--name", "a b=c: d"], "name", "a b=c: d"),
        (["--load_pretrain", ""], "load_pretrain", ""),
        (["--load_pretrain="], "load_pretrain", ""),
        (["--which_epoch", "12"], "which_epoch", "12"),
        (["--batchSize", "2"], "batch_size", 2),
        (["--niter", "3", "--niter", "4"], "niter", 4),
    ],
)
def test_the_command_line(argv, key, value):
    config = load_config(argv)
    assert getattr(config, key) == value and type(getattr(config, key)) is type(value)
    assert key in config.explicit


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--nitre", "3"], r"unknown option --nitre; did you mean niter\?"),
        (["--label_cn", "3"], r"unknown option --label_cn; did you mean label_nc\?"),
        (["--zzz", "3"], r"unknown option --zzz$"),
        (["niter", "3"], r"unexpected word niter .* --key value"),
        (["--niter", "3", "4"], r"niter 3 4 is not a whole number"),
        (["-niter", "3"], r"unexpected word -niter "),
        (["--"], r"unexpected word -- "),
        (["--niter"], r"--niter has no value"),
        (["--niter", "three"], r"niter three is not a whole number"),
        (["--niter", "1.5"], r"niter 1.5 is not a whole number"),
        (["--niter", "-1"], r"niter -1 is out of range: it must be at least 0"),
        (["--niter", "1:30"], r"niter 1:30 is not a whole number"),
        (["--niter", "inf"], r"niter inf is not a whole number"),
        (["--niter", "nan"], r"niter nan is not a whole number"),
        (["--label_nc", "True"], r"label_nc True is not a whole number"),
        (["--output_nc", "5"], r"output_nc 5 is out of range: it must be in 1\.\.4"),
        (["--lr", "nan"], r"lr nan is not a finite number"),
        (["--lr", "inf"], r"lr inf is not a finite number"),
        (["--lr", "-1"], r"lr -1.0 is out of range: it must be at least 0"),
        (["--lr", "fast"], r"lr fast is not a number"),
        (["--lr", ""], r"lr  is not a number"),
        (["--no_flip", "maybe"], r"no_flip maybe is not True or False"),
        (["--netG", "locl"], r"netG locl is not one of global, local, light; did you mean local\?"),
        (["--name"], r"--name has no value"),
        (["--load_pretrain", "--lr", "1"], r"--load_pretrain has no value"),
        (["--gpu_ids", "0,1"], r"gpu_ids 0,1 names 2 devices: .*distribute_train_\*.sh 2"),
        (["--gpu_ids", "first"], r"gpu_ids first is not a number"),
    ],
)
def test_mistakes_on_the_command_line_are_named(argv, message):
    with pytest.raises(UserError, match=message):
        load_config(argv)


def test_layers_from_default_to_base_to_overlay_to_command_line(tmp_path):
    overlay(tmp_path, "ngf: 8\nndf: 8\nnef: 8\nbatchSize: 3\n", "under.yaml")
    top = overlay(tmp_path, "base: under.yaml\nndf: 9\nnef: 9\n")
    config = load_config(["--config_path", top, "--nef", "10"])
    assert (config.niter, config.ngf, config.ndf, config.nef, config.batch_size) == (100, 8, 9, 10, 3)
    assert config.explicit == {"nef"}
    assert load_config(["--nef", "10"], top).to_dict() == config.to_dict()


def test_a_relative_overlay_is_found_in_the_working_folder_and_in_the_project(tmp_path):
    overlay(tmp_path, "ngf: 8\n", "here.yaml")
    assert load_config(["--config_path", "here.yaml"]).ngf == 8
    assert load_config(["--config_path", "configs/pix2pixhd_1024p.yaml"]).netG == "local"


@pytest.mark.parametrize(
    "text, message",
    [
        ("speed: 3\n", r"mine.yaml: unknown option speed"),
        ("nitre: 3\n", r"mine.yaml: unknown option nitre; did you mean niter\?"),
        ("fp16: True\n", r"unknown option fp16 \(no longer there: use --precision fp16"),
        ("niter: many\n", r"mine.yaml: niter many is not a whole number"),
        ("niter: [1]\n", r"niter \[1\] is not a whole number"),
        ("niter: true\n", r"niter True is not a whole number"),
        ("lr: .nan\n", r"lr nan is not a finite number"),
        ("niter: null\n", r"niter None is not a whole number"),
        ("name: {a: 1}\n", r"name \{'a': 1\} is not a string"),
        ("no_flip: 2\n", r"no_flip 2 is not True or False"),
        ("speed: 9\n---\nspeed: of it\n---\nspeed: {max: 5}\n", r"unknown option speed"),
        ("base: nowhere.yaml\n", r"nowhere.yaml does not exist; .* holds mine.yaml"),
        ("base: mine.yaml\n", r"mine.yaml is its own base"),
        ("- a\n- b\n", r"each document must map option names to values"),
        ("3: 4\n", r"each document must map option names to values"),
        ('netG: "\\e[2J"\n', r"netG \\x1b\[2J is not one of"),
        ("niter: [\n", r"cannot read configuration"),
        ("ngf: 4\nnef: 3\nngf: 8\n", r"cannot read configuration .*mine.yaml: ngf is given twice in line 3$"),
        (f"ngf: {'9' * 6000}\n", r"cannot read configuration .*mine.yaml: [^;]*digits$"),
    ],
)
def test_mistakes_in_a_file_are_named(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        load_config(["--config_path", overlay(tmp_path, text)])


def test_a_missing_file_names_those_that_exist():
    with pytest.raises(UserError, match=r"nowhere.yaml does not exist; .*pix2pixhd_512p.yaml"):
        load_config(["--config_path", "configs/nowhere.yaml"])


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    with pytest.raises(UserError, match=r"cannot read configuration .*binary.yaml"):
        load_config(["--config_path", str(tmp_path / "binary.yaml")])


def test_yaml_cannot_build_objects(tmp_path):
    path = overlay(tmp_path, "name: !!python/object/apply:os.system ['touch broken']\n")
    with pytest.raises(UserError, match="cannot read configuration"):
        load_config(["--config_path", path])
    assert not (tmp_path / "broken").exists()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_overlay_loads_and_its_resolved_dump_reads_back(path, tmp_path):
    config = load_config(["--config_path", str(path), "--seed", "5"])
    again = load_config(["--config_path", overlay(tmp_path, config.dump())])
    assert again.to_dict() == config.to_dict()
    assert again.seed == 5 and not again.explicit
    # and the checks of the overlay still hold
    assert load_config(["--config_path", overlay(tmp_path, again.dump())]).to_dict() == config.to_dict()
    with pytest.raises(UserError, match="mode sideways is not one of"):
        load_config(["--config_path", str(tmp_path / "mine.yaml"), "--mode", "sideways"])


def test_a_configuration_is_immutable_and_copies_know_their_keys():
    config = load_config(["--niter", "3"])
    with pytest.raises(AttributeError, match="immutable"):
        config.niter = 4
    assert config.replace(niter=4).niter == 4 and config.niter == 3
    with pytest.raises(AttributeError, match=r"no option nitre; did you mean niter\?"):
        config.replace(nitre=4)
    with pytest.raises(AttributeError, match=r"no option nitre; did you mean niter\?"):
        _ = config.nitre
    assert "niter" in config and "nitre" not in config
    copy = pickle.loads(pickle.dumps(config))
    assert copy.to_dict() == config.to_dict() and copy.explicit == {"niter"}
    values = config.to_dict()
    values["niter"] = 9
    assert config.niter == 3


def test_splitting_the_command_line():
    words = ["--a", "1", "--b", "--c=2=3", "--dataroot", "x", "--d", "-4", "--e", "5", "6"]
    assert parse_words(words) == {"a": "1", "b": "True", "c": "2=3", "dataroot": "x", "d": "-4", "e": "5 6"}


def help_of(program, argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        read_command(program, [*argv, "--help"])
    assert stopped.value.code == 0
    return capsys.readouterr().out


def test_help_lists_the_options_of_this_system_and_program_by_owner(capsys):
    text = help_of(TRAIN, ["--config_path", "configs/pix2pixhd_1024p.yaml"], capsys)
    assert text.startswith("usage: python train.py ") and text.count("\n  python train.py ") == 2
    schema = schema_of(TRAIN, describe("pix2pixHD"))
    assert all(f"--{name} " in text for name in schema.options)
    assert all(f"{other} = {name}" in " ".join(text.split()) for other, name in schema.other_names.items())
    assert "--netG 'global' [global, local, light]" in text
    assert text.index("\nevery run:\n") < text.index("\ntrain.py:\n") < text.index("\npix2pixHD:\n")
    assert not {"--metrics", "--how_many", "--n_flow", "--lambda_cyc", "--file_format"} & set(text.split())
    text = help_of(EVAL, ["--model", "HFLOW"], capsys)
    assert {"--metrics", "--sample_std", "--how_many"} <= set(text.split())
    assert not {"--niter", "--netG", "--lr", "--file_format"} & set(text.split())


@pytest.mark.parametrize("words, status", [(["--help"], 0), (["--nitre=3"], 2), (["--model=gan"], 2)])
def test_questions_and_wrong_words_are_answered_without_mindspore(words, status):
    """Which takes seconds to import."""
    blocked = f"import sys, runpy; sys.modules['mindspore'] = None; sys.argv[1:] = {words}"
    program = f"{blocked}; runpy.run_path('train.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == status and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    "program, argv, message",
    [
        (TRAIN, ["--model", "hflow", "--netG", "local"], "--netG is an option of pix2pixHD, and this is hflow"),
        (TRAIN, ["--lambda_id", "1"], "--lambda_id is an option of CycleGAN, and this is pix2pixHD"),
        (TRAIN, ["--metrics", "fid"], "--metrics is an option of metrics, and this is"),
        (EVAL, ["--lr", "1"], "--lr is an option of train.py, and this is"),
        (EXPORT, ["--how_many", "1"], "--how_many is an option of eval.py, and this is"),
        (
            TRAIN,
            ["--model", "cyclegan", "--n_flow", "8"],
            "--n_flow is an option of conditional flows, and",
        ),
    ],
)
def test_an_option_of_another_owner_is_refused_by_its_name(program, argv, message):
    with pytest.raises(UserError, match=message):
        read_command(program, argv)


@pytest.mark.parametrize(
    "name, model, changes",
    [
        ("PIX2PIXHD", "pix2pixHD", {}),
        ("Hflow", "hflow", {"lr": 0.005, "batch_size": 4}),
        ("improved_so_large_longer", "fullglow", {"use_bmaps": False}),
        ("improved_1_bmaps_ceil", "fullglow", {"use_bmaps": True, "do_ceil": True}),
        ("c_glow_v2", "cglow", {"n_block": 3, "n_flow": [8, 8, 8]}),
    ],
)
def test_a_name_alone_loads_the_defaults_of_its_system(name, model, changes):
    config = load_config(["--model", name])
    assert config.model == model
    assert {key: config[key] for key in changes} == changes


def test_an_unknown_system_names_those_there_are():
    with pytest.raises(UserError, match=r"model piks2piksHD is not one of pix2pixHD, .*; did you mean pix2pixHD\?"):
        load_config(["--model", "piks2piksHD"])


def test_lists_are_understood_as_words():
    config = load_config(["--model", "fullglow", "--img_size", "512", "1024", "--n_flow", "8", "8", "8", "8"])
    assert config.img_size == [512, 1024] and config.n_flow == [8, 8, 8, 8]


def test_a_part_holds_the_options_of_its_owners_alone():
    config = load_config(["--model", "cyclegan"])
    part = config.part(*describe("cyclegan").options[:3])
    assert part.load_size == 286 and part.data_root == config.data_root
    with pytest.raises(AttributeError, match="no option lambda_cyc"):
        _ = part.lambda_cyc


def test_a_preset_may_set_options_of_the_other_programs_of_its_system(tmp_path):
    path = overlay(tmp_path, "model: fullglow\nframes: 7\nlr: 0.5\n")
    _, trained = read_command(TRAIN, ["--config_path", path])
    assert trained.lr == 0.5 and "frames" not in trained
    assert trained.to_dict()["frames"] == 7 and "frames: 7" in trained.dump()
    _, evaluated = read_command(EVAL, ["--config_path", path])
    assert evaluated.frames == 7 and "lr" not in evaluated


def test_a_file_written_by_an_earlier_version_may_hold_defaults_of_other_owners(tmp_path):
    text = "model: hflow\nnetG: global\nwidth: 0\n---\nnetG: help\n---\nnetG: [global]\n"
    assert load_config(["--config_path", overlay(tmp_path, text)]).model == "hflow"
    with pytest.raises(UserError, match="mine.yaml: netG is an option of pix2pixHD"):
        load_config(["--config_path", overlay(tmp_path, "model: hflow\nnetG: local\n")])


def test_a_mistake_ends_the_program_with_status_2_and_no_traceback():
    done = subprocess.run([sys.executable, ROOT / "train.py", "--nitre", "3"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.strip() == "error: unknown option --nitre; did you mean niter?"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/../../x", "/abs", "a\nb", "\x1b[2J"])
@pytest.mark.parametrize("program", [TRAIN, EVAL])
def test_a_name_stands_for_a_folder_among_the_runs(program, name):
    with pytest.raises(UserError, match=r"name .* is not the name of a folder inside save_ckpt_dir"):
        read_command(program, ["--model=hflow", f"--name={name}"])


@pytest.mark.parametrize("name", ["a b", "ü/x", "run.1", "a/b"])
def test_other_names_are_taken(name):
    assert read_command(TRAIN, [f"--name={name}"])[1].name == name
