"""The thread that owns the model: it computes all requests of the page, one after the other."""

__all__ = ["Worker"]

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from ..utils.errors import UserError


class Worker:
    """A queue of calls. MindSpore's mode and device belong to a thread, so calls run in the thread of :meth:`run`."""

    def __init__(self) -> None:
        self._calls: queue.Queue[tuple[Future, Callable[[], Any]] | None] = queue.Queue()
        self._lock = threading.Lock()
        self._ended = False

    def call(self, function: Callable[[], Any]) -> Any:
        """Call ``function`` in the worker and wait until it returns or raises.

        Raises:
            UserError: the worker has been stopped.
        """
        future: Future = Future()
        with self._lock:
            if self._ended:
                raise UserError("the editor has ended: start it again")
            self._calls.put((future, function))
        return future.result()

    def run(self) -> None:
        """Work until :meth:`stop`."""
        while True:
            try:
                # with a timeout, because Ctrl-C does not interrupt an endless wait everywhere
                item = self._calls.get(timeout=0.5)
            except queue.Empty:
                continue
            if item is None:
                return
            future, function = item
            try:
                future.set_result(function())
            except Exception as error:
                future.set_exception(error)

    def stop(self) -> None:
        """End :meth:`run` after the waiting calls."""
        with self._lock:
            self._ended = True
            self._calls.put(None)
