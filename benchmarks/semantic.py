"""CycleGAN's semantic branch where it is needed: A has sky where B has trees. Does sky become vegetation?

    python benchmarks/semantic.py [--work results/semantic] [--ways none,joint,frozen] [--seeds 0,1,2] [--scenes 300]
        [--test 100] [--judge_steps 500] [--key value ...]

Trains every way of ``--semantic`` on ``--scenes`` streets of each domain with every seed. A judge, a network that none
of them has seen, says what ``--test`` other streets of A show after their translation. frozen takes the segmenter of
the run with joint and the next seed. Further options are those of train.py and hold for every run. All files are in
``--work``: scenes, runs, translations, ``semantic.json``, the table ``semantic.md`` and the image ``semantic.png``.
Started again with the same options, it goes on where it stopped.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)

from benchmarks.own_options import read_own, training_config
from benchmarks.skies.scenes import SIZE, TEST, make_data, make_mixture, read_part
from benchmarks.work_folder import claim, count_of, keep_weights, read_json, write_json
from src.imaging.images import read_image, write_png
from src.options.config import Config
from src.systems.registry import find_system
from src.utils.errors import UserError, run_command
from src.utils.files import atomic_write
from src.utils.runtime import start

WAYS = ("none", "joint", "frozen")
_OWN = {
    "work": "results/semantic",
    "ways": ",".join(WAYS),
    "seeds": "0,1,2",
    "scenes": "300",
    "test": "100",
    "judge_steps": "500",
}
# minutes a run on one core; the discriminators are slow so that they do not win at once
_SMALL = {
    "load_size": str(SIZE),
    "fine_size": str(SIZE),
    "batch_size": "1",
    "ngf": "8",
    "ndf": "8",
    "semantic_width": "16",
    "lr": "0.0005",
    "lr_D": "0.0001",
    "niter": "1",
    "niter_decay": "1",
}
_COLUMNS = {
    "sky_kept": "sky kept",
    "sky_to_vegetation": "sky to vegetation",
    "vegetation_kept": "vegetation kept",
    "miou": "mIoU",
    "style": "distance to the style of B",
    "layout": "layout kept",
}
#: columns in which every seed is shown
_EACH = ("sky_kept", "sky_to_vegetation")
_SHOWN = 8
#: streets of each kind that the judge learns from, unless its steps are too few to see them
_MIXTURE = 200


def main(argv: list[str]) -> int:
    """Train and measure every run, and write the table after each."""
    own, options = read_own(argv, _OWN, __doc__)
    counts = {key: count_of(key, own[key], _OWN[key]) for key in ("scenes", "test", "judge_steps")}
    ways, seeds = _ways(own["ways"]), _seeds(own["seeds"])
    work = Path(own["work"]).resolve()
    configs = {run: _config(*run, seeds, work, options) for run in _order(ways, seeds)}
    claim(work, {**counts, "options": options})
    make_data(work / "data", counts["scenes"], counts["test"])
    return _run(configs, work, counts["judge_steps"])


def _run(configs: dict[tuple[str, int], Config], work: Path, judge_steps: int) -> int:
    from benchmarks.skies.measure import measure
    from src.systems.loading import load
    from src.training.loop import train

    first = next(iter(configs.values()))
    source, target = (read_part(work / "data" / domain, TEST) for domain in "AB")
    judge = _judge(first, work, judge_steps)
    results = work / "results"
    if not (results / "B.json").is_file():
        for name, (images, labels) in (("A", source), ("B", target)):
            _keep(work, name, images, measure(judge, images, images, labels, target[0]))
    for (way, seed), config in configs.items():
        name = f"{way}_{seed}"
        if (results / f"{name}.json").is_file():
            continue
        status = train(find_system(config.model).load(), config)
        if status:
            return status
        # operator by operator: to compile a generator takes longer than to run it
        given = {key: config[key] for key in ("device_target", "device_id", "conv_precision")}
        model = load(Path(config.save_ckpt_dir) / config.name, mode="pynative", **given)
        made = np.stack(model.translate(list(source[0]), "A2B", batch_size=10))
        _keep(work, name, made, measure(judge, made, *source, target[0]))
        write_table(work)
    print(write_table(work))
    return 0


def _keep(work: Path, name: str, images: np.ndarray, numbers: dict[str, float]) -> None:
    write_png(work / "images" / f"{name}.png", np.concatenate(list(images[:_SHOWN]), 1))
    write_json(work / "results" / f"{name}.json", numbers)
    print(f"{name}: {json.dumps(numbers)}", flush=True)


def write_table(work: Path) -> str:
    """Write ``semantic.json``, ``semantic.md`` and ``semantic.png`` of all results there are, and return the table.

    The image has a row for A, for each way with its first seed, and for B.
    """
    results = {path.stem: read_json(path) for path in sorted((work / "results").glob("*.json"))}
    write_json(work / "semantic.json", {**read_json(work / "options.json"), "results": results})
    lines, shown = [f"| | {' | '.join(_COLUMNS.values())} |", "|---" * (len(_COLUMNS) + 1) + "|"], []
    for name in ("A", *WAYS, "B"):
        runs = [run for run in results if run.rpartition("_")[0] == name] or [name]
        title = f"`--semantic {name}`" if name in WAYS else f"{name} as it is"
        if runs[0] in results:
            lines.append(_line(title, [results[run] for run in runs]))
            shown.append(read_image(work / "images" / f"{runs[0]}.png"))
    write_png(work / "semantic.png", np.concatenate(shown))
    text = "\n".join(lines) + "\n"
    atomic_write(work / "semantic.md", text.encode())
    return text


def _line(title: str, rows: list[dict[str, Any]]) -> str:
    """Means over the seeds, and where there are several each seed's share of the sky."""
    cells = []
    for key in _COLUMNS:
        values = [row[key] for row in rows]
        mean = f"{np.mean(values):.{4 if key == 'style' else 2}f}"
        cells.append(f"{', '.join(f'{v:.2f}' for v in values)}: {mean}" if key in _EACH and len(rows) > 1 else mean)
    return f"| {title} | {' | '.join(cells)} |"


