"""Examining square images: the effect of other shapes and sizes, and the held-out images."""

__all__ = ["examine"]

from collections.abc import Sequence
from pathlib import Path

from ..options.config import Config
from ..utils.text import counted
from .check import Finding, examine_reader
from .folders import list_images
from .imagefolder import ImageReader, ImagesRequest
from .report import Report


def examine(request: ImagesRequest, options: Config, phase: str) -> Report:
    """Read every image of ``phase`` as training would and collect what is wrong with it."""
    report = Report()
    if phase == "train":
        _tell_held_out(report, options)
    return examine_reader(
        lambda: ImageReader(request, options, phase, training=True), options, tell=_tell_fit, report=report
    )


def _tell_held_out(report: Report, options: Config) -> None:
    """Report the images for evaluation."""
    root = Path(options.data_root)
    if not root.is_dir():
        return
    own, seen = root / "test_img", root / "train_img"
    if own.is_dir():
        report.facts.append(("held out", f"{counted(len(list_images(own)), 'image')} in {own}"))
    elif not seen.is_dir() and options.held_out:
        total = counted(len(list_images(root)), "image")
        report.facts.append(("held out", f"the last {options.held_out} of {total} in {root}"))
    else:
        reason = f"there is no folder {own}" if seen.is_dir() else "held_out is 0"
        report.notices.append(f"{reason}: evaluation uses images that training has seen")


def _tell_fit(report: Report, reader: ImageReader, findings: Sequence[Finding]) -> None:
    """Report the effect of ``image_fit`` on images that are not square, and the enlargement of small images."""
    sizes = [finding.on_disk for finding in findings if finding.on_disk]
    ratios = [max(size) / min(size) for size in sizes if size[0] != size[1]]
    if ratios:
        some = f"{len(ratios)} of {counted(len(sizes), 'image')}"
        effect = {
            "crop": f"cuts up to {100 - 100 / max(ratios):.0f} % of {some} away",
            "squash": f"changes the aspect ratio of {some}, by a factor of up to {max(ratios):.2f}",
        }
        report.facts.append((f"image_fit {reader.fit}", effect[reader.fit]))
    small = [reader.size / min(size) for size in sizes if min(size) < reader.size]
    if small:
        report.notices.append(
            f"a side below {reader.size} pixels is enlarged, by a factor of up to {max(small):.2f}, in {len(small)} of "
            f"{counted(len(sizes), 'image')}: leave them out, or train at a lower resolution"
        )
