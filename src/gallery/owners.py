"""Owner of the gallery's options; importing this reads no file."""

__all__ = ["GALLERY"]

from pathlib import Path

from ..options.owner import Owner

GALLERY = Owner("gallery", Path(__file__).with_name("options.yaml"), programs=("train", "eval"), from_command=True)
