"""The commands ``eval.py`` and ``precompute_feature_maps.py``."""

__all__ = ["evaluate", "precompute"]

from collections.abc import Callable

from ..contracts.system import System
from ..inference.model import Model
from ..inference.opening import open_model
from ..options.config import Config
from ..utils.errors import UserError
from .measuring import measure_folders, measure_run
from .translate import translate

# what is measured; a task that a system has a program for is something else, although it may end in images
_TRANSLATING = ("translate", "sample")


def evaluate(system: type[System], command: Config) -> int:
    """Translate with a trained run, run its task ``task``, or measure ``metrics``; returns the exit status.

    Raises:
        UserError: see :func:`src.inference.opening.open_model`; options that do not go together.
    """
    if command.fake:
        if not command.metrics:
            raise UserError(
                f"--fake {command.fake} is what --metrics measures: add --metrics fid,kid,lpips,ssim,psnr,miou"
            )
        return measure_folders(command)
    if command.source:
        raise UserError("--source goes with --fake FOLDER: a run knows what its images were made from")
    if "phase" not in command.explicit:
        command = command.replace(phase="test")
    if command.metrics:
        if command.task not in _TRANSLATING and command.task in system.tasks():
            raise UserError(f"--metrics measures translations, not task {command.task}: leave one of the two out")
        return measure_run(system, command)
    task = system.tasks().get(command.task)
    if task is None:
        return translate(open_model(command, system))
    return _do(task, system, command)


def precompute(system: type[System], command: Config) -> int:
    """Run the task ``precompute`` of a system that has one.

    Raises:
        UserError: the system has nothing to compute before its training.
    """
    task = system.tasks().get("precompute")
    if task is None:
        raise UserError(
            f"{system.description.name} has nothing to compute before its training: pass the --name of a run with "
            "features"
        )
    return _do(task, system, command)


def _do(task: Callable[[Model | None, Config], int], system: type[System], command: Config) -> int:
    # some tasks, such as scoring a folder of predictions, need no trained run
    if not getattr(task, "needs_model", True):
        return task(None, command)
    model = open_model(command, system)
    return task(model, model.config)
