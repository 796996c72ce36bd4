"""What one worker of the report does; some of it run under msrun, and one alone for comparison.

``tiny_training.py OUT STEPS OPTION...`` trains for STEPS steps and writes ``OUT/worker{rank}.npz``: parameters, Adam's
moments, and the losses and norms of the last step.
"""

import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
import numpy as np
from mindspore import Tensor

from src.systems.pix2pixhd.system import Pix2PixHD
from src.training.distribution import Workers
from src.training.state import trained_parameters
from src.training.steps import StepOptions, TrainStep
from src.systems.programs import load_config
from src.utils.errors import run_command
from src.utils.runtime import start
from tests.running import open_data, trained_arrays


def main(argv: list[str]) -> None:
    """Train, and write down where that led."""
    out, steps, config = Path(argv[0]), int(argv[1]), load_config(argv[2:])
    device = start(config, join=config.run_distribute)
    data = open_data(config, "train", device.rank, device.world)
    # other weights on every worker: sharing has to make them equal
    system = Pix2PixHD(config.replace(seed=config.seed + device.rank))
    system.set_train(True)
    objective = system.objective(data.size)
    groups = objective.groups(1)
    step = TrainStep(objective.gradients(groups), groups, StepOptions(world=device.world))
    Workers(device).share(trained_parameters(system, objective, step))
    batches = (batch for _, batches in data.epochs(1 + steps // data.steps_per_epoch) for batch in batches)
    for done, batch in enumerate(itertools.islice(batches, steps)):
        losses, norms, _ = step(*map(Tensor, objective.inputs(batch, done)))
    results = trained_arrays(system, step) | {"losses": losses.asnumpy(), "norms": norms.asnumpy()}
    np.savez(out / f"worker{device.rank}.npz", **results)


if __name__ == "__main__":
    run_command(main)
