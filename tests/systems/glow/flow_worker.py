"""What one worker does in the test of distributed flows: the training loop itself, and then its state to a file.

``flow_worker.py OUT OPTION...`` trains as train.py does and writes ``OUT/worker{rank}.npz``: weights and moments at the
end, under ``own.`` the weights right after this worker's own data-dependent initialisation, and how often that ran.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
import numpy as np

from src.models.parameters import state_arrays
from src.systems.programs import load_config
from src.training.loop import _Trainer
from src.training.state import collect_state
from src.utils.errors import run_command
from src.utils.runtime import start
from tests.running import system_of


def main(argv: list[str]) -> int:
    """Train as a worker, or alone, and write down where that led."""
    out, config = Path(argv[0]), load_config(argv[1:])
    device = start(config, join=config.run_distribute)
    trainer = _Trainer(system_of(config), config, device, Path(config.save_ckpt_dir) / config.name)
    system, objective, own = trainer.system, trainer.objective, []
    initialise = objective.initialise

    def watched(batch):
        initialise(batch)
        own.append(_weights(system))

    objective.initialise = watched
    status = trainer.run()
    arrays = {f"own.{name}": value for name, value in own[0].items()}
    arrays |= {f"end.{name}": value for name, value in _weights(system).items()}
    arrays |= collect_state(objective, trainer.step)
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
