"""Whether instance features do what they promise: distinct styles, one meaning a number, colours that come back.

    python benchmarks/instance_features.py [--work results/instance_features] [--scenes 192] [--held_out 40]
        [--n_clusters 10] [--draws 5] [--key value ...]

Makes ``--scenes`` street scenes whose cars have any colour, and ``--held_out`` others. Trains the networks of the
quick start on them, with features and without. Clusters the training scenes' features to ``--n_clusters`` styles a
class, as precompute_feature_maps.py does. Draws every held-out street that has large cars in each style of cars, in the
styles of its photo, in ``--draws`` draws of random styles, and without features, and measures the colours of the cars.
Further options are those of train.py and hold for both runs. All files are in ``--work``: scenes, runs,
``instance_features.json``, the table ``instance_features.md`` and the picture ``instance_features.jpg``. Started again
with the same options, it goes on where it stopped. The exit status is 1 if a bound of the table does not hold.
"""

import shutil
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)

from benchmarks.own_options import read_own, training_config
from benchmarks.train_step import machine
from benchmarks.work_folder import claim, count_of, write_json
from src.options.config import Config
from src.scenes.scenes import write_scenes
from src.systems.programs import PRECOMPUTE, read_command
from src.systems.registry import find_system
from src.utils.errors import UserError, run_command
from src.utils.files import atomic_write

_OWN = {"work": "results/instance_features", "scenes": "192", "held_out": "40", "n_clusters": "10", "draws": "5"}
# what can be compared: two styles, and two scenes that have each
_LEAST = {"scenes": 2, "held_out": 2, "n_clusters": 2, "draws": 1}
_LOOK = {"width": 256, "height": 128, "style": "colourful"}
_RUNS = {"features": True, "plain": False}
#: figures that are promised, and their least values
BOUNDS = {"ratio": 2.0, "own_share": 0.5, "gain_sampled": 0.3, "gain_plain": 0.15}
# streets and styles in the picture
_ROWS, _COLUMNS = 4, 5


def main(argv: list[str]) -> int:
    """Make, train, cluster, draw and measure; the status is 1 if a bound does not hold."""
    own, options = read_own(argv, _OWN, __doc__)
    counts = {key: count_of(key, own[key], _OWN[key], least) for key, least in _LEAST.items()}
    work = Path(own["work"]).resolve()
    configs = {name: _config(name, work, options) for name in _RUNS}
    claim(work, {**counts, "options": options})
    _make_scenes(work / "scenes", counts["scenes"], counts["held_out"])
    _check_cars(configs["features"])
    status = _train(configs, counts["n_clusters"])
    return status or _measure(configs, work, counts["draws"])


def _config(name: str, work: Path, options: dict[str, str]) -> Config:
    """The options of a run's training, which goes on from its newest checkpoint."""
    own = {
        "config_path": ROOT / "configs" / "pix2pixhd_streets_feat.yaml",
        "name": name,
        "instance_feat": _RUNS[name],
        "data_root": work / "scenes",
        "save_ckpt_dir": work / "checkpoints",
        "continue_train": True,
    }
    return training_config(options, own, "--work")


def _make_scenes(folder: Path, train: int, test: int) -> None:
    """Write the scenes of both phases, unless they are there; a folder with its final name is complete."""
    if folder.is_dir():
        return
    begun = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(begun, ignore_errors=True)
    for phase, count in (("train", train), ("test", test)):
        write_scenes(begun, phase, count, **_LOOK)
    begun.rename(folder)


def _train(configs: dict[str, Config], n_clusters: int) -> int:
    from src.evaluation.command import precompute
    from src.training.loop import train

    for config in configs.values():
        status = train(find_system(config.model).load(), config)
        if status:
            return status
    config = configs["features"]
    words = {"load_ckpt": _folder(config), "only_clusters": True, "n_clusters": n_clusters} | _given(config)
    description, command = read_command(PRECOMPUTE, [f"--{key}={value}" for key, value in words.items()])
    return precompute(description.load(), command)


