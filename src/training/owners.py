"""Owner of the training options; importing this reads no file."""

__all__ = ["TRAINING"]

from pathlib import Path

from ..options.owner import Owner

TRAINING = Owner("train.py", Path(__file__).with_name("options.yaml"), programs=("train",))
