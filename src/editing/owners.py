"""Owner of the options of this room; importing this reads nothing."""

__all__ = ["EDITING"]

from pathlib import Path

from ..options.owner import Owner

EDITING = Owner("editor", Path(__file__).with_name("options.yaml"), programs=("edit",), from_command=True)
