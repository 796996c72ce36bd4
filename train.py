"""Train a system: ``python train.py --name NAME [--config_path configs/X.yaml] [--key value ...]``, or ``--help``."""

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
from src.utils.config import load_config
from src.utils.errors import run_command


def main(argv: list[str]) -> int:
    """Check the data, or train."""
    config = load_config(argv)
    if config.check_data:
        from src.dataset.check import check_data

        return 1 if check_data(config) else 0
    from src.training.loop import train

    return train(config)


if __name__ == "__main__":
    run_command(main)
