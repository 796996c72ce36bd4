"""What is compiled: training steps and translations of any system, built as trainer and evaluation build them."""

__all__ = ["Job", "evaluation", "example_batch", "one_pass", "training_size", "training_step"]

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.options.config import Config
from src.utils.errors import UserError


@dataclass(frozen=True)
class Job:
    """One compilation in a process of its own.

    Attributes:
        graph: ``train``, ``eval``, the name of one of the system's passes (``encode``, ``sample``, ...), or
            ``module:function`` of a function that returns a Cell and its inputs.
        options: words of a command line for :func:`src.options.config.load_config`, ``--config_path`` among them.
        cards: devices of the run; the one that is compiled is rank 0.
        size: height and width of the pictures; None is what the options train at.
    """

    graph: str
    options: tuple[str, ...] = ()
    cards: int = 1
    size: tuple[int, int] | None = None


def training_size(config: Config) -> tuple[int, int]:
    """Height and width that the options train at; pictures whose shape the files decide are taken to be 1:2."""
    if "img_size" in config:
        return tuple(config.img_size)
    if "resolutions" in config:
        return config.resolutions[0], config.resolutions[0]
    if getattr(config, "width", 0) and getattr(config, "height", 0):
        return config.height, config.width
    if config.resize_or_crop == "none":
        return 1024, 2048
    if config.resize_or_crop == "scale_width":
        return config.load_size // 2, config.load_size
    return config.fine_size, config.fine_size


def example_batch(kind: str, config: Config, size: tuple[int, int], training: bool) -> dict[str, np.ndarray]:
    """A batch of the shapes and types that a data set of this kind delivers; its values are zero.

    Raises:
        UserError: a kind of data that is not known here.
    """
    shape = (config.batch_size,)
    ids = np.zeros(shape, np.int32)

    def picture(channels: int) -> np.ndarray:
        return np.zeros((*shape, channels, *size), np.float32)

    def labels() -> np.ndarray:
        return np.zeros((*shape, 1, *size), np.int32)

    if kind == "paired":
        batch = {"label": labels() if config.label_nc else picture(config.input_nc), "id": ids}
        if not config.no_instance:
            batch["inst"] = labels()
        if training or config.use_encoded_image:
            batch["image"] = picture(config.output_nc)
        if config.load_features and training:
            batch["feat"] = picture(config.feat_num)
        return batch
    if kind == "unpaired":
        batch = {"A": picture(config.input_nc), "B": picture(config.input_nc), "id_A": ids, "id_B": ids}
        if getattr(config, "semantic", "none") == "joint":
            batch["label_A"] = labels()
        return batch
    if kind == "conditional":
        batch = {"condition": picture(config.condition_nc), "image": picture(config.image_nc), "id": ids}
        if getattr(config, "use_bmaps", False):
            batch["boundary"] = picture(3)
        return batch
    if kind == "images":
        return {"image": picture(3), "id": ids}
    raise UserError(f"there is no example batch for data of kind {kind}: add one in {Path(__file__).name}")


def training_step(config: Config, size: tuple[int, int], world: int) -> tuple[Any, list[np.ndarray]]:
    """The compiled step of the run's last epoch, in which everything is trained, and its inputs."""
    from src.systems.registry import create_system
    from src.training.steps import StepOptions, TrainStep

    system = create_system(config, training=True)
    batch = example_batch(system.dataset, config, size, training=True)
    arrays = system.inputs(batch)
    groups = system.update_groups(max(config.niter + config.niter_decay, 1))
    options = StepOptions(
        config.loss_scale,
        config.dynamic_loss_scale,
        1000,
        system.accumulation(world),
        config.clip_norm,
        world,
        system.clips_jointly,
    )
    step = TrainStep(system.gradients(groups), groups, options)
    system.set_train(True)
    return step, list(arrays)


def one_pass(config: Config, size: tuple[int, int], name: str) -> tuple[Any, list[np.ndarray]]:
    """The pass ``name`` of a trained system, and zeros for its inputs.

    Raises:
        UserError: the system has no pass of that name.
    """
    from src.systems.registry import create_system

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
    from src.systems.registry import create_system

    config = config.replace(load_features=False, use_encoded_image=True)
    system = create_system(config, training=False)
    system.set_train(False)
    batch = example_batch(system.dataset, config, size, training=False)
    return lambda: system.translate(batch)
