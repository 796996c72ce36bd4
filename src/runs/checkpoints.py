"""Checkpoints that survive interruptions: complete or absent, checksummed, listed and pruned.

A folder holds, for every checkpoint, one ``{tag}_net_{name}.safetensors`` per network and one
``{tag}_state.safetensors`` for everything else that a resume needs. The tag is the epoch (``12``: its end) or epoch and
iteration (``12.500``). ``latest_net_{name}.safetensors`` is the newest network under the published name, and
``manifest.json`` lists the files of each checkpoint and their SHA-256.

Order of a save, so that a kill, a full disk or a power loss at any moment leaves the earlier checkpoint usable: name
the new files in the manifest as unfinished; write each to the disk under a hidden name and rename it; only then list
them as a checkpoint (and the pruned ones as unfinished); renew the published names; delete what was pruned.
"""

__all__ = ["Checkpoint", "CheckpointInfo", "CheckpointStore", "Position", "write_networks"]

import contextlib
import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from ..utils.errors import UserError
from ..utils.files import explain_os_error, leftovers, sha256_file, sync_folder, temporary_name
from ..utils.tensorfile import write_arrays
from ..utils.text import counted
from .checkpoint_reader import Checkpoint, CheckpointInfo, CheckpointReader, check_finite
from .manifest import (
    FORMAT_VERSION,
    MANIFEST,
    Entry,
    Manifest,
    Position,
    read_manifest,
    scan_folder,
)


