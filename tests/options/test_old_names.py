"""The tables of docs/old_names.md: every name of another project is understood, or refused, as they say."""

import re
import shlex

import pytest
import yaml

from src.options.files import read_documents
from src.options.owner import ROOT
from src.systems.programs import EVAL, PRECOMPUTE, TRAIN, everyone, read_command
from src.utils.errors import UserError

PAGE = (ROOT / "docs" / "old_names.md").read_text(encoding="utf-8")
PROGRAMS = {"train.py": TRAIN, "eval.py": EVAL, "precompute_feature_maps.py": PRECOMPUTE}
MODELS = {
    "Every system": "pix2pixHD",
    "pix2pixHD, PyTorch": "pix2pixHD",
    "pix2pixHD, MindSpore": "pix2pixHD",
    "CycleGAN, Hugging Face": "cyclegan",
    "CUT, PyTorch": "cut",
    "Hierarchy Flow": "hierarchyflow",
    "Full-Glow": "fullglow",
    "hflow": "hflow",
}
#: the smallest file that has the layout of Hierarchy Flow's configurations
SKELETON = {"dataset": {"train": {"transform": ["h_flip", "random_resized_crop"]}}, "network": {}, "loss": {}}


def rows():
    """Each name of each table: model, program, what is typed, and what stands for it."""
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        if title == "Commands":
            continue
        for line in re.findall(r"^\| (?!program|---)(.*) \|$", text, re.MULTILINE):
            programs, theirs, ours = (cell.strip() for cell in line.split(" | "))
            for program in programs.split(", "):
                for words in re.findall(r"`([^`]+)`", theirs):
                    yield MODELS[title], program, words, ours


ROWS = list(dict.fromkeys(rows()))
OPTIONS = [row for row in ROWS if row[1] != "YAML"]


def read(model, program, words):
    return read_command(PROGRAMS[program], ["--model", model, *shlex.split(words)])[1]


def test_there_are_tables():
    assert {row[0] for row in ROWS} == set(MODELS.values()) and len(ROWS) > 250
    # a table that is cut or laid out in another way would be a test of nothing
    assert len(re.findall(r"^\| (?:train|eval|precompute_feature_maps)\.py|^\| YAML", PAGE, re.MULTILINE)) > 120


@pytest.mark.parametrize("model, program, theirs, ours", OPTIONS, ids=lambda value: str(value)[:40])
def test_an_option_of_another_project(model, program, theirs, ours):
    if ours == "the same":
        assert theirs.removeprefix("--") in read(model, program, "").schema.options
    elif ours.startswith("`--"):
        found, wanted = read(model, program, theirs), read(model, program, ours.strip("`"))
        assert found.to_dict() == wanted.to_dict()
        # the name of a system may stand for options, which then count as defaults
        assert found.explicit == wanted.explicit or theirs.startswith("--model ")
    else:
        with pytest.raises(UserError) as refused:
            read(model, program, theirs)
        assert ours.replace("`", "") in str(refused.value)


@pytest.mark.parametrize("model, theirs, ours", [(m, t, o) for m, p, t, o in ROWS if p == "YAML"])
def test_a_key_of_a_published_configuration(tmp_path, model, theirs, ours):
    found = read(model, "train.py", f"--config {published(tmp_path, theirs)}")
    wanted = read(model, "train.py", f"--config {published(tmp_path)} {ours.strip('`')}")
    assert found.to_dict() == wanted.to_dict()


def published(folder, line=""):
    """A configuration of Hierarchy Flow with the line ``key.key: value``."""
    tree = yaml.safe_load(yaml.safe_dump(SKELETON))
    path, _, value = line.partition(": ")
    part, *keys = tree, *path.split(".")
    for key in keys[:-1]:
        part = part.setdefault(key, {})
    if line:
        part[keys[-1]] = yaml.safe_load(value)
    file = folder / f"{path or 'plain'}.yaml"
    file.write_text(yaml.safe_dump(tree))
    return file


def test_every_other_name_and_every_name_that_is_gone_is_in_a_table():
    listed = {words.split()[0].removeprefix("--") for _, _, words, _ in ROWS}
    # names that this project had itself
    listed |= {"width", "height", "direction"}
    missing = {
        f"{owner.path.relative_to(ROOT)}: {name}"
        for owner in everyone()
        for document in read_documents(owner.path)[3:5]
        for name in document
        if name not in listed
    }
    assert not missing


