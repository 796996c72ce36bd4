"""True label maps and a segmenter's predictions of them, in one numbering and of one size."""

__all__ = ["FolderSegmenter", "LabelScores", "Named", "read_truth", "true_labels"]

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..dataset.folders import list_images, names_of
from ..dataset.transforms import resize_ids, resize_photo
from ..imaging.images import IMAGE_EXTENSIONS, read_image, read_labels
from ..imaging.palette import IGNORED, to_train_ids
from ..options.config import Config
from ..utils.errors import UserError
from .segmentation_scores import CLASSES, class_ious, confusion, semantic_scores, train_ids_of_colours


class Named:
    """Files of a folder by the name of the sample they belong to, which may be the start of their own.

    ``aachen_1_synthesized_image.png`` belongs to ``aachen_1``, and ``aachen_11.png`` does not.
    """

    def __init__(self, folder: str | Path, files: Sequence[Path] | None = None):
        self.folder = Path(folder)
        self.files = list_images(folder) if files is None else list(files)
        if not self.files:
            raise UserError(f"folder {folder} holds no images ({', '.join(IMAGE_EXTENSIONS)})")
        self.by_stem = dict(zip(names_of(self.files, self.folder), self.files, strict=True))

    def find(self, *stems: str, taken: Collection[str] = ()) -> Path | None:
        """The file with the first of these names that exists, else the first whose name begins with one.

        Names that are ``taken`` belong to other samples.
        """
        for stem in stems:
            if stem in self.by_stem:
                return self.by_stem[stem]
        longer = sorted(own for own in self.by_stem if any(own.startswith(f"{stem}_") for stem in stems))
        longer = [own for own in longer if own not in taken]
        return self.by_stem[longer[0]] if longer else None

    def owner(self, stem: str) -> Path | None:
        """The file named ``stem``, else the one with the longest beginning of it that ends before a ``_``."""
        while stem not in self.by_stem:
            stem, separator, _ = stem.rpartition("_")
            if not separator:
                return None
        return self.by_stem[stem]


def true_labels(given: str | Path, root: Path, phase: str) -> Named:
    """The label map of every sample: from the folder ``given``, else from the data set in ``root``.

    Raises:
        UserError: there are no label maps.
    """
    if given:
        return Named(given)
    for folder, ending in (
        (root / "gtFine" / ("val" if phase == "test" else phase), "_labelIds"),
        (root / f"{phase}_label", ""),
    ):
        if folder.is_dir():
            return Named(folder, [p for p in list_images(folder) if p.stem.endswith(ending)])
    raise UserError(
        f"{root} has neither gtFine nor {phase}_label: pass --data_root or --truth with the true label maps"
    )


def read_truth(path: Path, numbering: str) -> np.ndarray:
    """(H, W) class numbers of a label map; see option ``truth_ids``."""
    ids = read_labels(path)
    return to_train_ids(ids) if numbering == "cityscapes" else ids


class LabelScores:
    """Scores of predictions over a whole set.

    Args:
        config: options ``truth_ids`` and ``label_nc``.
    """

    def __init__(self, config: Config):
        own = config.truth_ids == "own"
        if own and config.label_nc < 1:
            raise UserError("truth_ids own scores the classes below label_nc, which is 0: pass --label_nc")
        self.names = tuple(f"class {i}" for i in range(config.label_nc)) if own else CLASSES
        self._counts = np.zeros((len(self.names), len(self.names) + 1), np.int64)
        self.pictures = 0

    @property
    def protocol(self) -> dict[str, object]:
        classes = "19 Cityscapes train ids" if self.names is CLASSES else f"{len(self.names)} classes of the label maps"
        return {
            "classes": classes,
            "ignored": f"pixels of any other true class ({IGNORED} among them)",
            "size": "that of the true label maps; predictions are resized to it by nearest neighbour",
        }

    def add(self, truth: np.ndarray, predicted: np.ndarray) -> None:
        """Add an image: class numbers (H, W), both of one size."""
        self._counts += confusion(truth, predicted, len(self.names))
        self.pictures += 1

    def scores(self) -> dict[str, float]:
        """See :func:`src.metrics.segmentation_scores.semantic_scores`."""
        return semantic_scores(self._counts)

    def ious(self) -> dict[str, float | None]:
        """Intersection over union by class name."""
        return dict(zip(self.names, class_ious(self._counts), strict=True))


class FolderSegmenter:
    """Predictions of an external segmenter: images named like its input images, or like their samples.

    Args:
        folder: folder of the predictions.
        output: ``ids`` of Cityscapes, ``train_ids`` (any numbering that is that of the truth) or ``colours`` of the
            Cityscapes classes, which are matched to the nearest.
    """

    needs_pictures = False

    def __init__(self, folder: str | Path, output: str):
        self._files, self._output = Named(folder), output
        self._taken: frozenset[str] = frozenset()
        self.protocol: Mapping[str, object] = {"segmenter": f"folder {Path(folder)}", "segmenter_output": output}

    def tell_apart(self, names: Iterable[str]) -> None:
        """Use a prediction whose name is one of ``names``, the names of all images, for that image only."""
        self._taken = frozenset(names)

    def missing(self, names: Sequence[tuple[str, ...]]) -> list[str]:
        """First names of those that have no prediction."""
        return [stems[0] for stems in names if self._files.find(*stems, taken=self._taken) is None]

    def predict(self, stems: tuple[str, ...], picture: np.ndarray | None, size: tuple[int, int]) -> np.ndarray:
        """Class numbers at ``size`` = (width, height) for the first of these names that exists."""
        path = self._files.find(*stems, taken=self._taken)
        if path is None:
            raise UserError(f"{self._files.folder} has no prediction {stems[0]}.png")
        if self._output == "colours":
            return train_ids_of_colours(resize_photo(read_image(path, 3), size))
        ids = read_labels(path)
        return resize_ids(to_train_ids(ids) if self._output == "ids" else ids, size)
