"""MindRecord shards of a data set at training resolution, built once and rebuilt when anything changed.

A set of records lies in the records folder as a pointer file ``<set>.json`` and a folder ``<set>/build-.../`` with the
shards. MindRecord files must keep the name they were written under, so every build has a folder of its own and becomes
valid when the pointer is replaced. A folder that the pointer does not name is an unfinished or superseded build.
"""

__all__ = ["DEFAULT_FOLDER", "Records", "open_records"]

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..utils.errors import UserError, shown
from ..utils.files import atomic_write, explain_os_error
from ..utils.logging import get_logger
from ..utils.text import counted
from .reader import Reader
from .shards import write_shards

try:
    import fcntl
except ImportError:  # no advisory locks there: two processes may build the same records, each its own
    fcntl = None  # type: ignore[assignment]

FORMAT = 1
DEFAULT_FOLDER = ".mindi2i_records"


@dataclass(frozen=True)
class Records:
    """A complete set of records.

    Attributes:
        files: the shards.
        columns: names of the stored blobs; every row also has ``id``.
        count: number of rows.
        size: height and width of the samples made from them.
        samples_bytes: bytes of all shards together.
    """

    files: tuple[str, ...]
    columns: tuple[str, ...]
    count: int
    size: tuple[int, int]
    samples_bytes: int


def open_records(reader: Reader, data_root: str | Path, records_dir: str = "", shards: int = 0) -> Records:
    """Return the records of ``reader``'s rows, building them where they are missing or out of date.

    Every file is read and checked while building, so that unusable data ends the run before its first step.
    Processes of one host (and of several, where the file system has locks) build one at a time; the others wait and
    use the result.

    Args:
        data_root: folder of the data set; paths in the fingerprint are relative to it.
        records_dir: where to keep records; '' is ``.mindi2i_records`` in ``data_root``, or in the user's cache folder
            if that is read-only.
        shards: number of MindRecord files; 0 chooses one per 2 GiB.

    Raises:
        UserError: unusable files (up to 20 are listed), a full disk, a folder that cannot be written.
    """
    data_root = Path(data_root)
    folder = _records_folder(data_root, records_dir)
    identity = {"format": FORMAT, "stored": list(reader.stored), "shards": shards, **reader.settings}
    if records_dir:  # several data sets may share that folder
        identity["data_root"] = str(data_root.resolve())
    name = f"{reader.kind}-{reader.phase}-{_digest(identity)[:12]}"
    pointer = folder / f"{name}.json"
    sources = _sources(reader, data_root)
    found, _ = _find(pointer, sources)
    if found is not None:
        return found
    with _lock(folder / f"{name}.lock", pointer.stem) as alone:
        found, reason = _find(pointer, sources)  # another process may have built them meanwhile
        if found is not None:
            return found
        get_logger().info(f"records {name} in {folder}: {reason or _new_set(folder, reader, identity)}")
        if alone:
            _remove_builds(folder / name, keep=_current_build(pointer))
        records = _build(reader, folder / name, pointer, sources, identity)
        if alone:
            _remove_builds(folder / name, keep=_current_build(pointer))
        return records


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _records_folder(data_root: Path, records_dir: str) -> Path:
    if records_dir:
        folder = Path(records_dir)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError as error:
            raise explain_os_error(error, folder / "records", "write") from error
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mindi2i"
    inside = data_root / DEFAULT_FOLDER
    fallback = cache / f"{data_root.resolve().name}-{_digest(str(data_root.resolve()))[:12]}"
    for folder in (inside, fallback):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                if folder is not inside:
                    get_logger().info(f"{data_root} is read-only: records are kept in {folder}")
                return folder
    raise UserError(f"neither {inside} nor {fallback} can be written: pass --records_dir FOLDER")