def _folder(config: Config) -> Path:
    return Path(config.save_ckpt_dir) / config.name


def _given(config: Config) -> dict[str, Any]:
    """The options of a training that hold for what is done with its run, too."""
    return {key: config[key] for key in ("data_root", "device_target", "device_id", "mode", "conv_precision")}


def _check_cars(config: Config) -> None:
    """Raise ``UserError`` before anything is trained, if there are no two styles or no two streets to compare."""
    from benchmarks.instances.streets import read_streets

    for phase, option in (("train", "scenes"), ("test", "held_out")):
        found = sum(1 for _ in islice(read_streets(config, phase), 2))
        if found < 2:
            raise UserError(
                f"{found} of the {phase} scenes has a car that covers more than 1/64 of it, and at least 2 are needed: "
                f"pass a larger --{option} and another --work"
            )


def _measure(configs: dict[str, Config], work: Path, draws: int) -> int:
    from benchmarks.instances.numbers import figures
    from benchmarks.instances.picture import compose
    from benchmarks.instances.streets import CAR, read_streets, view
    from src.metrics.report import with_arithmetic
    from src.systems.loading import load

    model, plain = (load(_folder(config), **_given(config)) for config in configs.values())
    streets = list(read_streets(configs["features"], "test"))
    views = view(model, plain, streets, draws)
    facts = figures(streets, views)
    facts |= {"bounds": BOUNDS, "checkpoint": model.tag, "machine": machine()}
    write_json(work / "instance_features.json", with_arithmetic(facts))
    text = table(facts)
    atomic_write(work / "instance_features.md", text.encode())
    largest = sorted(range(len(streets)), key=lambda i: -streets[i].large_area)[:_ROWS]
    shown = np.unique(np.linspace(0, len(model.styles(CAR)) - 1, _COLUMNS).astype(int))
    rows = [[*(views.styles[i][k] for k in shown), views.encoded[i], streets[i].photo] for i in largest]
    titles = [*(f"style {k}" for k in shown), "encoded", "photo"]
    atomic_write(work / "instance_features.jpg", compose(titles, rows))
    print(text)
    return 0 if all(facts[key] >= least for key, least in BOUNDS.items()) else 1


def table(facts: dict[str, Any]) -> str:
    """The figures as Markdown, with the bounds and which of them do not hold."""

    def row(text: str, value: str, key: str = "", unit: str = "") -> str:
        bound = (
            "" if not key else f"at least {BOUNDS[key]:{unit}}" + ("" if facts[key] >= BOUNDS[key] else ", **not met**")
        )
        return f"| {text} | {value} | {bound} |"

    def spread(key: str) -> str:
        return f"{facts[key]:.1f} ± {facts[f'{key}_spread']:.1f}"

    lines = [
        "| | measured | bound |",
        "|---|---|---|",
        row("variance of car colour, between styles / within a style", f"{facts['ratio']:.2f}", "ratio", ".1f"),
        row("the same as an F statistic", f"{facts['f']:.0f}"),
        row(
            f"drawings nearest to the colour of their own style (chance {facts['chance']:.0%})",
            f"{facts['own_share']:.0%}",
            "own_share",
            ".0%",
        ),
        row("error of car colour, encoded", spread("encoded")),
        row("error, random styles", spread("sampled")),
        row("error, without features", spread("plain")),
        row("encoded better than random styles by", spread("margin_sampled")),
        row("that is, of their error", f"{facts['gain_sampled']:.0%}", "gain_sampled", ".0%"),
        row("encoded better than without features by", spread("margin_plain")),
        row("that is, of its error", f"{facts['gain_plain']:.0%}", "gain_plain", ".0%"),
    ]
    lines.append(
        f"\n{facts['scenes']} held-out streets with {facts['cars']} large cars, {facts['styles']} styles. Errors are "
        "distances of mean colours in RGB of 0 to 255, mean ± standard deviation over cars; the standard errors of "
        f"the margins are {facts['margin_sampled_standard_error']:.1f} and "
        f"{facts['margin_plain_standard_error']:.1f}. {facts['machine']}."
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_command(main)
