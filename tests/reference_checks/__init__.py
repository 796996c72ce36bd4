"""Comparisons with numbers of the published implementations, one module for each system.

A module ``<system>.py`` has ``check(folder, io, options, report)``: ``folder`` holds the published weights,
``io`` the arrays of ``io.npz``, ``options`` the published configuration as text, and ``report`` is a
:class:`Report`.
"""

__all__ = ["Report", "known_systems", "load_io", "recipe_weights", "run_check"]

import importlib
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from src.utils.errors import UserError


class Report:
    """Collects verdicts; each call compares one quantity and prints one line.

    A value passes where ``|got - want| <= atol + rtol * |want|``; a quantity passes where all its values
    do. Another shape, NaN and a comparison of nothing fail.
    """

    def __init__(self, say: Callable[[str], None] = print):
        self.failures: list[str] = []
        self.count = 0
        self._say = say

    def __call__(self, name: str, got: object, want: object, atol: float = 1e-4, rtol: float = 0.0) -> None:
        got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
        if got.shape != want.shape:
            self._verdict(name, False, f"shape {got.shape} instead of {want.shape}")
        elif not got.size:
            self._verdict(name, False, "nothing to compare")
        else:
            error, limit = np.abs(got - want), atol + rtol * np.abs(want)
            passed = bool((error <= limit).all())
            # the value that comes closest to its limit, or passes it by most
            with np.errstate(divide="ignore", invalid="ignore"):
                share = np.where(error == 0, 0.0, error / limit)
            worst = np.unravel_index(np.argmax(np.where(np.isnan(share), np.inf, share)), share.shape)
            text = f"error {error[worst]:.2e}  tolerance {limit[worst]:.2e}"
            if rtol:
                text += f"  (of {want[worst]:.4g})"
            self._verdict(name, passed, text)

    def _verdict(self, name: str, passed: bool, text: str) -> None:
        self.count += 1
        if not passed:
            self.failures.append(name)
        self._say(f"  {name:<28} {text:<52} {'ok' if passed else 'FAIL'}")

    @property
    def passed(self) -> bool:
        """At least one quantity was compared and none failed."""
        return self.count > 0 and not self.failures

    def summary(self) -> str:
        """One line about all quantities."""
        if not self.count:
            return "nothing was compared: FAIL"
        if self.failures:
            return f"{len(self.failures)} of {self.count} quantities FAIL: {', '.join(self.failures)}"
        return f"all {self.count} quantities agree"


def known_systems() -> list[str]:
    """Names of the systems that a comparison exists for."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def load_io(folder: str | Path) -> tuple[str, str, dict[str, np.ndarray]]:
    """Return system, options and arrays of ``folder``.

    Raises:
        UserError: the folder or its ``io.npz`` is missing, incomplete or damaged.
    """
    path = Path(folder) / "io.npz"
    if not path.is_file():
        raise UserError(f"{path} does not exist: pass a folder with an io.npz and its .pth files")
    try:
        with np.load(path, allow_pickle=False) as archive:
            io = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged or no .npz file ({error}): copy it again") from error
    missing = [name for name in ("system", "options") if name not in io]
    if missing:
        raise UserError(f"{path} has no {' and no '.join(missing)}: it is no reference of a system")
    return str(io.pop("system")), str(io.pop("options")), io


def run_check(folder: str | Path, report: Report) -> None:
    """Compare everything in ``folder`` in the current mode of MindSpore.

    Raises:
        UserError: an unknown system, or a folder that is incomplete or damaged.
    """
    folder = Path(folder)
    system, options, io = load_io(folder)
    if not re.fullmatch(r"[a-z0-9_]+", system) or system not in known_systems():
        raise UserError(f"{folder}/io.npz is of the unknown system {system}: known are {', '.join(known_systems())}")
    if not list(folder.glob("*.pth")):
        raise UserError(f"{folder} holds no .pth file: copy the published weights there")
    module = importlib.import_module(f"tests.reference_checks.{system}")
    try:
        module.check(folder, io, options, report)
    except KeyError as error:
        raise UserError(f"{folder}/io.npz lacks the quantity {error}: copy the complete file") from error


def recipe_weights(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """Make the weights that the references were computed with where the published ones may not be shipped.

    ``shapes`` lists the parameters (``*weight`` and ``*bias``) in the order of definition. Weights are
    normal with deviation ``sqrt(2 / fan_in)``, biases with 0.01, drawn one after the other from one
    generator.
    """
    random = np.random.RandomState(seed)
    weights = {}
    for name, shape in shapes.items():
        values = random.standard_normal(tuple(shape))
        scale = 0.01 if name.endswith("bias") else np.sqrt(2.0 / np.prod(shape[1:]))
        weights[name] = (values * scale).astype(np.float32)
    return weights
