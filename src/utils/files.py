"""Files that are complete or absent."""

__all__ = [
    "atomic_write",
    "explain_os_error",
    "explained",
    "leftovers",
    "make_folders",
    "open_regular",
    "open_unlinked",
    "read_small",
    "sha256_file",
    "sync_folder",
    "temporary_name",
]

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from .errors import UserError
from .text import readable

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
    """Open a file as ``os.open`` does, but never through a link at ``path`` (``OSError`` with ``ELOOP``)."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def make_folders(top: Path, *parts: str) -> Path:
    """Make the folder ``top/parts...`` and return it; a link among ``parts`` is an ``OSError`` with ``ELOOP``."""
    top.mkdir(parents=True, exist_ok=True)
    for part in parts:
        top = top / part
        if top.is_symlink():
            raise OSError(errno.ELOOP, "it is a link", str(top))
        top.mkdir(exist_ok=True)
    return top


def open_regular(path: str | os.PathLike) -> BufferedReader:
    """Open a file for reading; a pipe or a device, which may never answer or end, is an ``OSError``."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    raise OSError(errno.EINVAL, "it is a folder, a pipe or a device, not a file", str(path))


def read_small(path: str | os.PathLike, most: int = 64 << 20) -> bytes:
    """Return the bytes of a file, see :func:`open_regular`; one of more than ``most`` bytes is an ``OSError``."""
    with open_regular(path) as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EINVAL, f"it is larger than {most} bytes, which such a file never is", str(path))
    return data


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
def explained(path: Path, doing: str) -> Iterator[None]:
    """Raise system errors of the block as the ``UserError`` of :func:`explain_os_error`."""
    try:
        yield
    except (OSError, UnicodeEncodeError) as error:
        raise explain_os_error(error, path, doing) from error


def atomic_write(
    path: str | os.PathLike,
    content: bytes | str | Callable[[BinaryIO], None],
    overwrite: bool = True,
) -> None:
    """Write a file completely or not at all, even after a crash or on a full disk.

    The content (bytes, text as UTF-8, or a function that writes to the open binary file) goes to a temporary file in
    the same folder, is flushed to the disk and then renamed. Text that UTF-8 cannot hold is escaped.
    ``overwrite=False`` keeps an existing file and raises.

    Raises:
        UserError: full disk, missing permission, read-only or missing folder, or the file exists and must stay.
    """
    path = Path(path)
    temporary = temporary_name(path)
    with explained(path, "write"):
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
    with explained(Path(path), "read"), open_regular(path) as stream:
        while count := stream.readinto(buffer):
            digest.update(view[:count])
    return digest.hexdigest()
