"""What the entry scripts do with a configuration, for tests that have one."""

__all__ = ["evaluate", "open_data", "open_run", "system_of", "train"]

from src.dataset.pipeline import Pipeline
from src.evaluation import command
from src.inference.model import Model
from src.inference.opening import open_model
from src.options.config import Config
from src.systems.registry import find_system
from src.training import loop


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
