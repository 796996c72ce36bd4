"""Guards that stop a run early: signals, and losses or gradients that are not finite."""

__all__ = ["FiniteWatch", "StopRequest"]

import json
import math
import os
import signal
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..utils.errors import UserError
from ..utils.files import atomic_write

if TYPE_CHECKING:
    from mindspore import Tensor

#: steps in a row without a finite gradient after which a run stops
MAX_BAD_STEPS = 10


class StopRequest:
    """Turns SIGTERM and Ctrl-C into a flag that the loop reads between steps; a second signal stops at once.

    Workers of a distributed run are asked through a file instead, which MINDI2I_STOP_FILE names: their launcher has no
    way to pass a signal on.
    """

    def __init__(self) -> None:
        self.number = 0
        self._file = os.environ.get("MINDI2I_STOP_FILE", "")
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __bool__(self) -> bool:
        return self.number > 0 or (bool(self._file) and os.path.exists(self._file))

    def _receive(self, number: int, frame: object) -> None:
        if self.number:
            signal.signal(number, signal.default_int_handler)
            raise KeyboardInterrupt
        self.number = number


class FiniteWatch:
    """Remembers the last steps and stops the run when ten in a row had no finite gradient.

    The device skips such steps by itself and counts them; the host reads the count at least every ten steps, and after
    some bad ones exactly when the tenth could have happened.
    """

    def __init__(self, folder: Path, loss_names: tuple[str, ...], group_names: tuple[str, ...]):
        self.folder, self.loss_names, self.group_names = folder, loss_names, group_names
        self._recent: deque[dict] = deque(maxlen=MAX_BAD_STEPS)
        self._next = 0

    def remember(self, step: int, samples: list[str], losses: "Tensor", norms: "Tensor") -> None:
        """Keep what a dump needs; ``losses`` and ``norms`` stay on the device."""
        self._recent.append({"step": step, "samples": samples, "losses": losses, "norms": norms})

    def is_due(self, done: int) -> bool:
        """Whether the count must be read after step ``done``."""
        return done >= self._next

    def check(self, bad_steps: int, loss_scale: float, done: int, writes: bool) -> None:
        """Stop the run at ten bad steps in a row; ``bad_steps`` is the device's count after step ``done``.

        Raises:
            UserError: there were ten; the message names the dump and the terms that are not finite.
        """
        self._next = done + MAX_BAD_STEPS - bad_steps
        if bad_steps < MAX_BAD_STEPS:
            return
        steps = []
        for entry in self._recent:
            losses = dict(zip(self.loss_names, (float(x) for x in entry["losses"].asnumpy()), strict=True))
            norms = dict(zip(self.group_names, (float(x) for x in entry["norms"].asnumpy()), strict=True))
            steps.append({**entry, "losses": losses, "norms": norms})
        last = steps[-1]
        terms = [name for name, value in {**last["losses"], **last["norms"]}.items() if not math.isfinite(value)]
        path = self.folder / f"not_finite_step_{last['step']}.json"
        if writes:
            # JSON has no NaN: as text the file stays readable everywhere
            text = json.dumps({"loss_scale": loss_scale, "steps": _printable(steps)}, indent=1)
            atomic_write(path, text.encode())
        raise UserError(
            f"{bad_steps} steps in a row had no finite gradient (not finite: {', '.join(terms) or 'a gradient'}). "
            f"The weights are those from before. {path} lists the samples, losses and norms. Look at those "
            "samples, lower --lr, or use --clip_norm 1; with fp16 use --dynamic_loss_scale True."
        )


def _printable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
