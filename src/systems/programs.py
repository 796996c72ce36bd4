"""The commands of the project, and how each finds its system and options."""

__all__ = [
    "ANY", "CONVERT", "EDIT", "EVAL", "EXPORT", "PRECOMPUTE", "TRAIN", "load_config", "read_command", "schema_of",
]  # fmt: skip

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..contracts.description import Description
from ..dataset.owners import LABELS
from ..editing.owners import EDITING
from ..evaluation.owners import EVALUATION
from ..export.owners import EXPORTING
from ..gallery.owners import GALLERY
from ..inference.owners import RUN
from ..metrics.owners import INCEPTION, METRICS
from ..options.command_line import help_text, parse_words
from ..options.config import Config
from ..options.files import read_documents
from ..options.owner import EVERY_RUN, ROOT, Owner, Program
from ..options.schema import Schema
from ..options.text import shown
from ..options.values import COMMAND_LINE, convert
from ..runs.checkpoint_reader import newest_options, require_run
from ..training.owners import TRAINING
from ..utils.errors import UserError
from .registry import DEFAULT, SYSTEMS, descriptions, find_system

# src in a checkout, mindi2i where it is installed
_PACKAGE = __name__.partition(".")[0]

TRAIN = Program(
    "python train.py",
    ("train",),
    "Train a system, or examine its data with --check_data True.",
    (
        "python train.py --config_path configs/quickstart.yaml",
        "python train.py --name label2city --data_root datasets/cityscapes --continue_train True",
    ),
    (TRAINING, GALLERY),
)
EVAL = Program(
    "python eval.py",
    ("eval",),
    "Translate or sample with a trained run, do one of its other tasks, or measure with --metrics.",
    (
        "python eval.py --name label2city --how_many 0",
        "python eval.py --name label2city --metrics ssim,psnr",
    ),
    (RUN, EVALUATION, GALLERY, METRICS, INCEPTION, LABELS),
    opens_run=True,
)
EXPORT = Program(
    "python export.py",
    ("export",),
    "Write the networks of a trained run to ONNX, MINDIR or AIR files.",
    (
        "python export.py --name label2city",
        "python export.py --name label2city --file_format mindir --flexible_size True",
    ),
    (RUN, EXPORTING),
    opens_run=True,
)
PRECOMPUTE = Program(
    "python precompute_feature_maps.py",
    ("precompute",),
    "Encode the training instances of a run with features, cluster them, and write feature maps.",
    (
        "python precompute_feature_maps.py --name label2city_512p_feat",
        "python precompute_feature_maps.py --name label2city_512p_feat --only_clusters True",
    ),
    (RUN,),
    opens_run=True,
)
CONVERT = Program(
    "python data/convert_checkpoint.py",
    ("train", "convert"),
    "Turn published weights into checkpoints of this project.",
    (
        "python data/convert_checkpoint.py --source latest_net_G.pth --name label2city_1024p --netG local --ngf 32",
        "python data/convert_checkpoint.py --vgg vgg19-dcbb9e9d.pth",
    ),
    (TRAINING,),
)
EDIT = Program(
    f"python -m {_PACKAGE}.editing RUN",
    ("edit", "eval"),
    "Edit label maps or images in the browser; a trained run draws. RUN is its folder or one of its checkpoint files.",
    (
        f"python -m {_PACKAGE}.editing checkpoints/label2city",
        f"python -m {_PACKAGE}.editing checkpoints/label2city --labels my_maps --view_width 512",
    ),
    (RUN, EVALUATION, EDITING),
    opens_run=True,
)
#: the options of all programs: for Python callers, benchmarks and tests
ANY = Program(
    "mindi2i",
    ("python",),
    owners=(TRAINING, RUN, EVALUATION, GALLERY, METRICS, INCEPTION, LABELS, EXPORTING, EDITING),
    takes_all=True,
)


def everyone() -> list[Owner]:
    """All owners there are."""
    owners = [EVERY_RUN]
    for description in descriptions():
        owners += description.options
    return [*owners, *ANY.owners]


def schema_of(program: Program, description: Description) -> Schema:
    """The options that ``program`` takes for a system."""
    schema = Schema.of(program, description.options, everyone(), description.name)
    model = schema.options["model"]
    schema.options["model"] = replace(model, help=f"{model.help} ({', '.join(SYSTEMS)})")
    return schema


