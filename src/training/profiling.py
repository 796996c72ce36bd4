"""``--profile_steps FIRST:LAST``: some steps of a run under MindSpore's profiler."""

__all__ = ["StepProfiler", "read_span"]

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mindspore as ms

from ..utils.errors import UserError
from ..utils.runtime import Device


def read_span(text: str) -> tuple[int, int] | None:
    """First and last step to record, counted from 1; None if ``text`` is empty.

    Raises:
        UserError: the text is not FIRST:LAST with 1 <= FIRST <= LAST.
    """
    if not text:
        return None
    match = re.fullmatch(r"(\d{1,12}):(\d{1,12})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(f"profile_steps {text!r} is not FIRST:LAST with 1 <= FIRST <= LAST, such as 100:120")
    return int(match[1]), int(match[2])


class StepProfiler:
    """Records the steps of a span; the trace lies in ``folder/profile`` and opens in MindStudio Insight.

    It is the ``trace_view.json`` of the folder that ends with ``_ascend_ms``; Perfetto opens it, too.
    """

    def __init__(
        self, text: str, first_step: int, total: int, folder: Path, device: Device, say: Callable[[str], None]
    ):
        """Prepare to record the span ``text`` of a run that goes on after ``first_step`` of ``total`` steps.

        The first worker alone records, since it alone writes files.

        Raises:
            UserError: the run does not take all steps of the span.
        """
        self._span, self._folder, self._target, self._say = read_span(text), folder / "profile", device.target, say
        if self._span and not first_step < self._span[0] <= self._span[1] <= total:
            steps = f"{first_step + 1} to {total}"
            raise UserError(f"profile_steps {text} is beyond this run, which takes steps {steps}: choose from these")
        if device.rank:
            self._span = None
        self._profile: Any = None

    def before(self, step: int) -> None:
        """Start to record if ``step`` is the first of the span."""
        if not self._span or step != self._span[0]:
            return
        from mindspore.profiler import ProfilerActivity, profile, schedule, tensorboard_trace_handler

        device = {"Ascend": [ProfilerActivity.NPU], "GPU": [ProfilerActivity.GPU]}.get(self._target, [])
        self._profile = profile(
            activities=[ProfilerActivity.CPU, *device],
            schedule=schedule(wait=0, warmup=0, active=self._span[1] - self._span[0] + 1, repeat=1),
            on_trace_ready=tensorboard_trace_handler(str(self._folder), "steps_{}_{}".format(*self._span)),
        )
        self._profile.start()

    def after(self, step: int) -> None:
        """End the record of ``step``; after the last one the trace is written."""
        if self._profile is None:
            return
        # kernels run behind Python: those of this step belong to it
        ms.runtime.synchronize()
        self._profile.step()
        if self._span and step == self._span[1]:
            self._profile = None
            self._say("steps {} to {} are recorded in {}".format(*self._span, self._folder))

    def close(self) -> None:
        """Write what there is if the run ends inside the span."""
        if self._profile is not None:
            self._profile.stop()
            self._profile = None
            self._say(f"the run ended inside profile_steps; what was recorded is in {self._folder}")
