"""What the entry scripts do with a configuration, for tests that have one; and what a training led to."""

__all__ = ["evaluate", "open_data", "open_run", "system_of", "train", "trained_arrays"]

import numpy as np

from src.contracts.system import System
from src.dataset.pipeline import Pipeline
from src.evaluation import command
from src.inference.model import Model
from src.inference.opening import open_model
from src.models.parameters import state_arrays
from src.options.config import Config
from src.systems.registry import find_system
from src.training import loop
from src.training.steps import TrainStep


def system_of(config: Config):
    """The class of the system that ``config`` names."""
    return find_system(config.model).load()


def train(config: Config) -> int:
    """What train.py does."""
    return loop.train(system_of(config), config)


def evaluate(config: Config) -> int:
    """What eval.py does."""
    return command.evaluate(system_of(config), config)


def open_run(config: Config) -> Model:
    """The trained run that ``config`` names."""
    return open_model(config, system_of(config), say=lambda text: None)


def open_data(config: Config, phase: str, rank: int = 0, world: int = 1, training: bool | None = None) -> Pipeline:
    """The data that ``config`` names, as its system asks for it."""
    system = system_of(config)
    trains = phase == "train" if training is None else training
    return system.data.open(system.request(config, trains), config, phase, rank, world, trains)


def trained_arrays(system: System, step: TrainStep) -> dict[str, np.ndarray]:
    """Copies of all weights, under ``NETWORK.NAME``, and of the optimizers' moments, under ``moment1.NAME``."""
    arrays = {f"{net}.{name}": a for net, cell in system.networks.items() for name, a in state_arrays(cell).items()}
    for optimizer in step.optimizers:
        arrays |= {name: p.asnumpy() for name, p in optimizer.state().items() if name.startswith("moment")}
    return {name: np.array(array) for name, array in arrays.items()}
