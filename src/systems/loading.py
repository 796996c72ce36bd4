"""Opening a run from Python by its folder or by one of its files."""

__all__ = ["folder_of", "load"]

import os
import re
from pathlib import Path
from typing import Any

from ..inference.model import Model
from ..inference.opening import open_model
from ..options.config import Config
from ..runs.checkpoint_reader import CheckpointReader, newest_options, require_run
from ..utils.errors import UserError
from .programs import ANY, schema_of
from .registry import find_system

_CHECKPOINT_FILE = re.compile(r"(?P<tag>.+?)_(?:net_.+|state)\.safetensors")


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
        mode: ``graph`` compiles for each size of image; ``pynative`` does not, and takes longer for every call.
        precision: ``fp32``, ``fp16`` or ``bf16``; flows are exact only in fp32 and refuse the others.
        options: further options of evaluation by their names (``temp``, ``seed``, ``cluster_path``, ...), as values or
            as texts like those of a command line.

    Device, mode and seed hold for the whole process: models that are used together need the same.

    Raises:
        UserError: there is no such run or checkpoint, an option is unknown, out of range or contradicts the training,
            or the device does not work.
    """
    folder, tag = folder_of(Path(path), str(which_epoch))
    name = newest_options(folder).get("model")
    if not name:
        # raises an error that names the fault of the folder
        CheckpointReader(folder).load(tag, with_state=False)
        raise UserError(
            f"{folder} does not say which system it is of: weights from elsewhere become checkpoints with "
            "data/convert_checkpoint.py"
        )
    description = find_system(str(name))
    schema = schema_of(ANY, description)
    given = {"which_epoch": tag, "device_target": device_target, "mode": mode, "precision": precision} | options
    values = schema.defaults() | {"model": description.name, "load_ckpt": str(folder)}
    for key, value in given.items():
        option = schema.find(key, "")
        if option.name in ("load_ckpt", "model"):
            raise UserError(f"option {key} follows from the run's folder: leave it out")
        values[option.name] = option.check(value, "option")
    explicit = [schema.resolve(key) for key in given]
    return open_model(Config(values, explicit, schema), description.load(), say=_say_nothing)


def _say_nothing(text: str) -> None:
    """Print nothing, because this is a library; the model holds its device."""


def folder_of(path: Path, tag: str) -> tuple[Path, str]:
    """The run's folder and the checkpoint that ``path`` names: a folder with ``tag``, or one of its checkpoint files.

    Raises:
        UserError: there is no such run or file.
    """
    match = _CHECKPOINT_FILE.fullmatch(path.name)
    if os.path.isdir(path) or not (match or os.path.exists(path)):
        require_run(path)
        return path, tag
    if not match:
        raise UserError(
            f"{path} is not a checkpoint file of a run (TAG_net_NAME.safetensors): convert published weights with "
            "data/convert_checkpoint.py first, then pass the folder it wrote"
        )
    if not os.path.exists(path):
        raise UserError(f"{path} does not exist: check the path")
    # numbered files may carry more after their position: TAG-MORE_net_NAME
    stem = match["tag"].split("-")[0]
    return path.parent, stem if re.fullmatch(r"\d+(\.\d+)?", stem) else match["tag"]
