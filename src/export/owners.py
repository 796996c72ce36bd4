"""Owner of the options of this room; importing this reads nothing."""

__all__ = ["EXPORTING"]

from pathlib import Path

from ..options.owner import Owner

EXPORTING = Owner("export.py", Path(__file__).with_name("options.yaml"), programs=("export",), from_command=True)
