"""Measured numbers with what is needed to compare them: protocol, counts and warnings."""

__all__ = ["REALISM", "SEMANTICS", "Entry", "of_frames", "of_labels", "of_pictures", "of_sets", "over_samplings"]

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..utils.text import counted
from .fid import SUBSET_SIZE, SUBSETS, fid, kid
from .labels import LabelScores
from .prdc import expected_coverage, prdc
from .similarity import PSNR_VARIANT, SSIM_VARIANT
from .steadiness import WarpErrors

REALISM, SEMANTICS, STEADINESS = "realism", "semantics", "steadiness of a video"
_GROUPS = {"real": "closeness to the real image", "source": "content kept from the source"}
_VARIANTS = {"psnr": PSNR_VARIANT, "ssim": SSIM_VARIANT}
_FEW = 100
_LABELS = {"miou": "class_iou", "pixel_accuracy": "pixel_accuracy", "class_accuracy": "class_accuracy"}


@dataclass(frozen=True)
class Entry:
    """One number.

    Attributes:
        output: what was measured.
        group: which question the number answers.
        metric: name of the metric.
        value: the number.
        count: number of measured images.
        protocol: everything that must be equal in another number before the two are compared.
        spread: standard deviation, over images or over KID's subsets; None where there is none.
        warnings: reasons not to trust the number.
        pictures: the number of each image by stem, where there is one.
        details: parts of the number by name.
    """

    output: str
    group: str
    metric: str
    value: float
    count: int
    protocol: Mapping[str, object]
    spread: float | None = None
    warnings: Sequence[str] = ()
    pictures: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, float | None] = field(default_factory=dict)


def of_pictures(
    output: str, reference: str, metric: str, values: Mapping[str, float], protocol: Mapping[str, object]
) -> Entry:
    """The mean of numbers that every image has, by stem."""
    numbers = np.array(list(values.values()))
    warnings = []
    equal = int(np.isinf(numbers).sum())
    if equal:
        rest = f"; the mean of the others is {numbers[np.isfinite(numbers)].mean():.2f}" if equal < len(numbers) else ""
        warnings.append(
            f"identical to the partner: {equal} of {counted(len(numbers), 'image')}, so this is infinite{rest}"
        )
    own = {"count": len(numbers), "variant": _VARIANTS[metric]} if metric in _VARIANTS else {"count": len(numbers)}
    spread = float(numbers.std()) if len(numbers) > 1 and not equal else None
    value = math.inf if equal else float(numbers.mean())
    return Entry(
        output, _GROUPS[reference], metric, value, len(numbers), own | dict(protocol), spread, warnings, dict(values)
    )


def of_frames(output: str, errors: WarpErrors, protocol: Mapping[str, object]) -> list[Entry]:
    """The warping error of translated frames, and that of the original frames, below which it need not go."""
    entries = []
    for kind, values in errors.errors.items():
        numbers, own = np.array(list(values.values())), {"count": len(values)} | errors.protocol | dict(protocol)
        name = output if kind == "fake" else f"{kind} images (floor)"
        spread = float(numbers.std()) if len(numbers) > 1 else None
        shown = values if kind == "fake" else {}
        entry = Entry(name, STEADINESS, "warp_error", float(numbers.mean()), len(numbers), own, spread, errors.warnings)
        entries.append(replace(entry, pictures=shown))
    return entries


