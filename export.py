"""Write a trained run's networks to ONNX or MINDIR files: ``python export.py --name NAME [--key value ...]``."""

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
from src.utils.config import load_config
from src.utils.errors import run_command


def main(argv: list[str]) -> int:
    """Export what the options name."""
    from src.evaluation.exporting import export

    return export(load_config(argv))


if __name__ == "__main__":
    run_command(main)
