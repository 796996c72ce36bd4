"""Curves of a training as a file of numbers, and whether two of them agree."""

__all__ = ["BLOCK", "EARLY_TOLERANCE", "Curves", "Run", "Verdict", "compare", "drift", "read_curves", "write_curves"]

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from src.utils.errors import UserError
from src.utils.files import atomic_write

from .recipe import EARLY, RECIPES, VERSION, Recipe, digest

#: by how much a loss may differ in the first steps, relative
EARLY_TOLERANCE = 1e-3
#: steps in a point of a curve
BLOCK = 25


@dataclass(frozen=True)
class Run:
    """One seed: losses of the first steps, means over blocks of steps (both rows of loss terms), final figures."""

    seed: int
    early: list[list[float]]
    curve: list[list[float]]
    figures: dict[str, float]


@dataclass(frozen=True)
class Curves:
    """Every seed of one side, and what made them."""

    system: str
    steps: int
    made_by: dict[str, str]
    loss_names: list[str]
    runs: list[Run]


@dataclass(frozen=True)
class Verdict:
    """One compared quantity."""

    name: str
    ours: float
    theirs: float
    allowed: float
    what: str

    @property
    def holds(self) -> bool:
        """Whether ours is no further from theirs than is allowed; NaN is not."""
        return abs(self.ours - self.theirs) <= self.allowed


def write_curves(path: Path, curves: Curves, recipe: Recipe) -> None:
    """Write with the recipe's version, options and digest; numbers have six digits in curves and all of them early."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = asdict(curves)
    for run in body["runs"]:
        run["curve"] = [[float(f"{value:.6g}") for value in row] for row in run["curve"]]
        run["early"] = [[float(f"{value:.9g}") for value in row] for row in run["early"]]
    head = {"version": VERSION, "digest": digest(recipe), "options": dict(recipe.options)}
    atomic_write(path, (json.dumps({"recipe": head, **body}, separators=(",", ":")) + "\n").encode())


def read_curves(path: Path, recipe: Recipe) -> Curves:
    """Curves of ``recipe``.

    Raises:
        UserError: no such file, no curves, or curves of another recipe or version of it.
    """
    again = "make them again with the published code, or take the file that belongs to this version of the project"
    try:
        body = json.loads(path.read_text())
        head = body.pop("recipe")
        version, stored = head["version"], head["digest"]
        curves = Curves(**(body | {"runs": [Run(**run) for run in body["runs"]]}))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: known are curves of {', '.join(RECIPES)}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged or holds no curves ({error!r}): copy it again") from None
    if version != VERSION:
        raise UserError(
            f"{path} was made with version {version} of the recipes, and this is version {VERSION}: {again}"
        )
    if curves.system != recipe.system or curves.steps != recipe.steps or stored != digest(recipe):
        raise UserError(
            f"{path} was made with recipe {curves.system} of {curves.steps} steps and digest {stored}, and this is "
            f"{recipe.system} of {recipe.steps} steps and digest {digest(recipe)}: {again}"
        )
    return curves


def compare(ours: Curves, theirs: Curves, early: int = EARLY) -> list[Verdict]:
    """The first ``early`` losses of every seed of ours, and the final figures.

    A final figure holds if the mean over our seeds is no further from the mean over the same seeds of theirs, which had
    the same start and order, than all of theirs lie apart.
    """
    stored = {run.seed: run for run in theirs.runs}
    found = []
    for run in ours.runs:
        got, want = np.array(run.early[:early]), np.array(stored[run.seed].early[:early])
        scales = _scales(want)
        for j, name in enumerate(ours.loss_names):
            error = np.abs(got[:, j] - want[:, j]) / scales[:, j]
            i = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
            allowed = EARLY_TOLERANCE * scales[i, j]
            label = f"seed {run.seed} {name}, worst of {len(got)} steps (step {i + 1})"
            found.append(Verdict(label, got[i, j], want[i, j], allowed, "early"))
    for name in theirs.runs[0].figures:
        want = np.array([stored[run.seed].figures[name] for run in ours.runs])
        got = np.array([run.figures.get(name, np.nan) for run in ours.runs])
        spread = float(np.ptp([run.figures[name] for run in theirs.runs]))
        found.append(Verdict(name, float(got.mean()), float(want.mean()), spread, "final"))
    return found


def drift(ours: Curves, theirs: Curves) -> list[float]:
    """The largest relative difference of the losses of each early step, over all seeds of ours."""
    stored = {run.seed: run for run in theirs.runs}
    pairs = [(np.array(run.early), np.array(stored[run.seed].early)) for run in ours.runs]
    rows: Sequence[np.ndarray] = [(np.abs(got - want) / _scales(want)).max(1) for got, want in pairs]
    return np.max(rows, 0).tolist()


def _scales(want: np.ndarray) -> np.ndarray:
    """(steps, losses): what a difference is relative to, the loss itself.

    Bits of a density pass through zero, where nothing is relative to them: of a loss that changes its sign it is the
    largest of these steps.
    """
    sizes = np.maximum(np.abs(want), 1e-30)
    signed = (want.min(0) < 0) & (want.max(0) > 0)
    return np.where(signed, sizes.max(0), sizes)
