"""Owner of the options of this room; importing this reads nothing."""

__all__ = ["TRAINING"]

from pathlib import Path

from ..options.owner import Owner

TRAINING = Owner("train.py", Path(__file__).with_name("options.yaml"), programs=("train",))
