"""Invert: one learned factor that turns a ramp into its negative, with data, calls, task and studio of its own."""

__all__ = ["INVERT", "RAMPS_OWNER"]

from pathlib import Path

from ...contracts.description import Description
from ...dataset.owners import RECORDS
from ...options.owner import Owner
from ..shared import own

RAMPS_OWNER = Owner("ramps", Path(__file__).with_name("ramps.yaml"))
INVERT = Description(
    "invert",
    (RECORDS, RAMPS_OWNER, *own("Invert", Path(__file__).parent, eval="eval_options.yaml")),
    __name__,
    "system:Invert",
)
