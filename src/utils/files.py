"""Files that are complete or absent, and run folders that belong to one run at a time."""

__all__ = [
    "RunLock",
    "atomic_write",
    "claim_run_folder",
    "explain_os_error",
    "leftovers",
    "open_unlinked",
    "sha256_file",
    "sync_folder",
    "temporary_name",
]

import contextlib
import errno
import hashlib
import json
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from .errors import UserError
from .text import readable

try:
    import fcntl
except ImportError:  # Windows has no flock; a run folder is then guarded by its contents alone
    fcntl = None

_RUN_FILE = "run.json"
_LOCK_FILE = ".run.lock"
_PART = ".part"


def explain_os_error(error: OSError | UnicodeEncodeError, path: str | os.PathLike, doing: str = "write") -> UserError:
    """Turn a system error into a message that names the file and the way out.

    ``doing`` is the verb of the failed action ("write", "read", "delete"). A ``UnicodeEncodeError`` is what the system
    calls raise for a name that the locale cannot spell.
    """
    path = Path(path)
    if isinstance(error, UnicodeEncodeError):
        return UserError(
            f"cannot {doing} {path}: the locale has only {error.encoding} names: set PYTHONUTF8=1 or LC_ALL=C.UTF-8"
        )
    code = error.errno
    if code in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        return UserError(
            f"cannot {doing} {path}: the disk is full or the quota is used up{_free_space(path)}: "
            "free some space there or choose another folder; earlier files are untouched"
        )
    if code == errno.EFBIG:
        return UserError(
            f"cannot {doing} {path}: the file is larger than the limit of this process or file system: "
            "raise it (ulimit -f) or choose another folder; earlier files are untouched"
        )
    if code == errno.EROFS:
        return UserError(f"cannot {doing} {path}: the file system is mounted read-only: choose another folder")
    if code in (errno.EACCES, errno.EPERM):
        return UserError(
            f"cannot {doing} {path}: permission denied: change the permissions of {path.parent} "
            "or choose another folder"
        )
    if code == errno.ELOOP:
        return UserError(f"cannot {doing} {path}: it is a link, and what it leads to may belong to others: remove it")
    if code == errno.ENOENT:
        return UserError(f"cannot {doing} {path}: it does not exist: check the path")
    if code == errno.ENOTDIR:
        return UserError(f"cannot {doing} {path}: a part of this path is a file, not a folder: check the path")
    if code == errno.EISDIR:
        return UserError(f"cannot {doing} {path}: it is a folder, not a file: check the path")
    return UserError(f"cannot {doing} {path}: {error.strerror or error}")


def _free_space(path: Path) -> str:
    with contextlib.suppress(OSError, AttributeError):
        state = os.statvfs(path.parent)
        return f" ({state.f_bavail * state.f_frsize / 2**20:.0f} MiB free)"
    return ""


def open_unlinked(path: str | os.PathLike, flags: int) -> int:
    """Open a file as ``os.open`` does, but never what a link in its place leads to (``OSError`` with ``ELOOP``)."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def temporary_name(path: str | os.PathLike) -> Path:
    """Return a hidden, unused name beside ``path``; :func:`leftovers` finds it again."""
    path = Path(path)
    # file systems allow 255 bytes
    name = os.fsdecode(os.fsencode(path.name)[:200])
    return path.with_name(f".{name}.{os.getpid()}-{secrets.token_hex(4)}{_PART}")


def leftovers(folder: str | os.PathLike) -> list[Path]:
    """List the temporary files that killed writers left in ``folder``."""
    return [path for path in Path(folder).glob(f".*{_PART}") if path.is_file()]


def sync_folder(folder: str | os.PathLike) -> None:
    """Make renames in ``folder`` survive a power loss, where the file system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass  # network file systems refuse fsync on a folder; the rename itself is already atomic
    finally:
        os.close(handle)


@contextlib.contextmanager
def _explained(path: Path, doing: str) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeEncodeError) as error:
        raise explain_os_error(error, path, doing) from error


