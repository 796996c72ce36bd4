"""TensorBoard events of a run."""

__all__ = ["Events"]

import os
import time
from collections.abc import Mapping
from pathlib import Path


class Events:
    """Writes each event to a folder at once; ``hidden_from`` hides the events of earlier files from that step on.

    The writer that tensorboardX recommends passes events to a thread through a bounded queue: when the disk is full the
    thread ends, the queue fills and training waits for ever. The synchronous writer raises instead.

    Raises:
        ImportError: tensorboardX is not installed.
        OSError: the file cannot be written.
    """

    def __init__(self, folder: Path, hidden_from: int | None):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.summary import scalar

        self._event, self._scalar = Event, scalar
        folder.mkdir(parents=True, exist_ok=True)
        # Files are named after the second they are opened in: the process id keeps a restart from reusing a name.
        self._writer = EventsWriter(str(folder / "events"), f".{os.getpid()}")
        if hidden_from is not None:
            start = SessionLog(status=SessionLog.START)
            self._writer.write_event(Event(wall_time=time.time(), step=hidden_from, session_log=start))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write the numbers of a step, by their tags."""
        now = time.time()
        for tag, value in values.items():
            self._writer.write_event(self._event(wall_time=now, step=step, summary=self._scalar(tag, value)))
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()
