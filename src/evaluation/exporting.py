"""What ``export.py`` does."""

__all__ = ["export"]

from pathlib import Path

import numpy as np

from src.dataset import open_dataset
from src.evaluation.run import open_run
from src.export.write import export_system
from src.models.system import System
from src.utils.config import Config
from src.utils.errors import UserError
from src.utils.logging import get_logger
from src.utils.runtime import start


def export(command: Config) -> int:
    """Write the networks of the run that ``command`` names, checked on the first picture of its data set.

    Raises:
        UserError: see :func:`src.evaluation.run.open_run` and :func:`src.export.write.export_system`.
    """
    say = get_logger().info
    phase = command.phase if "phase" in command.explicit else "test"
    # features come in from outside, so a missing file of styles is no error; files hold what graph mode computes
    command = command.replace(
        phase=phase, load_features=False, use_encoded_image=True, mode="graph", runtime="mindspore"
    )
    start(command, say)
    run = open_run(command)
    config = run.config.replace(name=run.folder.resolve().name)
    prefix = Path(config.file_name) if config.file_name else run.folder / config.name
    say(f"checkpoint {run.tag} of {run.folder} to {config.file_format}")
    export_system(run.system, config, prefix, run.tag, _first_sample(run.system, config), say)
    return 0


def _first_sample(system: System, config: Config) -> dict[str, np.ndarray]:
    say = get_logger().info
    try:
        data = open_dataset(system.dataset, config, config.phase, training=False)
        epochs = data.epochs(1)
        try:
            _, batches = next(epochs)
            sample = next(iter(batches))
        finally:
            epochs.close()
    except (UserError, StopIteration) as error:
        say(f"checking with made-up pictures, as there are no real ones: {str(error).splitlines()[0]}")
        return {}
    say(f"checking with the first sample of the {config.phase} set")
    return sample
