"""Every conversion that docs/converting.md shows, on small files of the same names and layouts."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from data import convert_checkpoint
from src import load
from src.models.parameters import state_arrays
from src.options.owner import ROOT
from src.systems.programs import CONVERT, read_command
from tests.torch_files import Tensor, save_legacy, save_zip, state_dict

PAGE = (ROOT / "docs" / "converting.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line)[2:]
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if "convert_checkpoint.py" in line
]
PIX2PIXHD = "--ngf 4 --ndf 4 --nef 2 --n_downsample_global 1 --n_blocks_global 1 --n_blocks_local 1 --n_downsample_E 1"
GLOW = "--img_size [32,32] --n_block 2 --n_flow [2,2]"
#: of each --name: options that make its network small, and how the file is wrapped
SMALL = {
    "label2city_1024p": (PIX2PIXHD, save_zip, lambda weights: weights),
    "ours": (PIX2PIXHD, save_legacy, lambda weights: weights),
    "ours200": (PIX2PIXHD, save_zip, lambda weights: weights),
    "card": ("--ngf 4 --n_residual_blocks 1", save_zip, lambda weights: weights),
    "zebra": ("--ngf 4 --ndf 4 --n_residual_blocks 1", save_zip, lambda weights: weights),
    "horse2zebra": ("--ngf 4 --ndf 4 --netF_nc 4", save_zip, lambda weights: weights),
    "gta": ("--out_channels [6,12] --pad_size 4", save_legacy, lambda weights: {"step": 3, "state_dict": weights}),
    "full": (f"{GLOW} --coupling_filters 8", save_zip, lambda weights: {"lr": 1e-4, "model_state_dict": weights}),
    "cglow": (
        f"{GLOW} --x_hidden_size 4 --x_hidden_channels 4 --y_hidden_channels 4",
        save_zip,
        lambda weights: {"model_state_dict": weights},
    ),
}


def name_of(words):
    return words[words.index("--name") + 1] if "--name" in words else words[0].strip("-")


def source_of(words):
    return Path(words[words.index("--source") + 1])


def published(networks, prefix=""):
    """What PyTorch would have saved of these networks."""
    return {
        name: state_dict(**{f"{prefix}{key}": Tensor(array) for key, array in state_arrays(cell).items()})
        for name, cell in networks.items()
    }


@pytest.mark.parametrize("words", [words for words in COMMANDS if name_of(words) in SMALL], ids=name_of)
def test_conversions_of_the_page(words, capsys):
    small, save, wrap = SMALL[name_of(words)]
    options = [word for word in (*words, *shlex.split(small)) if word]
    own = [
        i for word in ("--source", "--network") if word in options for i in (options.index(word),) for i in (i, i + 1)
    ]
    description, config = read_command(CONVERT, [word for i, word in enumerate(options) if i not in own])
    system = description.load()(config, training=True)
    files = published(system.networks, "module." if config.model == "hierarchyflow" else "")
    source, theirs = source_of(words), {ours: name for name, ours in system.published.networks.items() if "_" in name}
    if source.suffix:
        network = words[words.index("--network") + 1] if "--network" in words else "G"
        files = {network: files[network]}
        save(source, wrap(files[network]))
    else:
        source.mkdir(parents=True)
        for name, weights in files.items():
            save(source / f"{config.which_epoch}_net_{theirs.get(name, name)}.pth", wrap(weights))
    assert convert_checkpoint.main(options) == 0
    assert len(capsys.readouterr().out.splitlines()) >= len(files)
    model = load(Path("checkpoints") / name_of(words), config.which_epoch, "CPU", "pynative")
    assert model.config.model == config.model and model.system.networks
    for name, cell in model.system.networks.items():
        for key, array in state_arrays(cell).items():
            np.testing.assert_array_equal(array, state_arrays(system.networks[name])[key])


#: of the others: the tests that run them
ELSEWHERE = {
    "vgg": "tests/data/test_convert_checkpoint.py::test_vgg",
    "cats": "tests/systems/hflow/test_hflow_published.py::test_the_converter_makes_a_checkpoint_of_it",
}


def test_no_command_of_the_page_is_left_out():
    assert {name_of(words) for words in COMMANDS} == {*SMALL, *ELSEWHERE}
    for place in ELSEWHERE.values():
        file, name = place.split("::")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")
