"""The command ``export.py``."""

__all__ = ["export"]

from pathlib import Path

import numpy as np

from ..contracts.system import System
from ..inference.model import Model
from ..inference.opening import open_model
from ..options.config import Config
from ..utils.errors import UserError
from ..utils.logging import get_logger
from .write import check_packages, export_system


def export(system: type[System], command: Config) -> int:
    """Write the networks of the run that ``command`` names, checked on the first sample of its data set.

    Raises:
        UserError: see :func:`src.inference.opening.open_model` and :func:`src.export.write.export_system`.
    """
    say = get_logger().info
    check_packages(command.file_format)
    if "phase" not in command.explicit:
        command = command.replace(phase="test")
    # files hold the network as graph mode computes it
    model = open_model(command.replace(mode="graph"), system)
    config = model.config.replace(name=model.folder.resolve().name)
    prefix = Path(config.file_name) if config.file_name else model.folder / config.name
    say(f"checkpoint {model.tag} of {model.folder} to {config.file_format}")
    export_system(model.system, config, prefix, model.tag, _first_sample(model), say)
    return 0


def _first_sample(model: Model) -> dict[str, np.ndarray]:
    """A batch of one with every column of the data set, each from the first sample that has it; empty without data."""
    say, phase = get_logger().info, model.config.phase
    try:
        data = model.data(phase)
        sample: dict[str, np.ndarray] = {}
        for index in range(data.num_samples):
            if data.files(index).keys() - sample.keys():
                columns = data.reader.sample(data.reader.load(index), None)
                sample |= {name: array[None] for name, array in columns.items() if name not in sample}
    except UserError as error:
        say(f"checking with made-up inputs, as there are no real ones: {(str(error).splitlines() or [''])[0]}")
        return {}
    say(f"checking with the first sample of the {phase} set")
    return sample
