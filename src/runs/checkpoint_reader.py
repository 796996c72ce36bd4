"""Reading a checkpoint folder: every file is compared with its checksum, and a broken checkpoint has a fallback."""

__all__ = ["Checkpoint", "CheckpointInfo", "CheckpointReader", "check_finite", "newest_options", "require_run"]

import contextlib
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..options.text import closest
from ..utils.errors import UserError, shown
from ..utils.files import explain_os_error, read_small, sha256_file
from ..utils.tensorfile import read_arrays, read_metadata
from ..utils.text import counted
from .manifest import (
    FORMAT_VERSION,
    MANIFEST,
    Entry,
    Manifest,
    Position,
    read_manifest,
    scan_folder,
)

_MOST_SAID = 300
# runs that a message names, and entries of a folder that are searched for them
_MOST_LISTED, _MOST_SEARCHED = 10, 1000


@dataclass(frozen=True)
class CheckpointInfo:
    """Facts about one checkpoint of a folder; ``verified`` is False where no checksum is known."""

    tag: str
    position: Position
    system: str
    networks: tuple[str, ...]
    files: dict[str, Path]
    size: int
    time: str
    verified: bool


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint: the arrays of each network and of the state by name, and the configuration."""

    networks: dict[str, dict[str, np.ndarray]]
    state: dict[str, np.ndarray]
    config: dict
    position: Position
    files: dict[str, Path]
    tag: str
    system: str
    verified: bool


class _Broken(Exception):
    """This checkpoint cannot be used; another one may."""


class CheckpointReader:
    """The checkpoints in ``folder``, for reading.

    Args:
        folder: folder of the checkpoints.
        refuse_nonfinite: treat a checkpoint whose networks hold NaN or infinity as broken, instead of warning.
        warn: receives each warning as one text; by default it goes to the error output.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        refuse_nonfinite: bool = False,
        warn: Callable[[str], None] | None = None,
    ):
        self.folder = Path(folder)
        self.refuse_nonfinite = refuse_nonfinite
        self.warn = warn or _print_warning

    def load(
        self,
        which: str | int | Position = "latest",
        networks: Iterable[str] | None = None,
        with_state: bool = True,
        system: str | None = None,
    ) -> Checkpoint:
        """Read a checkpoint, after comparing every file that is read with its checksum.

        ``which`` is "latest", a tag ("12", "12.500") or a position; ``networks`` limits what is read (and verified);
        ``system`` is the system that the caller can use. Where the latest one is broken, the newest good one is read
        with a warning that names the broken file. A tag that was asked for is never replaced by another.

        Raises:
            UserError: no folder, no checkpoint, no such checkpoint, nothing good, another system or version, or a
                network that the checkpoint does not hold.
        """
        which = which.tag if isinstance(which, Position) else str(which)
        wanted = None if networks is None else list(networks)
        for _ in range(3):
            entries, seen = self._candidates(which, with_state)
            reasons: list[str] = []
            for entry in entries:
                try:
                    checkpoint = self._read(entry, wanted, with_state, system)
                except _Broken as problem:
                    reasons.append(str(problem))
                    continue
                if reasons:
                    self.warn(f"{'; '.join(reasons)}: going back to checkpoint {entry.tag} of {self.folder}")
                return checkpoint
            if self._manifest_text() == seen:
                break  # otherwise a training run updated the folder while it was read
        others = [info.tag for info in self.list() if info.tag not in {entry.tag for entry in entries}]
        way_out = f"these exist: {', '.join(others)}" if others else "restore it from a copy or start again"
        raise UserError(f"no usable checkpoint: {'; '.join(reasons)}: {way_out}")

    def _manifest_text(self) -> bytes | None:
        with contextlib.suppress(OSError):
            return read_small(self.folder / MANIFEST)
        return None

    def _candidates(self, which: str, with_state: bool) -> tuple[list[Entry], bytes | None]:
        require_run(self.folder)
        seen = self._manifest_text()
        manifest, problem = read_manifest(self.folder)
        if problem:
            self.warn(f"{self.folder / MANIFEST} {problem}: going by file names, nothing can be verified")
        manifest = manifest or Manifest()
        known = {*manifest.unfinished, *(name for entry in manifest.entries for name in entry.names)}
        found = scan_folder(self.folder, known)
        if which == "latest":
            entries = manifest.entries or found
            if not manifest.entries and not (with_state and any("state" in e.files for e in found)):
                entries = sorted(found, key=lambda entry: entry.tag == "latest")
        else:
            entries = [e for e in manifest.entries if e.tag == which] or [e for e in found if e.tag == which]
        if not entries:
            tags = list(dict.fromkeys(entry.tag for entry in [*manifest.entries, *found]))
            existing = ", ".join(["...", *tags[-_MOST_LISTED:]] if len(tags) > _MOST_LISTED else tags)
            begun = (self.folder / "config.yaml").is_file()
            none = (
                "its training ended before the first was saved; --continue_train True begins it again"
                if begun
                else "it holds none at all; train first or check --name"
            )
            raise UserError(
                f"{self.folder} holds no checkpoint {which!r}: {f'these exist: {existing}' if existing else none}"
            )
        return entries[::-1], seen

    def _read(self, entry: Entry, wanted: list[str] | None, with_state: bool, system: str | None) -> Checkpoint:
        title = f"checkpoint {entry.tag} of {self.folder}"
        if entry.format_version > FORMAT_VERSION:
            raise UserError(
                f"{title} has format version {entry.format_version}, this program reads up to "
                f"{FORMAT_VERSION}: use the version that wrote it or a newer one"
            )
        if system and entry.system and entry.system != system:
            raise UserError(
                f"{title} is of the system {entry.system}, not {system}: pass the --config_path of "
                f"{entry.system} or another --name"
            )
        missing = sorted(set(wanted or []) - set(entry.networks))
        if missing:
            raise UserError(
                f"{title} holds no network {', '.join(missing)} (it holds {', '.join(entry.networks)}): "
                "check the options that decide which networks there are"
            )
        roles = [f"net_{name}" for name in (entry.networks if wanted is None else wanted)]
        if with_state and "state" in entry.files:
            roles.append("state")
        verified = all(entry.files[role]["sha256"] for role in roles)
        arrays: dict[str, dict[str, np.ndarray]] = {}
        metadata: dict[str, str] = {}
        for role in roles:
            arrays[role], metadata = self._read_file(entry.files[role])
            if role != "state":
                try:
                    check_finite(role.removeprefix("net_"), arrays[role])
                except UserError as error:
                    problem = f"{self.folder / entry.files[role]['file']}: {error}"
                    if self.refuse_nonfinite:
                        raise _Broken(problem) from error
                    self.warn(f"{problem}: its results are useless")
        if not verified:
            self.warn(f"{title} has no checksums (no entry in {MANIFEST}): it was read without verification")
        return Checkpoint(
            networks={role[4:]: arrays[role] for role in roles if role != "state"},
            state=arrays.get("state", {}),
            config=_read_config(metadata, title),
            position=entry.position,
            files={role: self.folder / entry.files[role]["file"] for role in roles},
            tag=entry.tag,
            system=entry.system,
            verified=verified,
        )

    def _read_file(self, item: dict) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        path = self.folder / item["file"]
        if not path.is_file():
            raise _Broken(f"{path} is missing")
        try:
            if item["sha256"]:
                size = path.stat().st_size
                if size != item["size"]:
                    raise _Broken(f"{path} has {size} bytes instead of {item['size']}")
                if sha256_file(path) != item["sha256"]:
                    raise _Broken(f"{path} does not match its checksum (damaged since it was written)")
            return read_arrays(path)
        except UserError as error:
            raise _Broken(str(error)) from error

    def list(self) -> list[CheckpointInfo]:
        """Return what the folder holds, oldest first; empty where the folder is missing."""
        if not self.folder.is_dir():
            return []
        manifest, _ = read_manifest(self.folder)
        entries = manifest.entries if manifest and manifest.entries else scan_folder(self.folder, set())
        return [self._describe_entry(entry) for entry in entries]

    def describe(self) -> str:
        """Return a table of the checkpoints for people, oldest first."""
        rows = self.list()
        if not rows:
            return f"{self.folder} holds no checkpoint"
        lines = [f"{'tag':>10}  {'networks':<16} {'MiB':>9}  saved"]
        for info in rows:
            note = "" if info.verified else "  (no checksums)"
            names = ",".join(info.networks)
            lines.append(f"{info.tag:>10}  {names:<16} {info.size / 2**20:9.1f}  {info.time}{note}")
        return "\n".join(lines)

    def _describe_entry(self, entry: Entry) -> CheckpointInfo:
        files = {role: self.folder / item["file"] for role, item in entry.files.items()}
        size = 0
        for role, path in files.items():
            with contextlib.suppress(OSError):
                size += entry.files[role]["size"] or path.stat().st_size
        verified = all(item["sha256"] for item in entry.files.values())
        names = tuple(entry.networks)
        return CheckpointInfo(entry.tag, entry.position, entry.system, names, files, size, entry.time, verified)


