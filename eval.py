"""Run a trained system on a data set: ``python eval.py --name NAME [--key value ...]``; ``--help``."""

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
from src.systems.programs import EVAL, read_command
from src.utils.errors import run_command


def main(argv: list[str]) -> int:
    """Translate the test set of a run, or run the task that the options name."""
    description, config = read_command(EVAL, argv)
    from src.evaluation.command import evaluate

    return evaluate(description.load(), config)


if __name__ == "__main__":
    run_command(main)
