"""The contract between trainer and system: losses, update groups, and state outside the networks."""

__all__ = ["Objective", "UpdateGroup"]

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from mindspore import Parameter, Tensor, nn

Batch = dict[str, np.ndarray]


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


class Objective:
    """Base class of a system's training objective.

    Life of a run: the objective is constructed with its buffers; the trainer loads weights; ``initialise(batch)`` runs
    data-dependent initialisation (never after a load); ``groups(epoch)`` names the trained parameters, called whenever
    ``phase(epoch)`` changes; ``gradients(groups)`` is compiled together with the optimizers.
    """

    #: names of the loss terms, in the order of the vector that the gradients return
    loss_names: tuple[str, ...] = ()
    #: gradient clipping measures the norm of all groups together instead of each by itself
    clips_jointly: ClassVar[bool] = False
    #: number of samples for :meth:`initialise`; 0 is one batch
    initial_samples: int = 0

    def __init__(self) -> None:
        #: Cells with training state outside the networks (image pools), saved with the training state; each has a
        #: method ``revert(finite)`` that takes back the last forward pass unless ``finite``, a bool tensor (), is true
        self.buffers: dict[str, nn.Cell] = {}

    def inputs(self, batch: Batch, step: int = 0) -> tuple[np.ndarray, ...]:
        """The arrays that the gradients take, in order; ``step`` seeds all random numbers drawn on the host."""
        raise NotImplementedError

    def phase(self, epoch: int) -> Hashable:
        """A key of ``epoch`` (from 1) that changes when the groups change."""
        return 0

    def groups(self, epoch: int) -> tuple[UpdateGroup, ...]:
        """The groups trained in ``epoch``; the trainer builds a new step when their names change."""
        raise NotImplementedError

    def gradients(self, groups: tuple[UpdateGroup, ...]) -> nn.Cell:
        """A Cell ``construct(scale, *inputs) -> (losses, gradients, outputs)``.

        ``losses`` is the float32 vector of :attr:`loss_names` before the update and without ``scale``; ``gradients``
        holds one tuple per group, each of the loss times ``scale``, all taken at the weights from before any update;
        ``outputs`` is a tuple of tensors for :meth:`outputs`.
        """
        raise NotImplementedError

    def outputs(self, tensors: tuple) -> Batch:
        """Names for the outputs of a step, as :meth:`System.visuals` takes them."""
        return {}

    def initialise(self, batch: Batch) -> None:
        """Data-dependent initialisation from the first batch, in PyNative, before anything is compiled."""

    def accumulation(self, world: int) -> int:
        """Steps whose gradients make one update on ``world`` devices; 0 uses option ``accumulation``."""
        return 0

    def after_update(self, epoch: int, finite: Tensor) -> None:
        """Called when an update was due, in ``epoch`` (from 1).

        ``finite`` is a float32 scalar on the device: 1, or 0 where the update was skipped because something was not
        finite; then nothing may change here either.
        """

    def explain_failure(self, batch: Batch, step: int = 0) -> str:
        """The source of a value that is not finite, on this batch of this step; empty if it is unknown."""
        return ""

    def metrics(self, workers: Any) -> dict[str, float]:
        """Metrics of the current weights by TensorBoard tag, every ``metrics_every_hours``.

        All workers call it together and share the work, so the waiting time is at most one batch.
        """
        return {}
