"""A part of a report that ends as a faulty driver would end it."""

import os
import signal


def measure() -> dict:
    """Say something, then die without an exception."""
    print("the last words", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}
