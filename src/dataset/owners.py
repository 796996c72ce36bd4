"""Owners of the options of each kind of data; importing this reads no file."""

__all__ = ["CHANNELS", "CONDITIONAL", "CROPPING", "FLIPS", "IMAGES", "LABELS", "PAIRED", "RECORDS", "UNPAIRED"]

from pathlib import Path

from ..options.owner import Owner

_FOLDER = Path(__file__).with_name("options")

LABELS = Owner("label maps", _FOLDER / "labels.yaml")
CHANNELS = Owner("images as inputs", _FOLDER / "channels.yaml")
FLIPS = Owner("mirroring", _FOLDER / "flips.yaml")
CROPPING = Owner("resizing and cropping", _FOLDER / "cropping.yaml")
RECORDS = Owner("records", _FOLDER / "records.yaml", programs=("train",), from_command=True)

#: owners of each kind of data, in the order of ``--help``
PAIRED = (RECORDS, CROPPING, FLIPS, Owner("paired data", _FOLDER / "paired.yaml"))
UNPAIRED = (
    RECORDS,
    CROPPING,
    FLIPS,
    Owner("unpaired data", _FOLDER / "unpaired.yaml"),
    Owner("unpaired data", _FOLDER / "unpaired_eval.yaml", programs=("eval", "export", "edit")),
)
CONDITIONAL = (RECORDS, LABELS, Owner("conditional data", _FOLDER / "conditional.yaml"))
IMAGES = (RECORDS, FLIPS, Owner("square images", _FOLDER / "images.yaml"))