def read_command(program: Program, argv: Sequence[str]) -> tuple[Description, Config]:
    """The system and the options of a command line.

    Defaults are overlaid with the preset of ``--config_path`` and the command line. The system is that of ``--model``,
    of the preset, or of the run that is opened. Prints the options and exits on ``--help``.

    Raises:
        UserError: unknown option (with the closest), option of another owner, wrong type, value out of range,
            unreadable file, unknown system.
    """
    wants_help = any(word in ("--help", "-h") for word in argv)
    given = parse_words([word for word in argv if word not in ("--help", "-h")])
    # --config is the name in several publications
    preset_path = given.pop("config_path", given.pop("config", ""))
    preset = _read_preset(preset_path) if preset_path else []
    chosen = given.get("model") or next((v["model"] for _, v in reversed(preset) if v.get("model")), "")
    if not chosen and program.opens_run:
        folder = _folder_of_run(given, preset)
        chosen = newest_options(folder).get("model", "")
        if {"name", "load_ckpt"} & given.keys() and not (wants_help or "fake" in given):
            # checked before its options are taken for those of another system
            require_run(folder)
    description = find_system(str(chosen or DEFAULT))
    schema = schema_of(program, description)
    if wants_help:
        print(help_text(program, schema))
        raise SystemExit(0)
    values, kept = schema.defaults(), {}
    stands_for = description.matches(str(chosen or DEFAULT)) or {}
    values |= {key: value for key, value in stands_for.items() if key in values}
    wide = schema_of(ANY, description)
    for path, content in preset:
        for key, value in content.items():
            name = schema.resolve(key)
            if name in schema.options:
                values[name] = schema.options[name].check(value, str(path))
            elif not _left_behind(wide, key, value):
                option = wide.find(key, f"{path}: ")
                kept[option.name] = option.check(value, str(path))
    explicit = []
    for key, value in given.items():
        option = schema.find(key, "", "--")
        values[option.name] = option.check(value, COMMAND_LINE)
        explicit.append(option.name)
    _check_name(values["name"])
    if values["gpu_ids"]:
        values |= _device_of(values["gpu_ids"])
    values["model"] = description.name
    return description, Config(values, explicit, schema, kept)


def _check_name(name: str) -> None:
    """Raise ``UserError`` unless ``name`` stands for a folder inside the folder of all runs."""
    parts = Path(name).parts
    if not parts or ".." in parts or Path(name).is_absolute() or not name.isprintable():
        raise UserError(
            f"name {shown(ascii(name))} is not the name of a folder inside save_ckpt_dir: pass a --name such as my_run "
            "(--save_ckpt_dir is for other places)"
        )


def _device_of(gpu_ids: str) -> dict[str, Any]:
    """The device that the originals' ``gpu_ids`` names.

    Raises:
        UserError: several devices, or not a number.
    """
    try:
        numbers = [int(number) for number in gpu_ids.split(",")]
    except ValueError:
        raise UserError(f"gpu_ids {shown(gpu_ids)} is not a number: pass that of a device, or -1 for the CPU") from None
    if len(numbers) > 1:
        raise UserError(
            f"gpu_ids {shown(gpu_ids)} names {len(numbers)} devices: one program runs on one; "
            f"bash scripts/distribute_train_*.sh {len(numbers)} trains on {len(numbers)} devices together"
        )
    return {"device_target": "CPU"} if numbers[0] < 0 else {"device_id": numbers[0]}


def _left_behind(wide: Schema, key: str, value: Any) -> bool:
    """Whether a preset holds another owner's option at its default, as files written by earlier versions do."""
    return wide.resolve(key) not in wide.options and wide.is_foreign_default(key, value)


def _read_preset(text: str) -> list[tuple[Path, dict[str, Any]]]:
    """The values of a preset and of its bases (``base``), the base first."""
    path = Path(text)
    # os.path, because Path.exists raises on names that are too long
    if not (os.path.exists(path) or path.is_absolute()):
        path = ROOT / path
    layers: list[tuple[Path, dict[str, Any]]] = []
    seen: set[Path] = set()
    while True:
        if path.resolve() in seen:
            raise UserError(f"configuration {path} is its own base: remove the key base")
        seen.add(path.resolve())
        values = _options_in(read_documents(path)[0], str(path))
        base = values.pop("base", None)
        layers.insert(0, (path, values))
        if base is None:
            return layers
        base = convert("base", base, "", str(path))
        path = path.parent / base


def _options_in(content: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The options in a file, which may have the layout of a publication; files of this project are flat."""
    if any(isinstance(value, Mapping) for value in content.values()):
        for description in descriptions():
            options = description.read_preset(content, source)
            if options is not None:
                return dict(options)
    return dict(content)


def _folder_of_run(given: Mapping[str, str], preset: Sequence[tuple[Path, Mapping[str, Any]]]) -> Path:
    """The folder of the run that the words name."""
    common = Schema([EVERY_RUN, RUN])
    values = common.defaults()
    for _, content in preset:
        values |= {common.resolve(k): v for k, v in content.items() if common.resolve(k) in values}
    values |= {common.resolve(k): v for k, v in given.items() if common.resolve(k) in values}
    return Path(values["load_ckpt"]) if values["load_ckpt"] else Path(str(values["save_ckpt_dir"]), str(values["name"]))


def load_config(argv: Sequence[str], preset: str | None = None) -> Config:
    """The options of every program together, for callers from Python: see :func:`read_command`."""
    words = [f"--config_path={preset}", *argv] if preset else argv
    return read_command(ANY, words)[1]