def of_sets(
    output: str,
    wanted: Sequence[str],
    fake: np.ndarray,
    real: np.ndarray,
    protocol: Mapping[str, object],
    seed: int,
    k: int = 0,
) -> list[Entry]:
    """FID, KID, and precision, recall, density and coverage with ``k`` neighbours, of two sets of features.

    Raises:
        UserError: fewer than two images of a kind, or not more than ``k``.
    """
    counts = {"count_fake": len(fake), "count_real": len(real)}
    fewest, entries = min(len(fake), len(real)), []
    if "fid" in wanted:
        warnings = []
        if fewest < real.shape[1]:
            warnings.append(
                f"with {counted(fewest, 'image')}, fewer than the {real.shape[1]} features, the covariance is singular "
                "and FID is too high by an amount that depends on the count; compare it only at the same counts, and "
                "look at kid"
            )
        own = counts | {"variant": "Heusel et al. 2017"} | dict(protocol)
        entries.append(Entry(output, REALISM, "fid", fid(real, fake), len(fake), own, warnings=warnings))
    if "kid" in wanted:
        size = min(SUBSET_SIZE, fewest)
        value, spread = kid(real, fake, seed=seed)
        own = counts | {
            "variant": f"Binkowski et al. 2018, unbiased, kernel (x.y / {real.shape[1]} + 1)^3",
            "subsets": f"{SUBSETS} of {size}",
            "seed": seed,
        }
        whole = size == len(fake) == len(real)
        warnings = []
        if whole:
            own["subsets"] = f"all {size} at once"
        if size < SUBSET_SIZE:
            note = (
                "no standard deviation over subsets"
                if whole
                else "a standard deviation over overlapping subsets that is too small"
            )
            warnings.append(f"with {counted(fewest, 'image')}, fewer than a subset's {SUBSET_SIZE}, there is {note}")
        if fewest < _FEW:
            warnings.append(
                f"with {counted(fewest, 'image')} the estimate is mostly chance; below 0 means no difference seen"
            )
        entries.append(
            Entry(output, REALISM, "kid", value, len(fake), own | dict(protocol), None if whole else spread, warnings)
        )
    if "prdc" in wanted:
        own = counts | {"variant": "Naeem et al. 2020", "k": k}
        warnings = [f"with {counted(fewest, 'image')} the estimate is mostly chance"] if fewest < _FEW else []
        # what two halves of one set have, without which the number cannot be judged
        equal = {"density": "1", "coverage": f"{expected_coverage(len(real), len(fake), k):.4f}"}
        for metric, value in prdc(real, fake, k).items():
            floor = {"expected_of_equal_sets": equal[metric]} if metric in equal else {}
            entries.append(
                Entry(output, REALISM, metric, value, len(fake), own | floor | dict(protocol), warnings=warnings)
            )
    return entries


def over_samplings(entries: Sequence[Entry]) -> list[Entry]:
    """Mean and standard deviation of each metric over the samplings ``NAME``, ``NAME_2``, ... of one condition."""
    groups: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    names = {entry.output for entry in entries}
    for entry in entries:
        base, _, number = entry.output.rpartition("_")
        first = base if number.isdigit() and base in names else entry.output
        groups[first, entry.group, entry.metric].append(entry)
    return [
        Entry(
            *(f"{first} ({len(drawn)} samplings)", group, metric, float(np.mean([entry.value for entry in drawn]))),
            count=sum(entry.count for entry in drawn),
            protocol={"samplings": len(drawn), "deviation": "over samplings"} | dict(drawn[0].protocol),
            spread=float(np.std([entry.value for entry in drawn], ddof=1)),
            warnings=list(dict.fromkeys(warning for entry in drawn for warning in entry.warnings)),
        )
        for (first, group, metric), drawn in groups.items()
        if len({entry.output for entry in drawn}) == len(drawn) > 1
    ]


def of_labels(output: str, scores: LabelScores, protocol: Mapping[str, object], guessed: bool) -> list[Entry]:
    """Mean IoU, pixel and class accuracy; ``guessed``: a segmenter replaces the true label maps."""
    warnings = []
    if guessed:
        warnings.append("there are no true label maps: this is agreement with the segmenter itself, errors included")
    own, found, ious = {"count": scores.pictures} | dict(protocol), scores.scores(), scores.ious()
    absent = sum(iou is None for iou in ious.values())
    if absent:
        warnings.append(
            f"absent from all images and from the mean: {absent} of {counted(len(ious), 'class', 'classes')}"
        )
    return [
        Entry(
            *(output, SEMANTICS, metric, found[name], scores.pictures, own),
            warnings=warnings if metric == "miou" else (),
            details=ious if metric == "miou" else {},
        )
        for metric, name in _LABELS.items()
    ]
