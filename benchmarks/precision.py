"""What hf32 costs: every system's reference quantities with inputs and weights of convolutions rounded to 11 bits.

``python benchmarks/precision.py [--bits 11] [--folders FOLDER,FOLDER] [--output results/precision.json]``

Each folder of ``tests/reference`` is compared with its published numbers twice, operator by operator on the CPU: as it
is, and with every input and weight of a convolution rounded to the nearest number with that many bits behind the
leading one (HF32 has 11, TF32 10). Gradients pass the rounding unchanged: convolutions of the backward pass take
rounded inputs and weights, but not rounded gradients. Products are summed in float32, as devices do. Lines show the
quantities that move most beyond their tolerance; the JSON file has all.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
import numpy as np

from benchmarks.own_options import read_own
from benchmarks.train_step import machine
from src.systems.programs import load_config
from src.utils.errors import UserError, run_command
from src.utils.files import atomic_write
from src.utils.runtime import start
from tests.reference_checks import Report, load_io, run_check

_OWN = {"bits": "11", "folders": "", "output": "results/precision.json"}
_SHOWN = 4


class Errors(Report):
    """Notes the largest error of every quantity, and that error as a multiple of the tolerance."""

    def __init__(self) -> None:
        super().__init__(lambda line: None)
        self.found: dict[str, tuple[float, float]] = {}

    def __call__(self, name: str, got: object, want: object, atol: float = 1e-4, rtol: float = 0.0) -> None:
        super().__call__(name, got, want, atol, rtol)
        got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
        if got.shape == want.shape and got.size:
            error = np.abs(got - want)
            # what should be 0 has no size to compare with
            scale = float(np.abs(want).max()) or 1.0
            limit = np.maximum(atol + rtol * np.abs(want), 1e-30)
            self.found[name] = (float(error.max()) / scale, float((error / limit).max()))


def rounded(x, bits: int):
    """A float32 tensor to the nearest values with ``bits`` bits behind the leading one (Dekker's splitting)."""
    from mindspore import ops

    scaled = x * float(2 ** (23 - bits) + 1)
    near = scaled - (scaled - x)
    # a straight-through gradient
    return x + ops.stop_gradient(near - x)


@contextmanager
def rounded_convolutions(bits: int) -> Iterator[None]:
    """Inside, every convolution that runs operator by operator takes rounded inputs and weights."""
    from mindspore import ops

    kinds = [type(ops.Conv2D(1, 1)), ops.Conv2DTranspose]
    before = [kind.__call__ for kind in kinds]

    def wrapped(call: Callable) -> Callable:
        def convolution(self, x, weight, *rest):
            return call(self, rounded(x, bits), rounded(weight, bits), *rest)

        return convolution

    try:
        for kind, call in zip(kinds, before, strict=True):
            kind.__call__ = wrapped(call)
        yield
    finally:
        for kind, call in zip(kinds, before, strict=True):
            kind.__call__ = call


def compare(folder: Path, bits: int) -> dict:
    """Errors of every quantity of a folder, exact and rounded: relative to its largest value, and to the tolerance."""
    results = []
    for _rounds in (False, True):
        report = Errors()
        if _rounds:
            with rounded_convolutions(bits):
                run_check(folder, report)
        else:
            run_check(folder, report)
        results.append(report.found)
    exact, hf32 = results
    return {
        "folder": folder.name,
        "system": load_io(folder)[0],
        "quantities": {
            name: {
                "exact": exact[name][0],
                "rounded": hf32[name][0],
                "exact_of_tolerance": exact[name][1],
                "rounded_of_tolerance": hf32[name][1],
            }
            for name in exact
        },
    }


def main(argv: list[str]) -> int:
    """Compare the folders, print a table and write the JSON file."""
    own, unknown = read_own(argv, _OWN, __doc__)
    if unknown:
        raise UserError(f"option {next(iter(unknown))} is unknown: {', '.join(_OWN)}")
    if not own["bits"].isdigit() or not 2 <= int(own["bits"]) <= 22:
        raise UserError(f"bits {own['bits']} is no number from 2 to 22: HF32 has 11, TF32 10")
    bits = int(own["bits"])
    known = sorted(path.parent for path in (ROOT / "tests" / "reference").glob("*/io.npz"))
    folders = [Path(folder) for folder in own["folders"].split(",") if folder] or known
    for folder in folders:
        load_io(folder)
    start(load_config(("--model", "pix2pixhd", "--mode", "pynative", "--device_target", "CPU")), lambda text: None)
    rows = []
    print(f"{machine()}; emulated on the CPU, {bits} bits; errors relative to the largest value of a quantity")
    print(f"{'folder':32} {'quantity':36} {'exact':>9} {'rounded':>9} {'x tolerance':>11}")
    for folder in folders:
        row = compare(folder, bits)
        rows.append(row)
        order = sorted(row["quantities"].items(), key=lambda item: -item[1]["rounded_of_tolerance"])
        for name, q in order[:_SHOWN]:
            print(
                f"{folder.name:32} {name:36} {q['exact']:9.1e} {q['rounded']:9.1e} {q['rounded_of_tolerance']:11.1f}",
                flush=True,
            )
    path = Path(own["output"])
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, json.dumps({"machine": machine(), "bits": bits, "sets": rows}, indent=1).encode())
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    run_command(main)