def _sources(reader: Reader, data_root: Path) -> dict[str, list[int]]:
    """Relative path of every source file with its size in bytes and modification time in nanoseconds."""
    sources = {}
    for row in reader.rows:
        for path in row.files.values():
            try:
                status = path.stat()
            except OSError as error:
                raise explain_os_error(error, path, "read") from error
            sources[os.path.relpath(path, data_root)] = [status.st_size, status.st_mtime_ns]
    return sources


def _find(pointer: Path, sources: dict[str, list[int]]) -> tuple[Records | None, str]:
    """The valid records that a pointer names, or the reason why there are none ('' if there never were any)."""
    try:
        meta = json.loads(pointer.read_text())
        build = pointer.parent / pointer.stem / meta["build"]
        known = dict(json.loads((build / "sources.json").read_text()))
        records = Records(
            tuple(str(build / name) for name in meta["files"] if not name.endswith(".db")),
            tuple(meta["columns"]),
            int(meta["count"]),
            tuple(meta["size"]),
            sum(meta["files"].values()),
        )
        sizes = {name: (build / name).stat().st_size for name in meta["files"]}
    except FileNotFoundError as error:
        gone = Path(error.filename) != pointer
        return None, f"{error.filename} is gone, building again" if gone else ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return None, f"the description is damaged ({error}), building again"
    if sizes != meta["files"]:
        return None, "the record files changed after they were written, building again"
    if known != sources:
        every = known.keys() | sources.keys()
        changed = sorted(name for name in every if known.get(name) != sources.get(name))
        return None, f"{counted(len(changed), 'source file')} changed (first: {shown(changed[0])}), building again"
    return records, ""


def _new_set(folder: Path, reader: Reader, identity: dict[str, object]) -> str:
    """The reason for building a new set, compared with sets of other settings."""
    others = []
    for pointer in sorted(folder.glob(f"{reader.kind}-{reader.phase}-*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            meta = json.loads(pointer.read_text())
            old, size = meta["settings"], sum(meta["files"].values())
            every = old.keys() | identity.keys()
            differing = sorted(key for key in every if old.get(key) != identity.get(key))
            changes = ", ".join(f"{key} {old.get(key)} -> {identity.get(key)}" for key in differing)
            others.append((len(differing), changes, size))
    if not others:
        return "building them for the first time"
    total = sum(size for _, _, size in others) / 2**30
    return (
        f"building them for new settings ({min(others)[1]}); sets for other settings hold "
        f"{total:.1f} GiB there ({len(others)}) and may be deleted"
    )


def _current_build(pointer: Path) -> str | None:
    try:
        return json.loads(pointer.read_text())["build"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remove_builds(folder: Path, keep: str | None) -> None:
    for build in folder.glob("build-*"):
        if build.name != keep:
            shutil.rmtree(build, ignore_errors=True)


@contextlib.contextmanager
def _lock(path: Path, name: str) -> Iterator[bool]:
    """Hold a lock file while building. Yields whether the lock could be taken at all."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise explain_os_error(error, path) from error
    try:
        yield _wait_for(handle, name)
    finally:
        os.close(handle)


def _wait_for(handle: int, name: str) -> bool:
    if fcntl is None:
        return False
    told = False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if not told:
                get_logger().info(f"waiting for another process that builds the records {name}")
                told = True
            time.sleep(0.2)
        except OSError:  # some network file systems have no locks
            return False


def _build(
    reader: Reader, folder: Path, pointer: Path, sources: dict[str, list[int]], identity: dict[str, Any]
) -> Records:
    build = folder / f"build-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        build.mkdir(parents=True)
        meta = write_shards(reader, build, identity["shards"])
        atomic_write(build / "sources.json", json.dumps(sources))
        meta |= {"build": build.name, "settings": identity}
        atomic_write(pointer, json.dumps(meta, indent=1))
    except BaseException as error:
        shutil.rmtree(build, ignore_errors=True)
        if isinstance(error, OSError):
            raise explain_os_error(error, build) from error
        raise
    records, reason = _find(pointer, sources)
    if records is None:
        raise UserError(f"the records in {build} are unusable right after writing ({reason}): check the disk")
    return records
