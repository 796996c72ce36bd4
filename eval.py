"""Run a trained system on a data set: ``python eval.py --name NAME [--key value ...]``; ``--help``."""

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
from src.utils.config import load_config
from src.utils.errors import run_command


def main(argv: list[str]) -> int:
    """Translate the test set of a run, or run the task that the options name."""
    from src.evaluation.tasks import evaluate

    return evaluate(load_config(argv))


if __name__ == "__main__":
    run_command(main)
