"""Owners of the options of metrics; importing this reads nothing."""

__all__ = ["INCEPTION", "METRICS"]

from pathlib import Path

from ..options.owner import Owner

INCEPTION = Owner("FID and KID", Path(__file__).with_name("inception.yaml"), programs=("train", "eval"))
METRICS = Owner("metrics", Path(__file__).with_name("options.yaml"), programs=("eval",), from_command=True)
