"""What the trainer drives: the contract between a system and everything that is written once for all systems."""

__all__ = ["System", "UpdateGroup"]

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mindspore import Parameter, nn

from src.models.passes import Pass
from src.models.state import named_parameters


@dataclass(frozen=True)
class UpdateGroup:
    """The parameters that one Adam optimizer steps.

    ``parameters`` are structural names prefixed with the network's (``G.model.1.weight``); ``lr`` is the rate before
    the schedule's factor.
    """

    name: str
    parameters: dict[str, Parameter]
    lr: float
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0


class System:
    """Base class of every system.

    A system owns its networks (Cells without losses), its losses and the table of published names. It knows nothing
    of files, loops or devices: batches come in as dicts of NCHW numpy arrays, results leave as numpy arrays.

    Life of a training run: ``System(config, training=True)`` builds and initialises the networks; the trainer loads
    weights into ``networks``; ``initialise(batch)`` runs data-dependent initialisation where there is one (never
    after a load); ``update_groups(epoch)`` says what is trained now; ``gradients(groups)`` returns the Cell that the
    trainer compiles together with its optimizers.
    """

    name: ClassVar[str]
    #: the kind of data set it reads: ``paired``, ``unpaired``, ``images``, ... (see src/dataset)
    dataset: ClassVar[str]
    #: configuration keys that describe the networks: evaluation takes them from the checkpoint and refuses others
    architecture_keys: ClassVar[tuple[str, ...]] = ()
    #: of each translated picture that has no true one: the column it is made from and the column whose look it takes
    looks: ClassVar[dict[str, tuple[str, str]]] = {}
    #: names that others give to networks in files called EPOCH_net_NAME, and ours
    published_networks: ClassVar[dict[str, str]] = {}
    #: gradient clipping measures the norm of all groups together instead of each by itself
    clips_jointly: ClassVar[bool] = False
    #: evaluation also writes what :meth:`visuals` shows as one picture
    shows_side_by_side: ClassVar[bool] = False

    def __init__(self, config: Any, training: bool = True):
        self.config = config
        self.training = training
        #: networks by name: saved, counted, converted and exported under that name
        self.networks: dict[str, nn.Cell] = {}
        #: Cells with training state that is no network (image pools, running means): saved with the training state
        self.buffers: dict[str, nn.Cell] = {}
        #: names of the loss terms, in the order of the vector that ``gradients`` returns
        self.loss_names: tuple[str, ...] = ()

    # -- what a subclass gives ---------------------------------------------------------------------------------

    def inputs(self, batch: dict[str, np.ndarray], step: int = 0) -> tuple[np.ndarray, ...]:
        """The arrays that ``gradients`` takes, in order; ``step`` seeds whatever the host draws for this step."""
        raise NotImplementedError

    def update_groups(self, epoch: int) -> tuple[UpdateGroup, ...]:
        """What is trained in ``epoch`` (from 1); a change of names makes the trainer build a new step."""
        raise NotImplementedError

    def gradients(self, groups: tuple[UpdateGroup, ...]) -> nn.Cell:
        """A Cell ``construct(scale, *inputs) -> (losses, gradients, outputs)``.

        ``losses`` is the float32 vector of ``loss_names`` before the update and without ``scale``; ``gradients`` holds
        one tuple per group, each of the loss times ``scale``, all taken at the weights from before any update;
        ``outputs`` is a tuple of tensors for :meth:`visuals`.
        """
        raise NotImplementedError

    def translate(self, batch: dict[str, np.ndarray], seed: int = 0) -> dict[str, np.ndarray]:
        """Named pictures (N, C, H, W) in [-1, 1] made from a batch whose size fits :attr:`stride`."""
        raise NotImplementedError

    def visuals(self, batch: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What is worth looking at for the first sample: name to HxWx3 uint8, in the order of display."""
        raise NotImplementedError

    def training_outputs(self, outputs: tuple) -> dict[str, np.ndarray]:
        """Name the outputs of the training step for :meth:`visuals`."""
        raise NotImplementedError

    def add_network(self, name: str, cell: nn.Cell) -> None:
        """Own ``cell`` as a network; its parameters get unique names, which one compiled step needs."""
        cell.update_parameters_name(f"{name}.")
        self.networks[name] = cell

    # -- defaults ----------------------------------------------------------------------------------------------

    @property
    def stride(self) -> int:
        """Height and width of every input must be multiples of this."""
        return 1

    @property
    def saved_networks(self) -> tuple[str, ...]:
        """Networks that a checkpoint holds."""
        return tuple(self.networks)

    def initialise(self, batch: dict[str, np.ndarray]) -> None:
        """Data-dependent initialisation from the first batch, in PyNative, before anything is compiled."""

    def explain_failure(self, batch: dict[str, np.ndarray], step: int = 0) -> str:
        """Where on this batch of this step a value that is not finite comes from; empty if nobody can say."""
        return ""

    @property
    def initial_samples(self) -> int:
        """How many samples :meth:`initialise` would like to see; 0 is one batch."""
        return 0

    def accumulation(self, world: int) -> int:
        """Steps whose gradients make one update, on ``world`` devices."""
        return self.config.accumulation

    def after_update(self, epoch: int) -> None:
        """Called when the weights were stepped, in ``epoch`` (from 1)."""

    def set_train(self, training: bool = True) -> None:
        """Switch every network between batch and running statistics."""
        for cell in self.networks.values():
            cell.set_train(training)

    @classmethod
    def complete_config(cls, config: Any, resumed: dict[str, Any] | None, pretrained: dict[str, Any] | None) -> Any:
        """Fill in options that follow from the run that is resumed or the one whose networks are taken over."""
        return config

    def adopt_pretrained(self, networks: dict[str, dict[str, np.ndarray]], config: dict[str, Any]) -> None:
        """Add networks that are not trained here but belong to the result, from a checkpoint that has them."""

    @property
    def optional_networks(self) -> tuple[str, ...]:
        """Networks that translation can do without when a checkpoint lacks them."""
        return ()

    def passes(self) -> tuple[Pass, ...]:
        """What the trained networks compute, from arrays to arrays: what can be exported."""
        return ()

    def result_name(self, stem: str, output: str) -> str:
        """File name, without extension, of the translated picture ``output`` of a sample."""
        return f"{stem}_{output}"

    def load_companions(self, folder: Path) -> None:
        """Read the companion files of a trained run, where they are there."""

    def companion_files(self) -> tuple[str, ...]:
        """Files of a pretrained run's folder that evaluation of this one needs too."""
        return ()

    @classmethod
    def published_names(cls, network: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Map a published PyTorch state dict of ``network`` to our names; identity where they agree."""
        return arrays

    @classmethod
    def published_options(cls, network: str, arrays: dict[str, np.ndarray]) -> dict[str, object]:
        """Options that published weights of ``network`` ask for, as far as their names and shapes tell."""
        return {}

    @classmethod
    def read_published(cls, path: Path) -> dict[str, np.ndarray] | None:
        """Arrays of a published file with a layout of this system's own; None for an ordinary torch.save file."""
        return None

    def check_published(self, network: str, arrays: dict[str, np.ndarray], source: str) -> None:
        """Raise ``UserError`` where weights under our names cannot fit for a reason that shapes do not tell."""

    def trainable(self, *networks: str) -> dict[str, Parameter]:
        """Trained parameters of the named networks, prefixed with the network's name."""
        return {
            f"{network}.{name}": p
            for network in networks
            for name, p in named_parameters(self.networks[network]).items()
            if p.requires_grad
        }
