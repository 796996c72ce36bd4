"""One side of a comparison, and the training that is the same for both."""

__all__ = ["Side", "held_out_losses", "train"]

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import islice

import numpy as np

from .curves import BLOCK, Run
from .figures import figures
from .recipe import EARLY, Arrays, Recipe, batches, pictures, slowed


class Side(ABC):
    """Networks, losses and optimizers of an implementation.

    Attributes:
        loss_names: what :meth:`step` returns, under this project's names.
    """

    loss_names: tuple[str, ...]

    @abstractmethod
    def begin(self, seed: int) -> None:
        """Take the first weights of ``seed``; optimizers and histories begin anew."""

    @abstractmethod
    def step(self, batch: Arrays, number: int, factor: float) -> np.ndarray:
        """Losses of update ``number`` (from 0), all from before it; ``factor`` is on the published learning rate."""

    @abstractmethod
    def make(self, held_out: Arrays) -> Arrays:
        """What the trained networks make of images, see :func:`benchmarks.parity.figures.figures`.

        A model of likelihoods makes :func:`held_out_losses`.
        """


def train(recipe: Recipe, side: Side, seed: int, say: Callable[[str], None], steps: int | None = None) -> Run:
    """Train from ``seed``: the first losses, means over blocks of steps, and the figures after the last of ``steps``.

    ``steps`` below those of the recipe stops early; rates still follow the whole recipe.
    """
    images = pictures(recipe)
    side.begin(seed)
    losses, began = [], time.perf_counter()
    for number, batch in enumerate(islice(batches(recipe, images, seed), steps)):
        losses.append(np.asarray(side.step(batch, number, slowed(number)), np.float64))
        if (number + 1) % 100 == 0 or number == 0:
            seconds = time.perf_counter() - began
            terms = ", ".join(f"{n} {v:.4f}" for n, v in zip(side.loss_names, losses[-1], strict=True))
            say(f"{recipe.system} seed {seed} step {number + 1}/{recipe.steps} ({seconds:.0f} s): {terms}")
    array = np.array(losses)
    blocks = [array[i : i + BLOCK].mean(0) for i in range(0, len(array), BLOCK)]
    held_out = pictures(recipe, held_out=True)
    return Run(seed, array[:EARLY].tolist(), np.array(blocks).tolist(), figures(recipe, held_out, side.make(held_out)))


def held_out_losses(recipe: Recipe, side: Side, held_out: Arrays) -> Arrays:
    """What a model of likelihoods makes of images: losses of their batches, as of further steps that move nothing."""
    count = len(next(iter(held_out.values())))
    parts = [{name: a[i : i + recipe.batch] for name, a in held_out.items()} for i in range(0, count, recipe.batch)]
    losses = np.array([side.step(part, recipe.steps + i, 0.0) for i, part in enumerate(parts)])
    return dict(zip(side.loss_names, losses.T, strict=True))
