"""The published way to open a trained hflow; what it returns has the published calls.

This is an entry: it uses the registry, and nothing else in the package uses it.
"""

__all__ = ["HFlowModel"]

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...models.parameters import load_arrays
from ...utils.errors import UserError
from ...utils.runtime import start
from ..loading import load
from ..programs import load_config
from . import HFLOW
from .calls import ImageFlowModel
from .published import is_published_file, read_published
from .settings import flat_options
from .system import HFlowSystem


class HFlowModel:
    """The published name: see :meth:`from_path`."""

    @staticmethod
    def from_path(path: str | Path, tag: str = "latest", **options: Any) -> ImageFlowModel:
        """Open a run's folder (its checkpoint ``tag``), one of its files, or a published ``model_iter_*.bin``.

        The latter are read without running the code that is in them. ``options`` are those of :func:`src.load`:
        ``device_target``, ``mode``, ``seed`` and others.

        Raises:
            UserError: nothing to load there, or a file that cannot be read safely: the message says why.
        """
        if is_published_file(path):
            return _of_published(Path(path), options)
        model = load(path, tag, **options)
        if not isinstance(model, ImageFlowModel):
            raise UserError(f"{path} is a run of {model.system.name}, not of {HFLOW.name}: open it with load")
        return model


def _of_published(path: Path, options: Mapping[str, Any]) -> ImageFlowModel:
    published = read_published(path)
    if published.settings is None:
        raise UserError(
            f"{path} is of an early version without settings: convert it with data/convert_checkpoint.py and the "
            "preset that it was trained with"
        )
    values = {"model": HFLOW.name, **flat_options(published.settings, str(path)), **options}
    config = load_config([f"--{key}={value}" for key, value in values.items()])
    device = start(config, say=lambda _: None)
    system = HFlowSystem(config, training=False)
    load_arrays(system.networks["F_ema"], published.arrays, source=str(path))
    system.set_train(False)
    return ImageFlowModel(system, config, path.parent, path.stem, device)
