"""Write a trained run's networks to ONNX or MINDIR files: ``python export.py --name NAME [--key value ...]``."""

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
from src.systems.programs import EXPORT, read_command
from src.utils.errors import run_command


def main(argv: list[str]) -> int:
    """Export what the options name."""
    description, config = read_command(EXPORT, argv)
    from src.export.command import export

    return export(description.load(), config)


if __name__ == "__main__":
    run_command(main)
