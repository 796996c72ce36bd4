"""Two or three folders of pictures, without a run, as something to measure."""

__all__ = ["compare_folders"]

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from src.dataset.folders import stem_of
from src.evaluation.metrics.labels import Named, true_labels
from src.evaluation.metrics.measure import PAIRED, SETS, Comparison, Item
from src.utils.config import Config
from src.utils.errors import UserError
from src.utils.images import read_image
from src.utils.logging import get_logger

_SHOWN = 3


def compare_folders(config: Config, wanted: Sequence[str]) -> Comparison:
    """The pictures of ``fake`` with those of ``real`` and ``source``, paired by name.

    A picture's partner has its name or the longest beginning of it that ends before a ``_``, as results of runs do.

    Raises:
        UserError: a folder is missing or empty, or pictures lack the partners that what is wanted needs.
    """
    fakes = Named(config.fake)
    others = {name: Named(getattr(config, name)) for name in ("real", "source") if getattr(config, name)}
    if not others and set(wanted) & {*PAIRED, *SETS}:
        raise UserError(f"{', '.join(wanted)} compare pictures with others: pass --real FOLDER (or --source FOLDER)")
    if "real" not in others and set(wanted) & set(SETS):
        raise UserError("fid and kid compare with real pictures: pass --real FOLDER")
    pairs = {}
    for name, other in others.items():
        partners = {path: other.owner(stem_of(path)) for path in fakes.files}
        if _all_paired(name, fakes, other, partners, wanted):
            pairs[name] = partners
    if set(wanted) & set(PAIRED) and not pairs:
        shown = ", ".join(path.name for path in fakes.files[:_SHOWN])
        names = ", ".join(path.name for path in next(iter(others.values())).files[:_SHOWN])
        raise UserError(
            f"{', '.join(sorted(set(wanted) & set(PAIRED)))} compare each picture with its partner, and the names of "
            f"{fakes.folder} ({shown}, ...) have none in common with those of the other folder ({names}, ...): rename "
            "the files, or measure fid and kid only"
        )
    truths = true_labels(config, config.phase) if "miou" in wanted and config.truth else None
    items = [
        Item(
            path.stem,
            (path.stem, stem_of(path)),
            partial(_load, {"fake": path} | {name: partners[path] for name, partners in pairs.items()}),
            truths.owner(stem_of(path)) if truths else None,
        )
        for path in fakes.files
    ]
    reals = None
    if "real" in others:
        partners = list(pairs.get("real", {}).values())
        if sorted(partners) != sorted(others["real"].files):
            reals = [partial(read_image, path, 3) for path in others["real"].files]
    subject = {name: str(Path(getattr(config, name)).resolve()) for name in ("fake", *others)}
    return Comparison(fakes.folder.name or "pictures", items, tuple(pairs), reals, subject)


def _all_paired(
    name: str, fakes: Named, other: Named, partners: Mapping[Path, Path | None], wanted: Sequence[str]
) -> bool:
    """Whether every picture has a partner; some that have and some that lack one are a mistake."""
    lacking = [path.name for path in fakes.files if partners[path] is None]
    if not lacking:
        get_logger().info(f"{len(fakes.files)} pictures of {fakes.folder} pair with those of {other.folder} by name")
        return True
    if len(lacking) < len(fakes.files) and set(wanted) & set(PAIRED):
        more = ", ..." if len(lacking) > _SHOWN else ""
        raise UserError(
            f"{other.folder} lacks the partners of {len(lacking)} of {len(fakes.files)} pictures of {fakes.folder} "
            f"({', '.join(lacking[:_SHOWN])}{more}): add them or remove these"
        )
    possible = " and ".join(SETS) if name == "real" else "nothing"
    get_logger().info(
        f"{fakes.folder} ({len(fakes.files)}) and {other.folder} ({len(other.files)}) do not pair by name: "
        f"they are two sets, for {possible}"
    )
    return False


def _load(paths: Mapping[str, Path]) -> dict[str, np.ndarray]:
    return {name: read_image(path, 3) for name, path in paths.items()}