#: as the projects print them, without what starts them (python, launchers)
PRINTED = {
    "pix2pixHD, PyTorch": (
        "train.py --name label2city_512p",
        "train.py --name label2city_512p_feat --instance_feat",
        "train.py --name label2city_1024p --netG local --ngf 32 --num_D 3 --load_pretrain checkpoints/label2city_512p/ "
        "--niter 50 --niter_decay 50 --niter_fix_global 10 --resize_or_crop none",
        "train.py --name label2city_1024p --netG local --ngf 32 --num_D 3 --load_pretrain checkpoints/label2city_512p/ "
        "--niter_fix_global 20 --resize_or_crop crop --fineSize 1024",
        "precompute_feature_maps.py --name label2city_512p_feat",
        "train.py --name label2city_1024p_feat --netG local --ngf 32 --num_D 3 "
        "--load_pretrain checkpoints/label2city_512p_feat/ --niter 50 --niter_decay 50 --niter_fix_global 10 "
        "--resize_or_crop none --instance_feat --load_features",
        "eval.py --name label2city_512p",
        "eval.py --name label2city_512p_feat --instance_feat",
        "eval.py --name label2city_1024p --netG local --ngf 32 --resize_or_crop none",
        "precompute_feature_maps.py --name label2city_1024p_feat --netG local --ngf 32 --resize_or_crop none",
    ),
    "pix2pixHD, MindSpore": (
        "train.py --name label2city_512p_feat --instance_feat True",
        "precompute_feature_maps.py --name label2city_512p_feat --batch_size 1 --serial_batches True --no_flip True "
        "--instance_feat True",
        "train.py --name label2city_1024p_feat --netG local --ngf 32 --num_D 3 "
        "--load_pretrain checkpoints/label2city_512p_feat/ --niter 50 --niter_decay 50 --niter_fix_global 10 "
        "--resize_or_crop none --instance_feat True --load_features True",
        "train.py --run_distribute True --data_root datasets/cityscapes --name label2city_512p",
        "eval.py --name label2city_512p --phase test --batch_size 1 --no_flip True --serial_batches True",
        "eval.py --name label2city_512p_feat --phase test --batch_size 1 --no_flip True --serial_batches True "
        "--instance_feat True",
        "eval.py --name label2city_1024p --phase test --batch_size 1 --no_flip True --serial_batches True --netG local "
        "--ngf 32 --resize_or_crop none",
    ),
    "CycleGAN, Hugging Face": (
        "train.py --batch_size 8 --decay_epoch 80 --n_residual_blocks 9 --lambda_cyc 10.0 --lambda_id 5.0",
    ),
    "CUT, PyTorch": ("train.py --dataroot ./datasets/grumpifycat --name grumpycat_CUT --n_epochs 9 --num_patches 64",),
    "Full-Glow": (
        "train.py --model improved_so_large_longer --img_size 512 1024 --n_block 4 --n_flow 8 8 8 8 --do_lu "
        "--reg_factor 0.0001 --grad_checkpoint --dataset cityscapes --direction label2photo",
    ),
    "hflow": ("eval.py --n_samples 16 --sample_std 0.7", "eval.py --path_to_img1 a.png --path_to_img2 b.png"),
}


@pytest.mark.parametrize("project, command", [(p, c) for p, commands in PRINTED.items() for c in commands])
def test_a_printed_command(project, command):
    program, _, words = command.partition(" ")
    assert read(MODELS[project], program, words).explicit


CONFIGURATION = """
output: ./output_dir/
task_name: base_exp
dataset:
  train: {source_list: lists/gta_train.txt, target_list: lists/city/train.txt, source_root: ./gta, target_root: ./city,
    width: 512, height: 256, scale_l: 0.8, scale_h: 1.0, transform: [h_flip, random_resized_crop], random_pair: True,
    return_name: False, batch_size: 3}
  test: {source_list: lists/gta_test.txt, target_list: lists/city/test.txt, source_root: ./gta, target_root: ./city,
    width: 512, height: 256, transform: [], random_pair: False, return_name: True, batch_size: 16}
lr: 1e-4
max_iter: 300000
print_freq: 500
save_freq: 500
resume: False
load_path: ''
network: {configurable: False, pad_size: 10, in_channel: 3, out_channels: [30, 120], weight_type: learned}
loss: {vgg_encoder: ./vgg_normalised.pth, k: 0.8, weight: 0.1}
lr_scheduler: {type: cosine, eta_min: 0.0}
"""


def test_a_whole_published_configuration_is_our_preset(tmp_path):
    """With paths that differ by the phase, frequencies that count updates of 3 samples, and the published formula."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIGURATION)
    description, config = read_command(TRAIN, ["--config", str(path)])
    ours = read_command(TRAIN, ["--config_path", "configs/hierarchyflow_gta2cityscapes.yaml"])[1]
    assert description.name == "hierarchyflow"
    changed = {key: value for key, value in config.to_dict().items() if ours.to_dict().get(key) != value}
    assert changed == {
        "save_ckpt_dir": "./output_dir/", "name": "base_exp", "reverse": "public", "batch_size": 3,
        "source_list": "lists/gta_{phase}.txt", "target_list": "lists/city/{phase}.txt",
        "source_root": "./gta", "target_root": "./city", "print_freq": 1500, "save_latest_freq": 1500,
    }  # fmt: skip
    assert read_command(EVAL, ["--config", str(path)])[1].source_list == "lists/gta_{phase}.txt"


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("in_channel: 3", "in_channel: 1", "in_channel must be 3"),
        ("load_path: ''", "load_path: a.pth.tar", r"load_path \(no longer there: .*published weights become a run"),
        ("lists/gta_test.txt", "lists/other.txt", "source_list .* differ by more than the words train and test"),
        ("[h_flip, random", "[normalize, random", "of the transforms only h_flip, v_flip, random_resized_crop"),
        ("transform: []", "transform: [h_flip]", "of the transforms only"),
        ("height: 256, transform", "height: 128, transform", "dataset.test.height 128 is not that of dataset.train"),
        ("type: cosine", "type: step", "lr_policy step is not one of"),
        ("k: 0.8", "kk: 0.8", "unknown option kk"),
    ],
)
def test_a_published_configuration_that_has_no_equal(tmp_path, old, new, message):
    assert CONFIGURATION.count(old) == 1
    path = tmp_path / "config.yaml"
    path.write_text(CONFIGURATION.replace(old, new))
    with pytest.raises(UserError, match=message):
        read_command(TRAIN, ["--config", str(path)])
