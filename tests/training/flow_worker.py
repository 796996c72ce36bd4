"""What one worker does in the test of distributed flows: the training loop itself, and then its state to a file.

``flow_worker.py OUT OPTION...`` trains as train.py does and writes ``OUT/worker{rank}.npz``: weights and moments at the
end, under ``own.`` the weights right after this worker's own data-dependent initialisation, and how often that ran.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
import numpy as np

from src.dataset import open_dataset
from src.models.registry import system_class
from src.models.state import state_arrays
from src.training.loop import _Trainer
from src.training.runstate import collect_state
from src.utils.config import load_config
from src.utils.errors import run_command
from src.utils.runtime import start


def main(argv: list[str]) -> int:
    """Train as a worker, or alone, and write down where that led."""
    out, config = Path(argv[0]), load_config(argv[1:])
    device = start(config)
    data = open_dataset(system_class(config.model).dataset, config, "train", device.rank, device.world)
    trainer = _Trainer(config, device, Path(config.save_ckpt_dir) / config.name, data)
    system, own = trainer.system, []
    initialise = system.initialise

    def watched(batch):
        initialise(batch)
        own.append(_weights(system))

    system.initialise = watched
    status = trainer.run()
    arrays = {f"own.{name}": value for name, value in own[0].items()}
    arrays |= {f"end.{name}": value for name, value in _weights(system).items()}
    arrays |= collect_state(system, trainer.step)
    np.savez(out / f"worker{device.rank}.npz", initialisations=len(own), **arrays)
    return status


def _weights(system) -> dict[str, np.ndarray]:
    """By structural name, which the network's name leads where there are several."""
    several = len(system.networks) > 1
    return {
        f"{network}.{name}" if several else name: value
        for network, cell in system.networks.items()
        for name, value in state_arrays(cell).items()
    }


if __name__ == "__main__":
    run_command(main)