class CheckpointStore(CheckpointReader):
    """The checkpoints of one run folder. Only rank 0 may save.

    Args:
        folder: folder of the checkpoints; the first save creates it.
        keep_last: number of newest checkpoints that are kept (at least 1).
        keep_every: the checkpoint at the end of every n-th epoch is never pruned; 0 keeps none.
        refuse_nonfinite: refuse to save networks with NaN or infinite weights, and treat such a checkpoint as broken;
            otherwise there is a warning.
        warn: receives each warning as one text; by default it goes to the error output.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        keep_last: int = 3,
        keep_every: int = 0,
        refuse_nonfinite: bool = False,
        warn: Callable[[str], None] | None = None,
    ):
        if keep_last < 1:
            raise UserError(f"keep_last {keep_last} would delete every checkpoint: pass 1 or more")
        if keep_every < 0:
            raise UserError(f"keep_every {keep_every} is negative: pass 0 to keep no extra epochs")
        super().__init__(folder, refuse_nonfinite, warn)
        self.keep_last = keep_last
        self.keep_every = keep_every

    def save(
        self,
        position: Position,
        networks: Mapping[str, Mapping[str, np.ndarray]],
        state: Mapping[str, np.ndarray],
        config: Mapping,
        system: str,
    ) -> CheckpointInfo:
        """Add a checkpoint and prune old ones; an earlier one at the same position is superseded.

        ``state`` may be empty; no state file is written then. ``config`` must be JSON-able.

        Raises:
            UserError: it could not be written (full disk, permissions, ...), or a network holds NaN or infinity and the
                store refuses that. The checkpoints saved before stay as they are.
        """
        for name, arrays in networks.items():
            try:
                check_finite(name, arrays, "nothing was saved" if self.refuse_nonfinite else "it is saved as it is")
            except UserError as error:
                if self.refuse_nonfinite:
                    raise
                self.warn(f"checkpoint {position.tag} of {self.folder}: {error}")
        with self._explained("write"):
            self.folder.mkdir(parents=True, exist_ok=True)
            manifest = self._manifest_for_saving()
            self._delete(manifest.unfinished, manifest.entries)
            for path in leftovers(self.folder):
                path.unlink(missing_ok=True)
            if not manifest.entries:
                self._preserve_published()

        entry = self._plan(position, networks, state, system, manifest)
        stuck = {name for name in manifest.unfinished if (self.folder / name).exists()}
        Manifest(manifest.entries, sorted(entry.names | stuck)).write(self.folder)
        metadata = _metadata(entry, config)
        kept, dropped = self._prune([old for old in manifest.entries if old.tag != entry.tag], entry)
        dropped += [old for old in manifest.entries if old.tag == entry.tag]
        unfinished = sorted(stuck.union(*(old.names for old in dropped)))
        try:
            for name, arrays in networks.items():
                self._write(entry, f"net_{name}", arrays, {**metadata, "network": name})
            if state:
                self._write(entry, "state", state, metadata)
            Manifest(kept, unfinished).write(self.folder)
        except BaseException:
            self._withdraw(entry)
            raise
        try:
            self._publish(entry)
        except OSError as error:
            problem = explain_os_error(error, self.folder / "latest_net_*.safetensors")
            self.warn(f"checkpoint {entry.tag} is saved, but not under the name latest: {problem}")
        self._delete(unfinished, kept)
        return self._describe_entry(entry)

    def _withdraw(self, entry: Entry) -> None:
        """Delete the files of a failed save, unless it was interrupted after it was listed."""
        manifest, problem = read_manifest(self.folder)
        if manifest and not problem:
            self._delete(entry.names, manifest.entries)

    def _manifest_for_saving(self) -> Manifest:
        manifest, problem = read_manifest(self.folder)
        if problem is None:
            return manifest or Manifest()
        aside = self._unused("manifest.broken", ".json")
        os.replace(self.folder / MANIFEST, aside)
        entries = []
        for entry in scan_folder(self.folder, set()):
            paths = {role: self.folder / item["file"] for role, item in entry.files.items()}
            if entry.tag == entry.position.tag and all(path.is_file() for path in paths.values()):
                for role, path in paths.items():
                    entry.files[role].update(sha256=sha256_file(path), size=path.stat().st_size)
                entries.append(entry)
        self.warn(
            f"{self.folder / MANIFEST} {problem}: kept as {aside.name}, and rebuilt from the "
            f"{counted(len(entries), 'checkpoint')} in the folder, whose earlier checksums are lost"
        )
        return Manifest(entries)

    def _unused(self, stem: str, suffix: str) -> Path:
        number = 1
        while (path := self.folder / f"{stem}-{number}{suffix}").exists():
            number += 1
        return path

    def _preserve_published(self) -> None:
        """Link published names that no save made, because a person put them here, to a second name."""
        for path in self.folder.glob("latest_net_*.safetensors"):
            name = path.name.removeprefix("latest")
            others = [other for other in self.folder.glob(f"initial*{name}") if other.samefile(path)]
            if others:
                continue
            target = self.folder / f"initial{name}"
            if target.exists():
                target = self._unused("initial", name)
            _link_or_copy(path, target)

    def _plan(
        self, position: Position, networks: Iterable[str], state: object, system: str, manifest: Manifest
    ) -> Entry:
        roles = [f"net_{name}" for name in networks] + (["state"] if state else [])
        known = set().union(*(entry.names for entry in manifest.entries))
        stem, number = position.tag, 1
        # neither an earlier checkpoint at this position nor a file that a person put here is written over
        while any(
            f"{stem}_{role}.safetensors" in known or (self.folder / f"{stem}_{role}.safetensors").exists()
            for role in roles
        ):
            number += 1
            stem = f"{position.tag}-{number}"
        files = {role: {"file": f"{stem}_{role}.safetensors", "sha256": None, "size": None} for role in roles}
        return Entry(position.tag, stem, position, system, time.strftime("%Y-%m-%dT%H:%M:%S%z"), files)

    def _write(self, entry: Entry, role: str, arrays: Mapping[str, np.ndarray], metadata: dict[str, str]) -> None:
        written = write_arrays(self.folder / entry.files[role]["file"], arrays, metadata)
        entry.files[role].update(sha256=written.sha256, size=written.size)

    def _prune(self, older: list[Entry], newest: Entry) -> tuple[list[Entry], list[Entry]]:
        entries = [*older, newest]
        recent = entries[-self.keep_last :]
        kept: list[Entry] = []
        dropped: list[Entry] = []
        for entry in entries:
            place = entry.position
            forever = self.keep_every and place.epoch and not place.iteration and not place.epoch % self.keep_every
            (kept if entry in recent or forever else dropped).append(entry)
        return kept, dropped

    def _publish(self, entry: Entry) -> None:
        for name in entry.networks:
            source = self.folder / entry.files[f"net_{name}"]["file"]
            _link_or_copy(source, self.folder / f"latest_net_{name}.safetensors")
        sync_folder(self.folder)

    def _delete(self, names: Iterable[str], entries: list[Entry]) -> None:
        """Delete files that belong to none of ``entries``; the next save retries those that could not be deleted."""
        known = set().union(*(entry.names for entry in entries))
        for name in names:
            if name not in known:
                with contextlib.suppress(OSError):
                    (self.folder / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise explain_os_error(error, error.filename or self.folder, doing) from error


def write_networks(
    folder: str | os.PathLike,
    tag: str,
    networks: Mapping[str, Mapping[str, np.ndarray]],
    config: Mapping,
    system: str,
) -> list[Path]:
    """Write networks that come from elsewhere as ``{tag}_net_{name}.safetensors``, outside any manifest.

    Either all files are new, or none is written: nothing is replaced.

    Raises:
        UserError: one of the files exists, or cannot be written.
    """
    folder = Path(folder)
    files = {f"net_{name}": {"file": f"{tag}_net_{name}.safetensors"} for name in networks}
    position = Position(int(tag)) if tag.isdecimal() else Position()
    entry = Entry(tag, tag, position, system, time.strftime("%Y-%m-%dT%H:%M:%S%z"), files)
    existing = [name for name in sorted(entry.names) if (folder / name).exists()]
    if existing:
        raise UserError(
            f"{folder} already holds {', '.join(existing)}, which is not overwritten: pass another --name "
            "or --which_epoch, or move it away"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, folder, "create") from error
    metadata = _metadata(entry, config)
    written: list[Path] = []
    try:
        for name, arrays in networks.items():
            path = folder / files[f"net_{name}"]["file"]
            write_arrays(path, arrays, {**metadata, "network": name}, overwrite=False)
            written.append(path)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return written


def _metadata(entry: Entry, config: Mapping) -> dict[str, str]:
    return {
        "format_version": str(FORMAT_VERSION),
        "system": entry.system,
        "epoch": str(entry.position.epoch),
        "iteration": str(entry.position.iteration),
        "time": entry.time,
        "files": ",".join(entry.files),
        "config": json.dumps(dict(config), sort_keys=True),
    }


def _link_or_copy(source: Path, target: Path) -> None:
    temporary = temporary_name(target)
    try:
        try:
            os.link(source, temporary)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.ENOENT, errno.EROFS):
                raise
            shutil.copyfile(source, temporary)  # file systems without hard links
        os.replace(temporary, target)
    finally:
        # renaming a file onto another hard link of itself does nothing and leaves both names
        temporary.unlink(missing_ok=True)