def atomic_write(
    path: str | os.PathLike,
    content: bytes | str | Callable[[BinaryIO], None],
    overwrite: bool = True,
) -> None:
    """Write a file so that a reader, a crash or a full disk never meets half of it.

    The content (bytes, text as UTF-8, or a function that writes to the open binary file) goes to a temporary file in
    the same folder, is flushed to the disk and then renamed. Text that UTF-8 cannot hold is escaped.
    ``overwrite=False`` keeps an existing file and raises.

    Raises:
        UserError: full disk, missing permission, read-only or missing folder, or the file exists and must
            stay.
    """
    path = Path(path)
    temporary = temporary_name(path)
    with _explained(path, "write"):
        # not tempfile: its files are private to the user, and run folders are shared in a group
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with os.fdopen(handle, "wb") as stream:
                if callable(content):
                    content(stream)
                else:
                    stream.write(readable(content).encode() if isinstance(content, str) else content)
                stream.flush()
                os.fsync(stream.fileno())
            if overwrite:
                os.replace(temporary, path)
            else:
                _rename_new(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        sync_folder(path.parent)


def _rename_new(temporary: Path, path: Path) -> None:
    message = f"{path} exists already and is not overwritten: move it away or choose another name"
    try:
        # a link fails where the name exists, a rename would silently replace it
        os.link(temporary, path)
    except FileExistsError as error:
        raise UserError(message) from error
    except OSError:
        if path.exists():
            raise UserError(message) from None
        os.replace(temporary, path)
    else:
        os.unlink(temporary)


def sha256_file(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file in hexadecimal.

    Raises:
        UserError: the file cannot be read.
    """
    digest = hashlib.sha256()
    buffer = bytearray(1 << 20)
    view = memoryview(buffer)
    with _explained(Path(path), "read"), open(path, "rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            digest.update(view[:count])
    return digest.hexdigest()


class RunLock:
    """Holds a run folder until :meth:`release` or the end of the process, even by ``kill -9``."""

    def __init__(self, folder: Path, handle: int | None):
        self.folder = folder
        self._handle = handle

    def release(self) -> None:
        """Give the folder back; safe to call twice."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(self, *details) -> None:
        self.release()


def claim_run_folder(
    folder: str | os.PathLike, fingerprint: Mapping[str, object], continue_run: bool = False
) -> RunLock:
    """Create ``folder`` or take it over, and hold it against other processes of this user or host.

    A folder that already holds checkpoints or a log belongs to another run and is refused, unless
    ``continue_run``; then the run must agree with ``fingerprint``, the JSON-able options that may not
    change (system, architecture). A run that left nothing but its ``run.json`` (it stopped before its first
    step) may be replaced.

    Raises:
        UserError: the folder holds another run, is in use by another process, or cannot be written.
    """
    folder = Path(folder)
    with _explained(folder, "create"):
        folder.mkdir(parents=True, exist_ok=True)
    lock = RunLock(folder, _lock(folder))
    try:
        _check_run(folder, dict(fingerprint), continue_run)
    except BaseException:
        lock.release()
        raise
    return lock


def _lock(folder: Path) -> int | None:
    path = folder / _LOCK_FILE
    with _explained(path, "write"):
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


def _check_run(folder: Path, fingerprint: dict[str, object], continue_run: bool) -> None:
    run_file = folder / _RUN_FILE
    held = _holds_run(folder)
    if held and not continue_run:
        raise UserError(
            f"{folder} already holds a run ({held.name}): pass --continue_train True to go on with it, "
            "or another --name"
        )
    if held and run_file.is_file():
        try:
            earlier = json.loads(run_file.read_text(encoding="utf-8"))["fingerprint"]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise UserError(f"{run_file} is damaged ({error}): delete it to go on without this check") from error
        now = json.loads(json.dumps(fingerprint))
        differing = sorted(key for key in earlier.keys() | now.keys() if earlier.get(key) != now.get(key))
        if differing:
            shown = "; ".join(f"{key} was {earlier.get(key)!r}, is {now.get(key)!r}" for key in differing[:20])
            raise UserError(
                f"{folder} holds a run with other options ({shown}): pass the earlier values or another --name"
            )
        return
    atomic_write(run_file, json.dumps({"fingerprint": fingerprint}, indent=1, sort_keys=True) + "\n")


def _holds_run(folder: Path) -> Path | None:
    for pattern in ("manifest.json", "*_net_*.safetensors", "log.jsonl"):
        for path in sorted(folder.glob(pattern)):
            if path.stat().st_size:
                return path
    return None
