"""Comparisons of two or three folders of images, without a run."""

__all__ = ["compare_folders"]

from collections.abc import Mapping, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path

import numpy as np

from ..dataset.folders import names_of
from ..imaging.images import read_image
from ..options.config import Config
from ..utils.errors import UserError
from ..utils.logging import get_logger
from ..utils.text import counted
from .labels import Named, true_labels
from .measure import PAIRED, SETS, Comparison, Item
from .prdc import check_enough
from .steadiness import check_frames

_SHOWN = 3


def compare_folders(config: Config, wanted: Sequence[str]) -> Comparison:
    """The images of ``fake`` with those of ``real`` and ``source``, paired by name.

    An image's partner has its name or the longest beginning of it that ends before a ``_``, as results of runs do.

    Raises:
        UserError: a folder is missing or empty, or images lack the partners that the wanted metrics need.
    """
    fakes = Named(config.fake)
    others = {name: Named(config[name]) for name in ("real", "source") if config[name]}
    if not others and set(wanted) & {*PAIRED, *SETS}:
        raise UserError(f"{', '.join(wanted)} compare images with others: pass --real FOLDER (or --source FOLDER)")
    if "real" not in others and set(wanted) & set(SETS):
        raise UserError(f"{', '.join(SETS)} compare with real images: pass --real FOLDER")
    if "prdc" in wanted:
        check_enough(len(fakes.files), len(others["real"].files), config.prdc_k)
    pairs = {}
    for name, other in others.items():
        partners = {path: other.owner(name) for name, path in fakes.by_stem.items()}
        if _all_paired(name, fakes, other, partners, wanted):
            pairs[name] = {path: partner for path, partner in partners.items() if partner}
    if set(wanted) & set(PAIRED) and not pairs:
        shown = ", ".join(path.name for path in fakes.files[:_SHOWN])
        names = ", ".join(path.name for path in next(iter(others.values())).files[:_SHOWN])
        raise UserError(
            f"{', '.join(sorted(set(wanted) & set(PAIRED)))} compare each image with its partner, and the names of "
            f"{fakes.folder} ({shown}, ...) have none in common with those of the other folder ({names}, ...): rename "
            f"the files, or measure {', '.join(SETS)} only"
        )
    has_truths = "miou" in wanted and config.truth
    truths = true_labels(config.truth, Path(config.data_root), config.phase) if has_truths else None
    titles = names_of(fakes.files, fakes.folder, attrgetter("stem"))
    flows = Named(config.flow) if config.flow else None
    if "warp_error" in wanted:
        stems = list(fakes.by_stem)
        frames = [str(path.with_suffix("")) for path in fakes.by_stem.values()]
        check_frames(frames, (lambda i: flows.owner(stems[i]) is not None) if flows else None, config.flow)
        if not (flows or pairs):
            raise UserError(
                f"warp_error needs the frames that those of {fakes.folder} were made from, paired by name: pass "
                "--source FOLDER, or --flow FOLDER with their optical flow"
            )
    items = [
        Item(
            title,
            (title, name),
            partial(_load, {"fake": path} | {column: partners[path] for column, partners in pairs.items()}),
            truths.owner(name) if truths else None,
            str(path.with_suffix("")),
            flows.owner(name) if flows else None,
        )
        for title, (name, path) in zip(titles, fakes.by_stem.items(), strict=True)
    ]
    reals = None
    if "real" in others:
        partners = list(pairs.get("real", {}).values())
        if sorted(partners) != sorted(others["real"].files):
            reals = [partial(read_image, path, 3) for path in others["real"].files]
    subject = {name: str(Path(config[name]).resolve()) for name in ("fake", *others)}
    given = flows.folder if flows else None
    return Comparison(fakes.folder.name or "pictures", items, tuple(pairs), reals, subject, given)


def _all_paired(
    name: str, fakes: Named, other: Named, partners: Mapping[Path, Path | None], wanted: Sequence[str]
) -> bool:
    """Whether every image has a partner; it is an error if only some have one."""
    lacking = [path.name for path in fakes.files if partners[path] is None]
    if not lacking:
        get_logger().info(f"{fakes.folder} ({counted(len(fakes.files), 'image')}) and {other.folder} pair by name")
        return True
    if len(lacking) < len(fakes.files) and set(wanted) & set(PAIRED):
        more = ", ..." if len(lacking) > _SHOWN else ""
        raise UserError(
            f"{other.folder} lacks the partners of {len(lacking)} of {counted(len(fakes.files), 'image')} of "
            f"{fakes.folder} ({', '.join(lacking[:_SHOWN])}{more}): add them or remove these"
        )
    possible = ", ".join(SETS) if name == "real" else "nothing"
    get_logger().info(
        f"{fakes.folder} ({len(fakes.files)}) and {other.folder} ({len(other.files)}) do not pair by name: "
        f"they are two sets, for {possible}"
    )
    return False


def _load(paths: Mapping[str, Path]) -> dict[str, np.ndarray]:
    return {name: read_image(path, 3) for name, path in paths.items()}
