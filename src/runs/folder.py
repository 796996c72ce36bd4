"""Run folders: each belongs to one run, and to one process at a time."""

__all__ = ["RunLock", "claim_run_folder"]

import contextlib
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from ..utils.errors import UserError, shown
from ..utils.files import atomic_write, explained, open_unlinked, read_small

try:
    import fcntl
except ImportError:  # Windows has no flock; a run folder is then guarded by its contents alone
    fcntl = None  # type: ignore[assignment]

_RUN_FILE, _OPTIONS_FILE = "run.json", "config.yaml"
_LOCK_FILE = ".run.lock"


class RunLock:
    """Holds a run folder until :meth:`release` or the end of the process, even by ``kill -9``."""

    def __init__(self, folder: Path, handle: int | None, made: bool):
        self.folder = folder
        self._handle = handle
        self._made = made

    def withdraw(self) -> None:
        """Release the folder after a failed start; a folder that was made for it and holds no run is removed."""
        if self._made and not _holds_run(self.folder):
            with contextlib.suppress(OSError):
                for name in (_RUN_FILE, _OPTIONS_FILE, _LOCK_FILE):
                    (self.folder / name).unlink(missing_ok=True)
                # only where nothing else is in it
                self.folder.rmdir()
        self.release()

    def release(self) -> None:
        """Release the folder; safe to call twice."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(self, *details: object) -> None:
        self.release()


def claim_run_folder(
    folder: str | os.PathLike,
    fingerprint: Mapping[str, object],
    continue_run: bool = False,
    defaults: Mapping[str, object] | None = None,
) -> RunLock:
    """Create ``folder`` or take it over, and hold it against other processes of this user or host.

    A folder that already holds checkpoints or a log belongs to another run and is refused, unless ``continue_run``;
    then the run must agree with ``fingerprint``, the JSON-able options that may not change (system, architecture); what
    a run of an earlier version does not name was as ``defaults`` say. A run that left nothing but its ``run.json`` (it
    stopped before its first step) may be replaced.

    Raises:
        UserError: the folder holds another run, is in use by another process, or cannot be written.
    """
    folder = Path(folder)
    with explained(folder, "create"):
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
    lock = RunLock(folder, _lock(folder), made)
    try:
        _check_run(folder, dict(fingerprint), continue_run, defaults or {})
    except BaseException:
        lock.withdraw()
        raise
    return lock


def _lock(folder: Path) -> int | None:
    path = folder / _LOCK_FILE
    with explained(path, "write"):
        handle = open_unlinked(path, os.O_RDWR | os.O_CREAT)
    if fcntl is None:
        return handle
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process"
        os.close(handle)
        raise UserError(f"{folder} is in use by {owner}: wait for it, stop it, or pass another --name") from error
    except OSError:
        return handle  # some network file systems have no locks; the folder's contents still guard it
    with contextlib.suppress(OSError):  # only a name for the message above
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    return handle


def _check_run(
    folder: Path, fingerprint: dict[str, object], continue_run: bool, defaults: Mapping[str, object]
) -> None:
    run_file = folder / _RUN_FILE
    held = _holds_run(folder)
    if held and not continue_run:
        raise UserError(
            f"{folder} already holds a run ({held.name}): pass --continue_train True to go on with it, "
            "or another --name"
        )
    if held and run_file.is_file():
        try:
            stored = json.loads(read_small(run_file))["fingerprint"]
            # not every run of version 0.1 names its system
            model = stored.setdefault("model", fingerprint.get("model"))
            earlier = {key: defaults[key] for key in fingerprint if key in defaults} | stored
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise UserError(f"{run_file} is damaged ({error}): delete it to go on without this check") from error
        if model != fingerprint.get("model"):
            raise UserError(
                f"{folder} holds a run of {shown(model)}, not of {fingerprint.get('model')}: pass another --name"
            )
        now = json.loads(json.dumps(fingerprint))
        differing = sorted(key for key in earlier.keys() | now.keys() if earlier.get(key) != now.get(key))
        if differing:
            changes = "; ".join(f"{key} was {earlier.get(key)!r}, is {now.get(key)!r}" for key in differing[:20])
            raise UserError(
                f"{folder} holds a run with other options ({changes}): pass the earlier values or another --name"
            )
        return
    atomic_write(run_file, json.dumps({"fingerprint": fingerprint}, indent=1, sort_keys=True) + "\n")


def _holds_run(folder: Path) -> Path | None:
    for pattern in ("manifest.json", "*_net_*.safetensors", "log.jsonl"):
        for path in sorted(folder.glob(pattern)):
            if path.stat().st_size:
                return path
    return None