def _read_config(metadata: dict[str, str], title: str) -> dict:
    try:
        config = json.loads(metadata.get("config", "{}"))
    except (ValueError, RecursionError) as error:
        raise _Broken(f"{title} cannot be used ({str(error)[:_MOST_SAID]})") from error
    return config if isinstance(config, dict) else {}


def require_run(folder: Path) -> None:
    """Raise a :class:`UserError` that names the existing runs if ``folder`` is not a run."""
    try:
        if folder.is_dir():
            return
        others = sorted(_runs_in(folder.parent))
    except OSError as error:
        raise explain_os_error(error, folder, "read") from error
    if folder.is_file():
        raise UserError(f"{shown(str(folder))} is a file: pass the run's folder, {shown(str(folder.parent))}")
    there = ", ".join(shown(name, 60) for name in others[:_MOST_LISTED]) or "no run"
    more = f" and {counted(len(others) - _MOST_LISTED, 'other')}" if len(others) > _MOST_LISTED else ""
    raise UserError(
        f"there is no run {shown(str(folder))}{closest(folder.name, others)}; {shown(str(folder.parent))} holds "
        f"{there}{more}: check the name and the folder, or train it first"
    )


def _runs_in(parent: Path) -> Iterator[str]:
    """Names of the folders that hold networks, among the first entries of ``parent``."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(parent) as entries:
        for entry in itertools.islice(entries, _MOST_SEARCHED):
            if next(Path(entry.path).glob("*_net_*.safetensors"), None):
                yield entry.name


def newest_options(folder: Path) -> dict:
    """The options stored in the newest checkpoint of ``folder`` whose header can be read; empty if there is none."""
    with contextlib.suppress(OSError):
        for info in reversed(CheckpointReader(folder).list()):
            for role, path in info.files.items():
                if role != "state" and path.is_file():
                    with contextlib.suppress(ValueError, RecursionError, UserError):
                        found = json.loads(read_metadata(path)[0].get("config", "{}"))
                        if isinstance(found, dict):
                            return found
    return {}


def check_finite(name: str, arrays: Mapping[str, np.ndarray], consequence: str = "") -> None:
    """Raise a :class:`UserError` that counts the NaN and infinite values of the first bad array."""
    for key, array in arrays.items():
        if np.asarray(array).dtype.kind == "f" and not np.isfinite(array).all():
            count = int(np.size(array) - np.isfinite(array).sum())
            tail = f": {consequence}" if consequence else ""
            raise UserError(f"network {name} holds {count} NaN or infinite values in {key}{tail}")


def _print_warning(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)
