"""This project's side of a comparison: its systems, objectives and compiled step, as the trainer drives them."""

__all__ = ["Ours"]

from pathlib import Path

import numpy as np
from mindspore import Tensor

from benchmarks.steps import prepare_step
from src.models.parameters import state_arrays
from src.systems.programs import load_config
from src.systems.registry import create_system
from src.training.schedules import learning_rate_factor
from tests.reference_checks.twins import restart

from .recipe import Arrays, Recipe, batches, first_weights, pictures
from .side import Side, held_out_losses


class Ours(Side):
    """One compiled step for all seeds."""

    def __init__(self, recipe: Recipe, words: tuple[str, ...] = ()):
        self.recipe = recipe
        options = {"max_iter": recipe.steps, "batch_size": recipe.batch, **recipe.options}
        preset = options.pop("preset", None)
        path = _PRESETS / f"{preset}.yaml" if preset else None
        given = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        self.config = load_config(["--model", recipe.system, *given, *words], path)
        self.system = system = create_system(self.config, training=True)
        self.train_step, self.objective = prepare_step(system, (recipe.height, recipe.width))
        self.rates = [group.lr for group in self.train_step.groups]
        self.loss_names = self.objective.loss_names
        self.buffers = {name: state_arrays(cell) for name, cell in self.objective.buffers.items()}

    def begin(self, seed: int) -> None:
        """Every weight that the recipe does not draw begins as a run of this project with ``seed`` begins it."""
        networks = create_system(self.config.replace(seed=seed), training=True).networks
        begun = {name: state_arrays(cell) for name, cell in networks.items()}
        shapes = {f"{n}.{k}": a.shape for n, arrays in begun.items() for k, a in arrays.items()}
        drawn = first_weights(self.recipe, seed, shapes)
        weights = {n: {k: drawn.get(f"{n}.{k}", a) for k, a in arrays.items()} for n, arrays in begun.items()}
        restart(self.system, self.objective, self.train_step, weights | self.buffers)
        self.objective.initialise(next(batches(self.recipe, pictures(self.recipe), seed)))

    def step(self, batch: Arrays, number: int, factor: float) -> np.ndarray:
        factor *= learning_rate_factor(self.config, 1, number / self.recipe.steps)
        for rate, optimizer in zip(self.rates, self.train_step.optimizers, strict=True):
            optimizer.set_rate(rate * factor)
        losses, _, _ = self.train_step(*[Tensor(array) for array in self.objective.inputs(batch, number)])
        return losses.asnumpy()

    def make(self, held_out: Arrays) -> Arrays:
        if self.recipe.likelihood:
            return held_out_losses(self.recipe, self, held_out)
        self.system.set_train(False)
        count = len(next(iter(held_out.values())))
        rows = [self._translate({name: a[i : i + 1] for name, a in held_out.items()}) for i in range(count)]
        self.system.set_train(True)
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def _translate(self, batch: Arrays) -> Arrays:
        made = self.system.translate(batch)
        return {_NAMES.get(name, name): array for name, array in made.items()}


_PRESETS = Path(__file__).resolve().parents[2] / "configs"
# what figures call the outputs of a system
_NAMES = {"synthesized_image": "image", "output": "fake_B"}
