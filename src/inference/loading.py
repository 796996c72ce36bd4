"""Opening a run from Python by its folder or by one of its files."""

__all__ = ["load"]

import contextlib
import difflib
import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from src.evaluation.run import open_run
from src.inference.model import Model
from src.training.checkpoint_reader import CheckpointReader
from src.utils.config import Config, load_config
from src.utils.errors import UserError
from src.utils.runtime import start
from src.utils.tensorfile import read_metadata

_CHECKPOINT_FILE = re.compile(r"(?P<tag>.+?)_(?:net_.+|state)\.safetensors")
#: system to the module and class of its calls
_MODELS = {
    "cglow": "src.inference.conditional:ConditionalFlowModel",
    "cyclegan": "src.inference.unpaired:CycleGANModel",
    "dualglow": "src.inference.conditional:ConditionalFlowModel",
    "fullglow": "src.inference.conditional:ConditionalFlowModel",
    "hflow": "src.inference.images:ImageFlowModel",
    "hierarchyflow": "src.inference.unpaired:HierarchyFlowModel",
    "pix2pixHD": "src.inference.paired:PairedModel",
}


def load(
    path: str | Path,
    which_epoch: str | int = "latest",
    device_target: str = "auto",
    mode: str = "graph",
    precision: str = "fp32",
    **options: Any,
) -> Model:
    """Open a trained run of any system.

    Args:
        path: the run's folder (``checkpoints/NAME``), or one of its checkpoint files, which names the epoch, too.
        which_epoch: ``latest``, an epoch, or ``epoch.iteration``.
        device_target: ``Ascend``, ``GPU``, ``CPU``, or ``auto``, the first of these that works.
        mode: ``graph`` compiles for each size of picture; ``pynative`` does not, and takes longer for every call.
        precision: ``fp32``, ``fp16`` or ``bf16``; flows are exact only in fp32 and refuse the others.
        options: further options of evaluation by their names (``temp``, ``seed``, ``cluster_path``, ...), as values or
            as texts like those of a command line.

    Device, mode and seed hold for the whole process: models that are used together need the same.

    Raises:
        UserError: there is no such run or checkpoint, an option is unknown, out of range or contradicts the training,
            or the device does not work.
    """
    folder, tag = _folder_of(Path(path), str(which_epoch))
    command = _command(folder, tag, device_target, mode, precision, options)
    device = start(command, say=_say_nothing)
    run = open_run(command)
    if run.system.name not in _MODELS:
        raise UserError(
            f"{path} is a run of {run.system.name}, which has no calls from Python yet: {__file__} lists them"
        )
    module, _, attribute = _MODELS[run.system.name].partition(":")
    return getattr(import_module(module), attribute)(run, device)


def _say_nothing(text: str) -> None:
    """A library does not print; the model knows its device."""


def _folder_of(path: Path, tag: str) -> tuple[Path, str]:
    if path.is_dir():
        return path, tag
    match = _CHECKPOINT_FILE.fullmatch(path.name)
    if not match:
        if not path.exists():
            raise UserError(f"{path} does not exist: pass a run's folder, or a file TAG_net_NAME.safetensors in one")
        raise UserError(
            f"{path} is no checkpoint file of a run (TAG_net_NAME.safetensors): convert published weights with "
            "data/convert_checkpoint.py first, then pass the folder it wrote"
        )
    if not path.exists():
        raise UserError(f"{path} does not exist: check the path")
    # numbered files may carry more after their position: TAG-MORE_net_NAME
    stem = match["tag"].split("-")[0]
    return path.parent, stem if re.fullmatch(r"\d+(\.\d+)?", stem) else match["tag"]


def _command(folder: Path, tag: str, target: str, mode: str, precision: str, options: dict[str, Any]) -> Config:
    words = {"load_ckpt": folder, "which_epoch": tag, "device_target": target, "mode": mode, "precision": precision}
    # styles come from pictures, clusters or the caller here, so that a missing cluster file is no error yet
    words["use_encoded_image"] = True
    common = load_config([])
    trained = _trained_options(folder) if set(options) - set(common.to_dict()) else {}
    known = trained | common.to_dict()
    for key in options:
        if key not in known or key in ("load_ckpt", "use_encoded_image"):
            close = difflib.get_close_matches(key, known, 1, 0.6)
            raise UserError(f"unknown option {key}" + (f"; did you mean {close[0]}?" if close else ""))
    own = {key: value for key, value in options.items() if key not in common}
    for key, value in own.items():
        if isinstance(value, str) and not isinstance(trained[key], str):
            with contextlib.suppress(yaml.YAMLError):
                own[key] = yaml.safe_load(value)
        if not _like(own[key], trained[key]):
            raise UserError(f"option {key} {value!r} is not like {trained[key]!r}, which the run was trained with")
    words |= {key: value for key, value in options.items() if key in common}
    command = load_config([f"--{key}={value}" for key, value in words.items()])
    return Config(command.to_dict() | own, [*command.explicit, *own])


def _trained_options(folder: Path) -> dict[str, Any]:
    """The options of the newest checkpoint whose header can be read."""
    for info in reversed(CheckpointReader(folder).list()):
        for role, path in info.files.items():
            if role != "state" and path.is_file():
                return json.loads(read_metadata(path)[0].get("config", "{}"))
    return {}


def _like(value: Any, example: Any) -> bool:
    if isinstance(example, bool) or isinstance(value, bool):
        return isinstance(example, bool) and isinstance(value, bool)
    if isinstance(example, float):
        return isinstance(value, (int, float))
    return isinstance(value, type(example))
