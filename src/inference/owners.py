"""Owner of the options of inference; importing this reads no file."""

__all__ = ["RUN"]

from pathlib import Path

from ..options.owner import Owner

RUN = Owner("trained run", Path(__file__).with_name("options.yaml"), from_command=True)
