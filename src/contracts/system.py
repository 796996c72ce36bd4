"""The contract of a system: construction from options, data, training objective, translation and export."""

__all__ = ["System"]

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from mindspore import Parameter, nn

from ..dataset.kind import DataKind
from ..models.parameters import named_parameters
from ..options.config import Config
from .companions import Companions
from .description import Description
from .objective import Objective
from .passes import Pass
from .published import PublishedWeights

if TYPE_CHECKING:
    from ..editing.studio import Studio
    from ..inference.model import Model

Batch = dict[str, np.ndarray]


class System:
    """Base class of every system: the networks that options describe, and their use.

    Batches are dicts of NCHW numpy arrays. A system contains no code for files, loops or devices. ``System(config,
    training)`` builds and initialises the networks; the caller loads weights into :attr:`networks`.
    """

    description: ClassVar[Description]
    data: ClassVar[DataKind]
    #: options that describe the networks: evaluation takes them from the checkpoint and refuses others
    architecture_keys: ClassVar[tuple[str, ...]] = ()
    #: the keys among them that count pixels; the others are widths and depths, bounded by the checkpoint's arrays
    pixel_keys: ClassVar[tuple[str, ...]] = ()
    #: for each translated image without a true one: the column it is made from, and the column whose style it takes
    styles: ClassVar[Mapping[str, tuple[str, str]]] = {}
    #: evaluation also writes what :meth:`visuals` shows as one image
    shows_side_by_side: ClassVar[bool] = False
    published: ClassVar[PublishedWeights] = PublishedWeights()
    companions: ClassVar[Companions] = Companions()

    def __init__(self, config: Config, training: bool = True):
        self.config, self.training = config, training
        #: networks by name: saved, counted, converted and exported under that name
        self.networks: dict[str, nn.Cell] = {}

    @property
    def name(self) -> str:
        """Value of option ``model``."""
        return self.description.name

    # -- what every system gives -------------------------------------------------------------------------------------

    @classmethod
    def request(cls, config: Config, training: bool) -> Any:
        """The data that the system needs: an instance of ``data.request``.

        Raises:
            UserError: options that contradict each other.
        """
        raise NotImplementedError

    def objective(self, size: tuple[int, int]) -> Objective:
        """The training objective, for samples of ``size`` = (height, width)."""
        raise NotImplementedError

    def translate(self, batch: Batch, seed: int = 0) -> Batch:
        """Named images (N, C, H, W) in [-1, 1] made from a batch whose size fits :attr:`stride`."""
        raise NotImplementedError

    def visuals(self, batch: Batch, outputs: Batch) -> Batch:
        """Images of the first sample for display: name to HxWx3 uint8, in the order of display."""
        raise NotImplementedError

    # -- what some give ----------------------------------------------------------------------------------------------

    @property
    def stride(self) -> int:
        """Height and width of every input must be multiples of this, and at least :attr:`smallest`."""
        return 1

    @property
    def smallest(self) -> int:
        """Smallest height and width that the networks take."""
        return self.stride

    @classmethod
    def check_files(cls, config: Config) -> None:
        """Raise ``UserError`` where a file that training needs beside its data is missing (weights of a loss, say)."""

    @property
    def made_from(self) -> str:
        """The column of input images that outputs are made from; empty if inputs are not images."""
        return ""

    @property
    def draws_labels(self) -> bool:
        """Whether outputs are colour-coded label maps."""
        return False

    @property
    def optional_networks(self) -> tuple[str, ...]:
        """Networks that translation can do without when a checkpoint lacks them."""
        return ()

    def passes(self) -> tuple[Pass, ...]:
        """The functions of the trained networks, from arrays to arrays, that can be exported."""
        return ()

    def result_name(self, sample: str, output: str) -> str:
        """File name, without extension, of the translated image ``output`` of a sample."""
        return f"{sample}_{output}"

    @classmethod
    def model_class(cls) -> "type[Model] | None":
        """The class of the calls from Python, which tasks and editor use too; None if there are none."""
        return None

    @classmethod
    def tasks(cls) -> Mapping[str, Callable[[Any, Config], int]]:
        """The tasks of ``eval.py --task`` besides translating, by name: ``(model, config)`` to the exit status."""
        return {}

    @classmethod
    def studio_class(cls) -> "Callable[[Any, Config], Studio] | None":
        """The editor's studio, made from model and options; None if the system has none."""
        return None

    # -- shared ------------------------------------------------------------------------------------------------------

    def add_network(self, name: str, cell: nn.Cell) -> None:
        """Register ``cell`` as a network; its parameters get unique names, which one compiled step needs."""
        cell.update_parameters_name(f"{name}.")
        self.networks[name] = cell

    def set_train(self, training: bool = True) -> None:
        """Switch every network between batch and running statistics."""
        for cell in self.networks.values():
            cell.set_train(training)

    def trainable(self, *networks: str) -> dict[str, Parameter]:
        """Trained parameters of the named networks, prefixed with the network's name."""
        return {
            f"{network}.{name}": p
            for network in networks
            for name, p in named_parameters(self.networks[network]).items()
            if p.requires_grad
        }
