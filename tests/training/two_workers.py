"""Steps of every system on given batches: what each of two workers does in the test, and one alone for comparison.

``two_workers.py OUT OPTION...`` writes ``OUT/{system}_{mode}_{rank}.npz`` of every system, and ``OUT/data_{rank}.npz``:
the samples that the data of the options has for this worker, and one worker's wish that all hear of. There are two good
steps of each system, and a bad one between them, for which one worker gets images that are not numbers.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
import mindspore as ms
import numpy as np
from mindspore import Tensor

from src.options.config import Config
from src.systems.programs import load_config
from src.systems.registry import SYSTEMS, create_system
from src.training.distribution import Workers
from src.training.state import kept_parameters, trained_parameters
from src.training.steps import StepOptions, TrainStep
from src.utils.errors import run_command
from src.utils.runtime import start
from tests.running import open_data, trained_arrays

WORLD = 2
_FLOW = {"img_size": [10, 10], "n_block": 1, "n_flow": [1], "lr": 1e-3}
#: the smallest networks of each system; the image pool is filled, and swaps nothing, in as few steps
TINY = {
    "pix2pixHD": {
        "ngf": 2, "ndf": 2, "n_blocks_global": 1, "n_downsample_global": 1, "num_D": 1, "n_layers_D": 1, "label_nc": 4,
        "no_vgg_loss": True, "pool_size": 4, "instance_feat": True, "nef": 2, "n_downsample_E": 1, "max_instances": 8,
    },
    "fullglow": _FLOW | {"coupling_filters": 4},
    "cglow": _FLOW | {"img_size": [8, 16], "x_hidden_size": 4, "x_hidden_channels": 4, "y_hidden_channels": 4},
    "dualglow": _FLOW | {"coupling_filters": 4},
    "cyclegan": {"ngf": 2, "ndf": 2, "n_residual_blocks": 1, "pool_size": 4},
    "cut": {"ngf": 2, "ndf": 2, "n_residual_blocks": 1, "nce_layers": [0, 8, 12], "netF_nc": 4, "num_patches": 9},
    "hierarchyflow": {"out_channels": [6], "pad_size": 4, "vgg_pre_trained": "random:1"},
}  # fmt: skip


def config_of(name: str) -> Config:
    """The options of the tiny system ``name``."""
    words = [f"--{key}={value}" for key, value in TINY.get(name, {}).items()]
    if name != "hflow":
        return load_config([f"--model={name}", *words])
    # one level above the top
    config = load_config([], "configs/hflow_tiny.yaml")
    levels = len(config.resolutions)
    lists = {key: value for key, value in config.to_dict().items() if isinstance(value, list) and len(value) == levels}
    last = {key: value[-1:] for key, value in lists.items() if not key.startswith(("endblock_", "segmenter"))}
    return config.replace(**last | {"channels": [3], "num_layers": [1], "endblock_layers": [1, 1]})


def size_of(config: Config) -> tuple[int, int]:
    """Height and width of the images."""
    if "img_size" in config:
        return tuple(config.img_size)
    return {"cyclegan": (32, 32), "cut": (24, 24), "hflow": (8, 8)}.get(config.model, (16, 16))


def batch_of(config: Config, step: int, worker: int) -> dict[str, np.ndarray]:
    """One sample, another one for each worker and step, with what any system reads of it."""
    rng = np.random.default_rng([step, worker])
    height, width = size_of(config)
    names = ("image", "condition", "A", "B")
    images = {name: rng.uniform(-1, 1, (1, 3, height, width)).astype(np.float32) for name in names}
    maps = {name: rng.integers(0, 4, (1, 1, height, width)).astype(np.int32) for name in ("label", "inst")}
    return {**images, **maps, "id": np.array([WORLD * step + worker], np.int32)}


def run(name: str, mode: str, rank: int, world: int, workers: Workers | None = None) -> dict[str, np.ndarray]:
    """Train the tiny system; all that must be equal on all workers, by name, under ``step{k}.``.

    Alone, the samples of both workers are one batch. hflow's noise is scaled by the spread over a batch, so there they
    are two batches whose gradients are accumulated. In PyNative mode there is a loss scale, too.
    """
    ms.set_context(mode=ms.GRAPH_MODE if mode == "graph" else ms.PYNATIVE_MODE)
    config = config_of(name)
    # other weights on every worker: sharing has to make them equal; the noise of a sample is the same on all
    system = create_system(config.replace(seed=config.seed + rank))
    system.config = config
    system.set_train(True)
    first = batch_of(config, 0, rank)
    objective = system.objective(size_of(config))
    objective.initialise(first)
    groups = objective.groups(1)
    options = StepOptions(
        loss_scale=4.0 if mode == "pynative" else 1.0,
        accumulation=WORLD if name == "hflow" and world == 1 else 1,
        clip_norm=config.clip_norm,
        world=world,
        clip_jointly=objective.clips_jointly,
    )
    gradients, kept = objective.gradients(groups), (kept_parameters(system), tuple(objective.buffers.values()))
    step = TrainStep(gradients, groups, options, kept=kept)
    partial = TrainStep(gradients, groups, options, applies=False, sums=step.sums) if step.accumulates else None
    if workers:
        workers.share(trained_parameters(system, objective, step))

    def inputs(k: int, worker: int, broken: bool = False) -> list[np.ndarray]:
        batch = batch_of(config, k, worker)
        if broken:
            batch = {key: value * np.nan if value.dtype == np.float32 else value for key, value in batch.items()}
        return list(objective.inputs(batch, k))

    found: dict[str, np.ndarray] = {}

    def note(when: str, losses: Tensor, norms: Tensor) -> None:
        said = {"losses": losses, "norms": norms, "bad_steps": step.bad_steps}
        arrays = trained_arrays(system, step) | {key: np.array(value.asnumpy()) for key, value in said.items()}
        found.update({f"{when}.{key}": value for key, value in arrays.items()})

    for k in range(2):
        if world > 1:
            if k == 1:
                note("bad", *step(*map(Tensor, inputs(k, rank, broken=rank == 1)))[:2])
            note(f"step{k}", *step(*map(Tensor, inputs(k, rank)))[:2])
        elif partial:
            both = [inputs(k, worker) for worker in range(WORLD)]
            losses = [partial(*map(Tensor, both[0]))[0], None]
            losses[1], norms, _ = step(*map(Tensor, both[1]))
            note(f"step{k}", 0.5 * (losses[0] + losses[1]), norms)
        else:
            parts = zip(*(inputs(k, worker) for worker in range(WORLD)), strict=True)
            joint = [np.concatenate(part) if len(part[0]) == 1 and part[0].ndim > 1 else part[0] for part in parts]
            note(f"step{k}", *step(*map(Tensor, joint))[:2])
    return found


def main(argv: list[str]) -> None:
    """Read data, and train every system in both modes, as one worker."""
    out, config = Path(argv[0]), load_config(argv[1:])
    device = start(config, join=True)
    workers, rank = Workers(device), device.rank
    said = [workers.any(False), workers.any(rank == WORLD - 1)]
    data = open_data(config, "train", rank, WORLD)
    samples = [(epoch, *batch["id"]) for epoch, batches in data.epochs(2) for batch in batches]
    np.savez(out / f"data_{rank}.npz", samples=samples, said=said)
    for mode in ("pynative", "graph"):
        for name in SYSTEMS:
            np.savez(out / f"{name}_{mode}_{rank}.npz", **run(name, mode, rank, WORLD, workers))


if __name__ == "__main__":
    run_command(main)
