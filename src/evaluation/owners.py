"""Owner of the evaluation options; importing this reads no file."""

__all__ = ["EVALUATION"]

from pathlib import Path

from ..options.owner import Owner

EVALUATION = Owner("eval.py", Path(__file__).with_name("options.yaml"), programs=("eval", "edit"), from_command=True)
