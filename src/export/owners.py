"""Owner of the export options; importing this reads no file."""

__all__ = ["EXPORTING"]

from pathlib import Path

from ..options.owner import Owner

EXPORTING = Owner("export.py", Path(__file__).with_name("options.yaml"), programs=("export",), from_command=True)