def _ways(text: str) -> list[str]:
    ways = text.split(",")
    unknown = [way for way in ways if way not in WAYS]
    if unknown:
        raise UserError(f"ways {', '.join(unknown)}: known are {', '.join(WAYS)}")
    if "frozen" in ways and "joint" not in ways:
        raise UserError(f"ways {text}: frozen takes the segmenter of a run with joint, so pass --ways {text},joint")
    return ways


def _order(ways: list[str], seeds: list[int]) -> list[tuple[str, int]]:
    """All runs seed by seed, frozen behind the run that has its segmenter."""
    runs = []
    for before, seed in zip([None, *seeds], seeds, strict=False):
        runs += [("none", seed), ("joint", seed), ("frozen", before)]
    return [(way, seed) for way, seed in [*runs, ("frozen", seeds[-1])] if way in ways and seed is not None]


def _seeds(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.isdigit() for word in words) or len(set(words)) < len(words):
        raise UserError(f"seeds {text} are not different whole numbers, such as {_OWN['seeds']}")
    return [int(word) for word in words]


def _config(way: str, seed: int, seeds: list[int], work: Path, options: dict[str, str]) -> Config:
    """The options of one training, which goes on from its newest checkpoint."""
    data, runs = work / "data", work / "checkpoints"
    own = {
        "config_path": ROOT / "configs" / "cyclegan_streets.yaml",
        "source_root": data / "A" / "{phase}_img",
        "target_root": data / "B" / "{phase}_img",
        "label_root": data / "A" / "{phase}_label",
        "save_ckpt_dir": runs,
        "continue_train": True,
        "no_html": True,
        "semantic": way,
        "seed": seed,
        "name": f"{way}_{seed}",
    }
    config = training_config(_SMALL | options, own, "--work, --ways and --seeds")
    if way != "frozen":
        return config
    teacher = runs / f"joint_{seeds[(seeds.index(seed) + 1) % len(seeds)]}"
    weights = teacher / f"{config.niter + config.niter_decay}_net_S.safetensors"
    return config.replace(semantic_weights=str(weights))


def _judge(config: Config, work: Path, steps: int) -> Any:
    """The judge, trained for ``steps`` unless ``work`` has its weights."""
    from benchmarks.skies.judge import Judge, train

    start(config, lambda _: None)
    network = Judge()

    def learn() -> None:
        parts = [read_part(folder, "train") for folder in make_mixture(work / "mixture", min(_MIXTURE, 3 * steps))]
        images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        train(network, images, labels, steps)

    keep_weights(network, work / "judge.safetensors", learn)
    return network


if __name__ == "__main__":
    run_command(main)
