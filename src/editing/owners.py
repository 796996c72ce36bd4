"""Owner of the editor's options; importing this reads no file."""

__all__ = ["EDITING"]

from pathlib import Path

from ..options.owner import Owner

EDITING = Owner("editor", Path(__file__).with_name("options.yaml"), programs=("edit",), from_command=True)
