"""Training beside the published code: the same images, first weights and batches, and the curves compared.

    python benchmarks/training_parity.py [--systems pix2pixhd] [--seeds 0,1,2] [--early] [--mode graph]
        [--curves tests/reference/curves] [--output results/training_parity]

Trains every system from its recipe (benchmarks/parity/recipe.py), which takes minutes a seed, and compares with the
stored curves of the published code: each of the first 20 losses within 1e-3, and the final figures no further from the
published mean than the published seeds lie apart. Where no published code may be trained (fullglow, cglow) closed forms
are in its place: see benchmarks/parity/closed_forms.py. ``--early`` trains these 20 steps alone, which takes seconds.
Writes ours as JSON and both as SVG. The exit status is 0 if everything holds, 1 if something does not.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import src  # noqa: F401  (sets the environment before MindSpore is imported)
from benchmarks.parity.closed_forms import check
from benchmarks.parity.curves import Curves, compare, drift, read_curves, write_curves
from benchmarks.parity.drawing import draw
from benchmarks.parity.gaussian import bounds
from benchmarks.parity.ours import Ours
from benchmarks.parity.recipe import EARLY, RECIPES, Recipe
from benchmarks.parity.side import train
from benchmarks.train_step import machine
from src.systems.programs import load_config
from src.utils.errors import UserError, run_command
from src.utils.files import atomic_write
from src.utils.runtime import start


def main(argv: list[str]) -> int:
    """Train and compare each system; the curves are read before anything is trained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", default=",".join(RECIPES))
    parser.add_argument("--seeds", default="")
    parser.add_argument("--early", action="store_true")
    parser.add_argument("--mode", choices=("graph", "pynative"), default="graph")
    parser.add_argument("--curves", type=Path, default=ROOT / "tests" / "reference" / "curves")
    parser.add_argument("--output", type=Path, default=Path("results/training_parity"))
    options = parser.parse_args(argv)
    systems = options.systems.split(",")
    if unknown := set(systems) - set(RECIPES):
        raise UserError(f"systems {', '.join(sorted(unknown))}: known are {', '.join(RECIPES)}")
    seeds = _seeds(options.seeds)
    recipes = [RECIPES[name] for name in systems]
    published = [read_curves(options.curves / f"{r.system}.json", r) if r.published else None for r in recipes]
    start(load_config(["--model", systems[0], "--mode", options.mode]), lambda _: None)
    pairs = zip(recipes, published, strict=True)
    holds = [_compare(recipe, theirs, seeds, options.early, options.output) for recipe, theirs in pairs]
    return 0 if all(holds) else 1


def _seeds(text: str) -> list[int]:
    try:
        seeds = [int(word) for word in text.split(",") if word]
    except ValueError:
        seeds = [-1]
    known = next(iter(RECIPES.values())).seeds
    if set(seeds) - set(known):
        raise UserError(f"seeds {text}: the published curves have {', '.join(map(str, known))}")
    return seeds or list(known)


def _compare(recipe: Recipe, theirs: Curves | None, seeds: list[int], early: bool, output: Path) -> bool:
    side = Ours(recipe)
    say = partial(print, flush=True)
    made_by, names = {"code": "this project", "machine": machine()}, [*side.loss_names]
    ours = Curves(recipe.system, recipe.steps, made_by, names, [])
    limits = {} if theirs else {"bits": bounds(recipe.height, recipe.width).entropy}
    for seed in seeds:
        ours.runs.append(train(recipe, side, seed, say, EARLY if early else recipe.steps))
        if not early:
            # after every seed, because each takes minutes
            write_curves(output / f"{recipe.system}.json", ours, recipe)
            atomic_write(output / f"{recipe.system}.svg", draw(ours, theirs, limits).encode())
    if theirs:
        beside, verdicts = f"{theirs.made_by['code']} {theirs.made_by['commit'][:7]}", compare(ours, theirs)
    else:
        beside, verdicts = "closed forms", check(recipe, side.system.networks["glow"], ours)
    print(f"{recipe.system} beside {beside}, {recipe.steps} steps; {machine()}")
    verdicts = [v for v in verdicts if v.what == "early" or not early]
    for v in verdicts:
        distance = f"{abs(v.ours - v.theirs):.2e}"
        values = f"ours {v.ours:10.5g}  wanted {v.theirs:10.5g}  apart {distance}  allowed {v.allowed:.2e}"
        print(f"  {v.name:72} {values}  {'ok' if v.holds else 'FAIL'}")
    if theirs:
        steps = " ".join(f"{x:.0e}" for x in drift(ours, theirs))
        print(f"  largest relative difference of each early step: {steps}")
    if not early:
        print(f"written to {output}/{recipe.system}.json and .svg")
    return all(v.holds for v in verdicts)


if __name__ == "__main__":
    run_command(main)
