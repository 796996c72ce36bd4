"""The table of contents of a checkpoint folder: which files make a checkpoint, and their checksums."""

__all__ = ["FORMAT_VERSION", "MANIFEST", "Entry", "Manifest", "Position", "read_manifest", "scan_folder"]

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..utils.errors import UserError, shown
from ..utils.files import atomic_write, read_small
from ..utils.tensorfile import read_metadata

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
# longest file name in bytes on every common file system
_LONGEST_NAME = 255
_NETWORK_FILE = re.compile(r"(?P<stem>.+?)_net_(?P<name>.+)\.safetensors")


@dataclass(frozen=True, order=True)
class Position:
    """Position of a checkpoint in a run.

    ``epoch`` counts from 1. ``iteration`` is the number of steps taken in that epoch; 0 means that the epoch is
    complete. ``Position(0, 0)`` is the start, ``Position(12, 0)`` the end of epoch 12 and ``Position(13, 500)`` the
    moment 500 steps later.
    """

    epoch: int = 0
    iteration: int = 0

    @property
    def tag(self) -> str:
        """The prefix of file names: ``12`` for the end of an epoch, ``13.500`` in the middle of one."""
        return f"{self.epoch}.{self.iteration}" if self.iteration else str(self.epoch)

    @property
    def completed_epochs(self) -> int:
        """Number of epochs that are over."""
        return self.epoch - 1 if self.iteration else self.epoch

    @property
    def progress(self) -> tuple[int, int]:
        """A key that orders positions in the order of training."""
        return self.completed_epochs, self.iteration


@dataclass
class Entry:
    """One checkpoint; ``files`` maps a role (``net_G``, ..., ``state``) to name, checksum and size."""

    tag: str
    stem: str
    position: Position
    system: str
    time: str
    files: dict[str, dict]
    format_version: int = FORMAT_VERSION

    @property
    def networks(self) -> list[str]:
        """Names of the networks it holds."""
        return [role[len("net_") :] for role in self.files if role.startswith("net_")]

    @property
    def names(self) -> set[str]:
        """Names of its files."""
        return {item["file"] for item in self.files.values()}


@dataclass
class Manifest:
    """Entries, oldest first, and ``unfinished``: files that may exist and belong to no checkpoint."""

    entries: list[Entry] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Replace the manifest of ``folder`` in one step.

        Raises:
            UserError: it cannot be written; the earlier one stays.
        """
        body = {
            "format_version": FORMAT_VERSION,
            "checkpoints": [asdict(entry) for entry in self.entries],
            "unfinished": self.unfinished,
        }
        text = json.dumps({"checksum": _checksum(body), **body}, indent=1)
        atomic_write(folder / MANIFEST, text + "\n")


def _checksum(body: dict) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def read_manifest(folder: Path) -> tuple[Manifest | None, str | None]:
    """Return the manifest of ``folder``, None if there is no usable one, and a description of its fault, if any.

    Raises:
        UserError: a newer version of the program wrote it.
    """
    path = folder / MANIFEST
    try:
        text = read_small(path)
    except FileNotFoundError:
        return None, None
    except OSError as error:
        return None, f"cannot be read ({error.strerror or error})"
    try:
        body = json.loads(text)
        checksum = body.pop("checksum")
        version = body["format_version"]
        if checksum != _checksum(body):
            return None, "does not match its own checksum"
        if version > FORMAT_VERSION:
            raise UserError(
                f"{path} has format version {version}, this program reads up to {FORMAT_VERSION}: "
                "use the version that wrote it or a newer one"
            )
        entries = [_entry(item) for item in body["checkpoints"]]
        manifest = Manifest(entries, list(body["unfinished"]))
        for name in [*manifest.unfinished, *(name for entry in entries for name in entry.names)]:
            # a foreign manifest must not cause files elsewhere to be read or deleted
            if Path(name).name != name or "\0" in name or len(os.fsencode(name)) > _LONGEST_NAME:
                return None, f"names a file that cannot be in its folder ({shown(name)})"
        return manifest, None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return None, f"is damaged ({type(error).__name__}: {str(error)[:200]})"


def _entry(item: dict) -> Entry:
    """A checkpoint as a manifest describes it; every part must have the type that this program writes."""
    entry = Entry(**{**item, "position": Position(**item["position"])})
    numbers = (entry.position.epoch, entry.position.iteration, entry.format_version)
    if not all(type(number) is int and 0 <= number < 1 << 53 for number in numbers):
        raise TypeError(f"a checkpoint stands at {numbers}")
    texts = (entry.tag, entry.stem, entry.system, entry.time, *entry.files)
    if not all(isinstance(text, str) and len(text) <= _LONGEST_NAME for text in texts):
        raise TypeError(f"the name of a checkpoint is not a string of at most {_LONGEST_NAME} characters")
    for role, file in entry.files.items():
        known = isinstance(file["sha256"], (str, type(None))) and isinstance(file["size"], (int, type(None)))
        if not known or not (role == "state" or role.startswith("net_")):
            raise TypeError(f"the file of {role} is described by {file}")
    return entry


def scan_folder(folder: Path, known: set[str]) -> list[Entry]:
    """Find checkpoints by their file names, oldest first, leaving out the files named in ``known``.

    This serves folders without a manifest: files that a person copied or converted. They cannot be verified.
    """
    groups: dict[str, dict[str, dict]] = {}
    for path in sorted(folder.glob("*_net_*.safetensors")):
        match = _NETWORK_FILE.fullmatch(path.name)
        if match and path.name not in known and not path.name.startswith("."):
            files = groups.setdefault(match["stem"], {})
            files[f"net_{match['name']}"] = {"file": path.name, "sha256": None, "size": None}
    entries = []
    for stem, files in groups.items():
        state = folder / f"{stem}_state.safetensors"
        if state.is_file() and state.name not in known:
            files["state"] = {"file": state.name, "sha256": None, "size": None}
        entries.append(_scanned(folder, stem, files))
    # published copies have no state: of two checkpoints at one position the numbered original is preferred
    return sorted(entries, key=lambda entry: (entry.position.progress, "state" in entry.files))


def _scanned(folder: Path, stem: str, files: dict[str, dict]) -> Entry:
    system, epoch, iteration, version, time = "", 0, 0, FORMAT_VERSION, ""
    tag = stem.split("-")[0]
    numbers = re.fullmatch(r"(\d+)(?:\.(\d+))?", tag)
    if numbers:
        epoch, iteration = int(numbers[1]), int(numbers[2] or 0)
    for item in list(files.values()):
        try:
            metadata, _ = read_metadata(folder / item["file"])
            system = metadata.get("system", "")
            epoch = int(metadata.get("epoch", epoch))
            iteration = int(metadata.get("iteration", iteration))
            version = int(metadata.get("format_version", FORMAT_VERSION))
            time = metadata.get("time", "")
            if numbers:  # an interrupted save must not pass for a complete checkpoint
                for role in filter(None, metadata.get("files", "").split(",")):
                    name = f"{stem}_{role}.safetensors"
                    files.setdefault(role, {"file": name, "sha256": None, "size": None})
            break
        except (UserError, ValueError):
            continue  # reported when it is loaded
    return Entry(tag if numbers else stem, stem, Position(epoch, iteration), system, time, files, version)
