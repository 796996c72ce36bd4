"""Ramps: files of arrays (H, W) in [-1, 1]."""

__all__ = ["RAMPS", "RampsRequest"]

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...dataset.folders import Row
from ...dataset.kind import DataKind
from ...dataset.opening import open_pipeline
from ...dataset.owners import RECORDS
from ...dataset.reader import Reader
from ...dataset.report import Report
from ...utils.errors import UserError
from . import RAMPS_OWNER


@dataclass(frozen=True)
class RampsRequest:
    """Height and width of every ramp."""

    size: tuple[int, int]


class RampReader(Reader):
    """Reads ``ramp``, float32 (1, H, W)."""

    kind = "ramps"
    stored = columns = ("ramp",)

    def __init__(self, request, options, phase):
        self.phase = phase
        files = sorted(Path(options.data_root).glob("*.npy"))
        if not files:
            raise UserError(f"{options.data_root} holds no .npy files")
        self.rows = [Row(file.stem, {"ramp": file}) for file in files]
        self.scale = options.ramp_scale
        self.settings = {"scale": self.scale, "size": list(request.size)}

    def load(self, index):
        ramp = np.load(self.rows[index].files["ramp"], allow_pickle=False)
        return {"ramp": np.uint8(np.rint((ramp + 1) * 127.5))}

    def final_size(self, arrays):
        return arrays["ramp"].shape[:2]

    def sample(self, arrays, rng):
        return {"ramp": self.scale * (arrays["ramp"].astype(np.float32)[None] / 127.5 - 1)}


def _open(request, options, phase, rank, world, training):
    return open_pipeline(RampReader(request, options, phase), options, rank, world, training)


def _examine(request, options, phase):
    return Report(facts=[("ramps", str(len(RampReader(request, options, phase).rows)))])


RAMPS = DataKind(
    "ramps",
    (RECORDS, RAMPS_OWNER),
    RampsRequest,
    _open,
    _examine,
    lambda request, options, phase: len(RampReader(request, options, phase).rows),
    lambda request, options: request.size,
    lambda request, count, size, training: {"ramp": np.zeros((count, 1, *size), np.float32)},
)
