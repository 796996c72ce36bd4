"""What is compiled: training steps and translations of any system, built as trainer and evaluation build them."""

__all__ = ["Job", "evaluation", "one_pass", "training_size", "training_step"]

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.ascend.standins import SOC
from src.contracts.system import System
from src.options.config import Config
from src.systems.registry import create_system, find_system
from src.utils.errors import UserError


@dataclass(frozen=True)
class Job:
    """One compilation in a process of its own.

    Attributes:
        graph: ``train``, ``eval``, the name of one of the system's passes (``encode``, ``sample``, ...), or
            ``module:function`` of a function that returns a Cell and its inputs.
        options: words of a command line for :func:`src.systems.programs.load_config`, ``--config_path`` among them.
        cards: devices of the run; the one that is compiled is rank 0.
        size: height and width of the images; None is what the options train at.
        soc: name of the chip, where stand-ins take the place of CANN.
    """

    graph: str
    options: tuple[str, ...] = ()
    cards: int = 1
    size: tuple[int, int] | None = None
    soc: str = SOC


def training_size(config: Config) -> tuple[int, int]:
    """Height and width that the options train at."""
    system = find_system(config.model).load()
    return system.data.training_size(system.request(config, training=True), config.part(*system.data.owners))


def _example(system: System, config: Config, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """A batch as the system's data delivers it; its values are zero."""
    request = system.request(config, system.training)
    return system.data.example(request, config.batch_size, size, system.training)


def training_step(
    config: Config, size: tuple[int, int], world: int, saturates_at: float = 0.0
) -> tuple[Any, list[np.ndarray]]:
    """The compiled step of the run's last epoch, in which everything is trained, and its inputs."""
    from benchmarks.steps import build_step

    system = create_system(config, training=True)
    return build_step(system, _example(system, config, size), size, world, saturates_at)


def one_pass(config: Config, size: tuple[int, int], name: str) -> tuple[Any, list[np.ndarray]]:
    """The pass ``name`` of a trained system, and zeros for its inputs.

    Raises:
        UserError: the system has no pass of that name.
    """
    system = create_system(config, training=False)
    system.set_train(False)
    passes = {one.name: one for one in system.passes()}
    if name not in passes:
        raise UserError(f"{system.name} has no pass {name}: use train, eval, {', '.join(passes)}")

    def extent(side: int | str) -> int:
        if isinstance(side, int):
            return side
        return config.batch_size if side == "batch" else size[side.endswith("width")]

    ports = passes[name].inputs
    return passes[name].cell, [np.zeros([extent(side) for side in port.shape], port.dtype) for port in ports]


def evaluation(config: Config, size: tuple[int, int]) -> Callable[[], Any]:
    """A function that translates one batch with every network that translation has."""
    system = create_system(config, training=False)
    system.set_train(False)
    if hasattr(system, "round_trip"):
        # nothing is computed here, so no image comes back
        system.round_trip.error = 0.0
    batch = _example(system, config, size)
    return lambda: system.translate(batch)
