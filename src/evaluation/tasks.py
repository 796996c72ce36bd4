"""What ``eval.py`` runs: translation of a data set, or what a system can do besides (option ``task``)."""

__all__ = ["evaluate"]

from importlib import import_module

from src.evaluation.metrics.command import evaluate_metrics
from src.evaluation.translate import evaluate as translate
from src.utils.config import Config
from src.utils.errors import UserError

#: system to the module whose ``TASKS`` maps a task to a function of the options
_MODULES = {
    "cglow": "src.evaluation.flows",
    "dualglow": "src.evaluation.flows",
    "fullglow": "src.evaluation.flows",
    "hflow": "src.evaluation.hflow_tasks",
}


def evaluate(command: Config) -> int:
    """Run the task that ``command`` names; systems without tasks of their own translate, and ``metrics`` measure."""
    if command.metrics:
        return evaluate_metrics(command)
    if command.fake:
        raise UserError(f"--fake {command.fake} is what --metrics measures: add --metrics fid,kid,lpips,ssim,psnr,miou")
    if command.model in _MODULES:
        tasks = import_module(_MODULES[command.model]).TASKS
        if command.task in tasks:
            return tasks[command.task](command)
    return translate(command)
