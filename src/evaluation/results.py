"""Shared code of tasks: the samples of a run one by one, and a folder for images, numbers and their page."""

__all__ = ["TaskResults", "samples"]

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..gallery.gallery import Gallery
from ..imaging.images import write_png
from ..inference.model import Batch, Model
from ..metrics.report import with_arithmetic
from ..utils.errors import UserError
from ..utils.files import atomic_write
from ..utils.logging import get_logger
from ..utils.progress import track
from .record import Results


def samples(model: Model, what: str, needs: str = "") -> Iterator[tuple[str, Batch]]:
    """``(name, batch of one)`` for the samples of the phase that ``how_many`` allows, in order.

    Args:
        model: the run; its options name the data.
        what: the name of the work on the progress bar.
        needs: a column that the data must have.

    Raises:
        UserError: data that cannot be read, or without that column.
    """
    config = model.config
    data = model.data(config.phase)
    if needs and needs not in data.columns:
        raise UserError(f"task {config.task} needs column {needs} of the data, and phase {config.phase} has none")
    count = min(data.num_samples, config.how_many or data.num_samples)
    # keep a reference, because the batches end when their epochs are garbage collected
    epochs = data.epochs(1)
    _, batches = next(epochs)
    for _, batch in track(zip(range(count), batches, strict=False), what, total=count):
        yield data.name(int(batch["id"][0])), batch


class TaskResults:
    """Images and numbers of one task in ``predict_dir/name/TASK_PHASE_TAG``, and a page that shows them."""

    def __init__(self, model: Model, task: str):
        config = model.config
        self.folder = Path(config.predict_dir) / config.name / f"{task}_{config.phase}_{model.tag}"
        self._files = Results(self.folder)
        self.gallery = Gallery(self.folder, f"{config.name}: {task}, {config.phase}, checkpoint {model.tag}")
        self.gallery.clear_results()
        self.gallery.set_options(config.to_dict())
        self._task = task
        get_logger().info(f"checkpoint {model.tag} of {model.folder}, task {task}, results to {self.folder}")

    def show(self, name: str, images: Mapping[str, np.ndarray], numbers: Mapping[str, float] | None = None) -> None:
        """Add images, (H, W, 3) uint8, to the page only."""
        self.gallery.add_result(name, images, numbers)

    def write(self, name: str, images: Mapping[str, np.ndarray], numbers: Mapping[str, float] | None = None) -> None:
        """Write images, (H, W, 3) uint8, to files ``images/NAME_KEY.png`` and add them to the page."""
        for key, image in images.items():
            write_png(self._files.path("images", f"{name}_{key}.png"), image)
        self.show(name, images, numbers)

    def finish(self, numbers: Mapping[str, Any]) -> int:
        """Write ``TASK.json`` and the page; returns the exit status of a successful task."""
        atomic_write(self._files.path(f"{self._task}.json"), json.dumps(with_arithmetic(numbers), indent=1).encode())
        get_logger().info(f"results: {self.gallery.write()}")
        return 0
