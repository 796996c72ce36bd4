"""The page of a run: results side by side, numbers, training snapshots, loss curves and options."""

__all__ = ["Gallery"]

import contextlib
import hashlib
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from ..utils.errors import UserError
from ..utils.files import atomic_write, explain_os_error, explained, leftovers, make_folders
from ..utils.logging import get_logger
from ..utils.text import readable
from .curves import LossCurves
from .files import as_rgb, image_path, image_record, save_image, slug
from .page import VERSION, read_page, render_page

_SECTIONS = ("training", "results", "losses", "options", "notes")
_STALE_AFTER = 3600.0


class Gallery:
    """A static page that needs no network: ``<folder>/gallery/index.html``, images in ``gallery/images``.

    Images are written when they are added, the page when :meth:`write` is called; both are complete or absent at every
    moment. An existing page is continued: its contents stay until they are replaced or cleared. Training and evaluation
    may write the same page at the same time: each keeps the sections that it did not touch itself.

    Args:
        folder: the run folder (or a results folder); ``gallery/`` is made in it.
        title: heading of the page; an existing page keeps its heading when None.
        max_training: number of training snapshots kept. Beyond it the snapshot whose neighbours are closest is removed,
            so the rest covers the whole training evenly; the first and the newest are always kept.
        refresh_seconds: interval at which an open page reloads while it is live.

    Raises:
        UserError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        title: str | None = None,
        *,
        max_training: int = 60,
        refresh_seconds: int = 30,
    ):
        if max_training < 2:
            raise UserError(f"max_training {max_training}: a gallery keeps at least 2 training snapshots")
        self.folder = Path(folder) / "gallery"
        self.path = self.folder / "index.html"
        self._max_training = max_training
        self._refresh_seconds = refresh_seconds
        self._touched: set[str] = set()
        self._unwanted: set[Path] = set()
        self._curves: LossCurves | None = None
        try:
            for name in ("results", "training"):
                make_folders(Path(folder), "gallery", "images", name)
        except (OSError, UnicodeEncodeError) as error:
            raise explain_os_error(error, getattr(error, "filename", None) or self.folder, "create") from error
        self._remove_leftovers()
        self._state = self._load()
        if title is not None:
            self._state["title"] = title
        self._owners = self._find_owners()

    # -- images ------------------------------------------------------------------------------------------

    def add_training(self, epoch: int, iteration: int, images: Mapping[str, np.ndarray]) -> None:
        """Add a snapshot of the training: ``images`` maps names, in the order of display, to images.

        Images are uint8 RGB ``(H, W, 3)``; ``(H, W)`` and one channel become grey, of more than three channels the
        first three are shown. A snapshot of the same epoch and iteration is replaced.

        Raises:
            UserError: an image cannot be written (full disk, permissions).
        """
        images = {name: as_rgb(name, image) for name, image in images.items()}
        key = (int(epoch), int(iteration))
        base = f"epoch{key[0]:03d}_{key[1]:07d}"
        entry = {"epoch": key[0], "iteration": key[1], "images": self._save("training", base, key, images)}
        kept = [old for old in self._state["training"] if (old["epoch"], old["iteration"]) != key]
        self._forget(old for old in self._state["training"] if (old["epoch"], old["iteration"]) == key)
        kept.append(entry)
        kept.sort(key=lambda old: (old["epoch"], old["iteration"]))
        while len(kept) > self._max_training:
            self._forget([kept.pop(_most_crowded(kept))])
        self._state["training"] = kept
        self._touched.add("training")

    def truncate_training_after(self, epoch: int, iteration: int) -> None:
        """Remove the snapshots after this point, which a resumed run will make again."""
        kept = [old for old in self._state["training"] if (old["epoch"], old["iteration"]) <= (epoch, iteration)]
        self._forget(old for old in self._state["training"] if old not in kept)
        self._state["training"] = kept
        self._touched.add("training")

    def add_result(
        self, stem: str, images: Mapping[str, np.ndarray], numbers: Mapping[str, float] | None = None
    ) -> None:
        """Add the images of one evaluated sample, and its numbers (``{"ssim": 0.41}``).

        ``images`` is as in :meth:`add_training`. A result of the same stem is replaced, images and numbers.

        Raises:
            UserError: an image cannot be written (full disk, permissions).
        """
        images = {name: as_rgb(name, image) for name, image in images.items()}
        stem = readable(str(stem))
        entry = {"stem": stem, "numbers": _encodable(numbers or {})}
        entry["images"] = self._save("results", slug(stem), stem, images)
        if stem in self._state["results"]:
            self._forget([self._state["results"][stem]])
        self._state["results"][stem] = entry
        self._touched.add("results")

    def add_numbers(self, stem: str, numbers: Mapping[str, float]) -> None:
        """Add numbers to an existing result.

        Raises:
            UserError: there is no result of this stem.
        """
        stem = readable(str(stem))
        if stem not in self._state["results"]:
            raise UserError(f"{self.path} has no result {stem!r}: numbers need its images first")
        self._state["results"][stem]["numbers"].update(_encodable(numbers))
        self._touched.add("results")

    def clear_results(self) -> None:
        """Remove all results and notes, for instance before another checkpoint is evaluated into the same page."""
        self._forget(self._state["results"].values())
        self._state |= {"results": {}, "notes": []}
        self._touched |= {"results", "notes"}

    # -- the rest of the page ----------------------------------------------------------------------------

    def set_losses(self, log_path: str | os.PathLike) -> None:
        """Show the loss curves of a ``log.jsonl``, thinned as in :class:`LossCurves`; the next call reads on.

        Raises:
            UserError: the log cannot be read.
        """
        if self._curves is None or self._curves.path != Path(log_path):
            self._curves = LossCurves(log_path)
        self._state["losses"] = self._curves.update()
        self._touched.add("losses")

    def set_options(self, options: Mapping[str, object]) -> None:
        """Show the options of the run, in alphabetical order; options of options get dotted names."""
        self._state["options"] = sorted(_flat("", options))
        self._touched.add("options")

    def note(self, text: str) -> None:
        """Add a paragraph of plain text to the top of the page; the same text is shown once."""
        if text not in self._state["notes"]:
            self._state["notes"].append(str(text))
        self._touched.add("notes")

    def write(self, live: bool = False) -> Path:
        """Write the page and return its path.

        Args:
            live: more will follow: an open page reloads every ``refresh_seconds``.

        Raises:
            UserError: the page cannot be written (full disk, permissions).
        """
        self._merge()
        self._state["updated"] = round(time.time(), 1)
        self._state["refresh"] = self._refresh_seconds if live else None
        atomic_write(self.path, render_page(self._state))
        self._stamp = self._disk_stamp()
        # Only now: the earlier page still showed these images.
        used = {image_path(self.folder, f) for _, images in self._all_images() for f in _files_of(images)}
        for path in self._unwanted - used:
            with contextlib.suppress(OSError):
                path.unlink()
        self._unwanted.clear()
        self._owners = self._find_owners()
        return self.path

    # -- inside ------------------------------------------------------------------------------------------

    def _all_images(self) -> Iterator[tuple[object, dict[str, dict]]]:
        for entry in self._state["training"]:
            yield (entry["epoch"], entry["iteration"]), entry["images"]
        for entry in self._state["results"].values():
            yield entry["stem"], entry["images"]

    def _find_owners(self) -> dict[str, tuple]:
        """The image that has each name; names are compared without case, as some file systems do."""
        return {
            os.path.splitext(image_path(Path(), image["src"]).as_posix())[0].lower(): (owner, name)
            for owner, images in self._all_images()
            for name, image in images.items()
        }

    def _save(self, section: str, base: str, owner: object, images: Mapping[str, np.ndarray]) -> dict[str, dict]:
        records = {}
        for name, image in images.items():
            relative = self._claim(f"images/{section}/{base}_{slug(name)}", (owner, name))
            try:
                files = save_image(image, self.folder / relative)
            except OSError as error:
                raise explain_os_error(error, self.folder / relative) from error
            records[name] = image_record(self.folder, files, image.shape)
        return records

    def _claim(self, relative: str, owner: tuple) -> str:
        """Return ``relative``, changed if another image has it: different stems can give equal file names."""
        key = relative.lower()
        if self._owners.setdefault(key, owner) != owner:
            relative += "-" + hashlib.sha256(repr(owner).encode()).hexdigest()[:10]
            self._owners[relative.lower()] = owner
        return relative

    def _forget(self, entries: Iterable[dict]) -> None:
        for entry in entries:
            for file in _files_of(entry["images"]):
                path = image_path(self.folder, file)
                # A page can be edited by hand; it must not be able to name a file for deletion elsewhere.
                if path.resolve().is_relative_to((self.folder / "images").resolve()):
                    self._unwanted.add(path)

    def _disk_stamp(self) -> tuple | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _load(self) -> dict:
        self._stamp = self._disk_stamp()
        empty = {"version": VERSION, "title": "MindI2I", "training": [], "results": {}, "losses": None}
        empty |= {"options": [], "notes": []}
        if self._stamp is None:
            return empty
        state = read_page(self.path)
        if state is None:
            aside = self.path.with_name(f"index.html.unreadable-{time.strftime('%Y%m%d-%H%M%S')}")
            with explained(self.path, "replace"):
                os.replace(self.path, aside)
            get_logger().warning(f"{self.path} is not a gallery page: it is kept as {aside.name}, a new one begins")
            return empty
        return empty | state

    def _merge(self) -> None:
        """Adopt the sections that another process wrote meanwhile, except those written here."""
        if self._disk_stamp() == self._stamp or not self.path.exists():
            return
        theirs = read_page(self.path)
        if theirs is None:
            return
        for section in _SECTIONS:
            if section not in self._touched and section in theirs:
                self._state[section] = theirs[section]

    def _remove_leftovers(self) -> None:
        for folder in (self.folder, self.folder / "images/results", self.folder / "images/training"):
            for path in leftovers(folder):
                # Another process may still be using a recent one.
                with contextlib.suppress(OSError):
                    if time.time() - path.stat().st_mtime > _STALE_AFTER:
                        path.unlink()


def _files_of(images: Mapping[str, Mapping]) -> list[str]:
    return [image[kind] for image in images.values() for kind in ("src", "thumb") if kind in image]


def _most_crowded(entries: list[dict]) -> int:
    """Index of the inner entry whose removal leaves the smallest gap, in epochs and then in iterations."""

    def gap(i: int) -> tuple[int, int]:
        before, after = entries[i - 1], entries[i + 1]
        return after["epoch"] - before["epoch"], after["iteration"] - before["iteration"]

    return min(range(1, len(entries) - 1), key=gap) if len(entries) > 2 else 0


def _encodable(numbers: Mapping[str, float]) -> dict[str, float | str]:
    # JSON has neither NaN nor infinities; the page shows the words and sorts them last.
    numbers = {str(name): float(value) for name, value in numbers.items()}
    return {name: value if math.isfinite(value) else str(value) for name, value in numbers.items()}


def _flat(prefix: str, options: Mapping[str, object]) -> list[list[str]]:
    rows = []
    for key, value in options.items():
        if isinstance(value, Mapping) and value:
            rows.extend(_flat(f"{prefix}{key}.", value))
        else:
            rows.append([f"{prefix}{key}", str(value)])
    return rows
