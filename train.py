"""Train a system: ``python train.py --name NAME [--config_path configs/X.yaml] [--key value ...]``, or ``--help``."""

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
from src.systems.programs import TRAIN, read_command
from src.utils.errors import run_command


def main(argv: list[str]) -> int:
    """Check the data, or train."""
    description, config = read_command(TRAIN, argv)
    system = description.load()
    if config.check_data:
        return system.data.report(system.request(config, True), config)
    from src.training.loop import train

    return train(system, config)


if __name__ == "__main__":
    run_command(main)
