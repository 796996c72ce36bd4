"""What the editor does with each kind of system: what it edits, which controls it has, and how it draws."""

__all__ = ["Studio", "open_studio"]

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from src.dataset.crops import Cropper
from src.dataset.folders import list_images
from src.dataset.imagefolder import image_rows, to_square
from src.dataset.layouts import LAYOUTS
from src.dataset.transforms import Geometry, resize_photo
from src.editing.documents import Document, Source, digit_source, label_source, picture_source
from src.inference.conditional import ConditionalFlowModel
from src.inference.images import ImageFlowModel
from src.inference.model import Model
from src.inference.paired import PairedModel
from src.inference.unpaired import CycleGANModel, HierarchyFlowModel
from src.utils.config import Config
from src.utils.errors import UserError
from src.utils.palette import CITYSCAPES, colour_table

_HIGHEST_SEED = 2**31 - 1


class Studio:
    """One model with documents to edit.

    ``settings`` are what the page's controls say, never trusted: every value is converted and checked where it is used.
    """

    def __init__(self, model: Model, source: Source):
        self.model, self.source = model, source

    @property
    def label_nc(self) -> int:
        """Classes of label maps; 0 where pictures are edited."""
        return 0

    @property
    def uses_photos(self) -> bool:
        """Whether drawing looks at the real picture of a label map."""
        return False

    def about(self) -> dict[str, Any]:
        """What the page has to know: classes, styles, controls."""
        return {
            "name": self.model.folder.resolve().name,
            "system": self.model.system.name,
            "checkpoint": self.model.tag,
            "device": self.model.device.target,
            "kind": self.source.kind,
            "documents": self.source.names,
            "where": self.source.where,
            "classes": _classes(self.label_nc, self.source.things),
            "styles": None,
            "controls": self.controls(),
        }

    def controls(self) -> list[dict[str, Any]]:
        """Controls of the page beside the drawing tools."""
        return []

    def open(self, index: int) -> tuple[Document, dict[int, list[float]]]:
        """Document ``index`` and the styles it starts with."""
        return self.source.open(index), {}

    def draw(self, document: Document, settings: dict[str, Any]) -> np.ndarray:
        """The picture for a document: uint8 (H, W, 3)."""
        raise NotImplementedError


def open_studio(model: Model, options: dict[str, str]) -> Studio:
    """The studio of a model, with documents from the folders that ``options`` or the run name.

    Raises:
        UserError: there is nothing to edit there.
    """
    for kind, studio in (
        (PairedModel, _PairedStudio),
        (ConditionalFlowModel, _FlowStudio),
        (ImageFlowModel, _LatentStudio),
        (CycleGANModel, _DirectionStudio),
        (HierarchyFlowModel, _LookStudio),
    ):
        if isinstance(model, kind):
            return studio(model, options)
    raise UserError(f"the editor does not know the system {model.system.name}")


def _classes(count: int, things: frozenset[int]) -> list[dict[str, Any]]:
    if not count:
        return []
    known = count == len(CITYSCAPES)
    return [
        {
            "id": i,
            "name": CITYSCAPES[i].name if known else f"class {i}",
            "group": CITYSCAPES[i].category if known else "classes",
            "colour": [int(c) for c in colour],
            "thing": i in things,
        }
        for i, colour in enumerate(colour_table(count))
    ]


def _scaled(options: dict[str, str], size: Callable[[int, int], tuple[int, int]]) -> Callable:
    """The size that the data set would have, or ``--width`` with the height that belongs to it."""
    width = int(options.get("width") or 0)
    if not width:
        return size
    return lambda w, h: (width, max(1, round(width * h / w)))


def _number(settings: dict[str, Any], key: str, default: float, low: float, high: float) -> float:
    value = settings.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise UserError(f"{key} {value!r} is not a number from {low} to {high}")
    return value


def _seed(settings: dict[str, Any], key: str = "seed") -> int:
    return int(_number(settings, key, 0, 0, _HIGHEST_SEED))


def _phase(options: dict[str, str]) -> str:
    return options.get("phase") or "test"


def _maps(config: Config, options: dict[str, str], label_nc: int, size: Callable) -> Source:
    given = {key: options.get(key, "") for key in ("labels", "instances", "photos")}
    allow = bool(getattr(config, "allow_8bit_instances", False))
    return label_source(Path(config.data_root), _phase(options), label_nc, size, allow_8bit=allow, **given)


def _pictures(folders: list[Path], options: dict[str, str], fitted: Callable) -> Source:
    if options.get("pictures"):
        folders = [Path(options["pictures"])]
    for folder in folders:
        if folder.is_dir() and (files := list_images(folder)):
            return picture_source(files, fitted, str(folder))
    shown = ", ".join(map(str, folders))
    raise UserError(f"there are no pictures to start from in {shown}: pass --pictures FOLDER or --data_root FOLDER")


def _fit_width(options: dict[str, str], width: int) -> Callable[[np.ndarray], np.ndarray]:
    """Scale pictures to ``--width``, or to ``width`` where they are wider; 0 leaves them."""
    wanted = int(options.get("width") or 0)

    def fitted(image: np.ndarray) -> np.ndarray:
        target = wanted or (min(width, image.shape[1]) if width else image.shape[1])
        return resize_photo(image, (target, max(1, round(target * image.shape[0] / image.shape[1]))))

    return fitted


def _colour(picture: np.ndarray) -> np.ndarray:
    """A picture of one, three or four channels as (H, W, 3)."""
    return np.repeat(picture[:, :, None], 3, 2) if picture.ndim == 2 else picture[:, :, :3]


# -- pix2pixHD -------------------------------------------------------------------------------------------------


class _PairedStudio(Studio):
    model: PairedModel

    def __init__(self, model: PairedModel, options: dict[str, str]):
        config = model.config
        root, phase = Path(config.data_root), _phase(options)
        if config.label_nc:
            size = Geometry(config.resize_or_crop, config.load_size, config.fine_size, 1).resized_whole
            source = _maps(config, options, config.label_nc, _scaled(options, size))
        else:
            width = config.load_size if config.resize_or_crop.startswith("scale_width") else 0
            source = _pictures([root / f"{phase}_A", root / "train_A"], options, _fit_width(options, width))
        super().__init__(model, source)

    @property
    def label_nc(self) -> int:
        return self.model.config.label_nc

    @property
    def _per_class(self) -> bool:
        return bool(self.model.config.label_feat)

    def about(self) -> dict[str, Any]:
        about = super().about()
        if self.model.has_styles:
            clusters = {} if self.model.clusters is None else self.model.clusters.by_label
            about["styles"] = {
                "per": "class" if self._per_class else "instance",
                "count": self.model.config.feat_num,
                "clusters": {str(label): np.round(rows, 5).tolist() for label, rows in clusters.items()},
            }
        return about

    def open(self, index: int) -> tuple[Document, dict[int, list[float]]]:
        """Styles are those of the photo where there is one; the page chooses the others."""
        document = self.source.open(index)
        styles = {}
        if self.model.has_styles and document.photo is not None and "encode" in self.model.offers:
            arguments = [
                Image.fromarray(document.photo),
                document.label,
                *([] if self.model.config.no_instance else [document.inst]),
            ]
            encoded = self.model.encode(*arguments)
            styles = {i: np.round(values.astype(float), 5).tolist() for i, values in encoded.items()}
        return document, styles

    def draw(self, document: Document, settings: dict[str, Any]) -> np.ndarray:
        if document.label is None:
            return _colour(self.model.translate(Image.fromarray(document.rgb), output="numpy"))
        inst = None if self.model.config.no_instance else document.inst
        styles = self._styles(document, settings) if self.model.has_styles else None
        return _colour(self.model.translate(document.label, inst, styles, output="numpy"))

    def _styles(self, document: Document, settings: dict[str, Any]) -> dict[int, np.ndarray]:
        """A style for every region of the map: zeros, the middle of the encoder's range, where the page has none."""
        given = settings.get("styles", {})
        count = self.model.config.feat_num
        styles = {}
        for region in np.unique(document.label if self._per_class else document.inst).tolist():
            values = given.get(str(region)) if isinstance(given, dict) else None
            if values is None:
                styles[region] = np.zeros(count, np.float32)
                continue
            if not isinstance(values, list) or not all(isinstance(v, (int, float)) for v in values):
                raise UserError(f"the style of {region} is {values!r}: {count} numbers in [-1, 1] are expected")
            # centres of clusters may lie a rounding outside
            styles[region] = np.clip(np.asarray(values, np.float32), -1, 1)
        return styles


# -- flows -----------------------------------------------------------------------------------------------------


def _level_settings(settings: dict[str, Any], defaults: list[float]) -> list[tuple[float, int, bool]]:
    """(temperature, seed, kept from the photo) of every level."""
    levels, count = settings.get("levels", []), len(defaults)
    if not isinstance(levels, list) or len(levels) not in (0, count) or not all(isinstance(v, dict) for v in levels):
        raise UserError(f"settings name {len(levels) if isinstance(levels, list) else levels!r} levels of {count}")
    return [
        (float(_number(v, "temperature", default, 0, 10)), _seed(v), v.get("keep") is True)
        for v, default in zip(levels or [{}] * count, defaults, strict=True)
    ]


class _FlowStudio(Studio):
    model: ConditionalFlowModel

    def __init__(self, model: ConditionalFlowModel, options: dict[str, str]):
        config = model.config
        root, phase = Path(config.data_root), _phase(options)
        height, width = model.size
        if LAYOUTS[config.dataset].planes:
            source = digit_source(model.label_nc, (width, height))
        elif model.label_nc:
            source = _maps(config, options, model.label_nc, lambda w, h: (width, height))
        else:
            val = "val" if phase == "test" else phase
            folders = [root / f"{phase}_img", root / f"{phase}_A", root / "leftImg8bit" / val, root / val]
            source = _pictures(folders, options, lambda image: resize_photo(image, (width, height)))
        super().__init__(model, source)

    @property
    def label_nc(self) -> int:
        return self.model.label_nc

    @property
    def uses_photos(self) -> bool:
        return self.source.kind == "labels"

    def controls(self) -> list[dict[str, Any]]:
        return [
            {
                "type": "levels",
                "names": [f"{h}x{w}" for _, h, w in self.model.latent_shapes],
                "temperatures": [float(self.model.config.temp)] * len(self.model.latent_shapes),
                "keep": self.source.kind == "labels",
            }
        ]

    def draw(self, document: Document, settings: dict[str, Any]) -> np.ndarray:
        condition = Image.fromarray(document.rgb) if document.label is None else document.label.astype(np.int32)
        more: dict[str, Any] = {"output": "numpy"}
        if self.model.system.network.use_bmaps:
            more["instances"] = document.inst.astype(np.int32)
        levels = _level_settings(settings, [self.model.config.temp] * len(self.model.latent_shapes))
        temperatures, seeds, kept = (list(column) for column in zip(*levels, strict=True))
        if any(kept) and document.photo is not None:
            redrawn = [i for i, keep in enumerate(kept) if not keep]
            picture = self.model.resample(
                Image.fromarray(document.photo), condition, redrawn, temperatures, seeds, **more
            )
        else:
            picture = self.model.sample(condition, temperatures, seeds, **more)
        return _colour(picture)


class _LatentStudio(Studio):
    model: ImageFlowModel

    def __init__(self, model: ImageFlowModel, options: dict[str, str]):
        config, size = model.config, model.resolution
        where = options.get("pictures") or config.data_root
        held_out = 0 if options.get("pictures") else config.held_out
        try:
            files = [row.files["image"] for row in image_rows(where, _phase(options), held_out)]
        except UserError as error:
            raise UserError(f"{error}; or pass --pictures FOLDER") from None
        super().__init__(
            model, picture_source(files, lambda image: to_square(image, size, config.image_fit), str(where))
        )

    @property
    def _deviations(self) -> list[float]:
        """As published: the base deviation for spatial levels, 1 for the top."""
        base = float(self.model.config.sample_base_sigma)
        return [base if h * w > 1 else 1.0 for _, h, w in self.model.latent_shapes]

    def controls(self) -> list[dict[str, Any]]:
        spatial = sum(h * w > 1 for _, h, w in self.model.latent_shapes)
        names = [
            f"{h}x{w}" if i < spatial else f"top {i - spatial + 1}"
            for i, (_, h, w) in enumerate(self.model.latent_shapes)
        ]
        return [
            {
                "type": "levels",
                "names": names,
                "temperatures": self._deviations,
                "keep": True,
                "kept": True,
            }
        ]

    def draw(self, document: Document, settings: dict[str, Any]) -> np.ndarray:
        shapes = self.model.latent_shapes
        levels = _level_settings(settings, self._deviations)
        runner = self.model.system.runner
        latents = []
        encoded = self.model.encode(document.rgb) if any(keep for *_, keep in levels) else [None] * len(shapes)
        for i, ((temperature, seed, keep), own) in enumerate(zip(levels, encoded, strict=True)):
            latents.append(own if keep else runner.draw(1, [temperature] * len(shapes), seed)[i])
        return self.model.decode(latents)[0]


# -- unpaired --------------------------------------------------------------------------------------------------


def _domain(config: Config, domain: str, phase: str) -> list[Path]:
    option = {"A": "source_root", "B": "target_root"}[domain]
    own = getattr(config, option).replace("{phase}", phase)
    root = Path(config.data_root)
    return [*([Path(own)] if own else []), *(root / f"{p}{s}{domain}" for p in (phase, "train") for s in ("", "_"))]


def _fit_unpaired(config: Config, options: dict[str, str]) -> Callable[[np.ndarray], np.ndarray]:
    """The size that evaluation gives to pictures."""
    if options.get("width"):
        return _fit_width(options, 0)
    if config.eval_size == "original":
        return lambda image: image
    size = config.width or config.fine_size, config.height or config.fine_size
    cropper = Cropper(config.resize_or_crop, config.load_size, *size, config.scale_l, config.scale_h, 1)
    return lambda image: cropper.whole({"A": image})["A"]


class _DirectionStudio(Studio):
    model: CycleGANModel

    def __init__(self, model: CycleGANModel, options: dict[str, str]):
        config, phase = model.config, _phase(options)
        folders = [
            f for d in ("A", "B") if f"{d}2{'BA'[d == 'B']}" in model.directions for f in _domain(config, d, phase)
        ]
        fitted = _fit_unpaired(config, options)
        found = [f for f in folders if f.is_dir()] if not options.get("pictures") else []
        source = _pictures(found or folders, options, fitted)
        if len(found) > 1 and {found[0].name[-1], found[-1].name[-1]} == {"A", "B"}:
            other = next(f for f in found if f.name[-1] != found[0].name[-1])
            files = list_images(found[0]) + list_images(other)
            source = picture_source(files, fitted, f"{found[0]} and {other}")
        super().__init__(model, source)

    def controls(self) -> list[dict[str, Any]]:
        words = {"A2B": "A to B", "B2A": "B to A"}
        return [
            {
                "type": "choice",
                "id": "direction",
                "label": "Direction",
                "options": [[way, words[way]] for way in self.model.directions],
            }
        ]

    def draw(self, document: Document, settings: dict[str, Any]) -> np.ndarray:
        direction = str(settings.get("direction", self.model.directions[0]))
        return _colour(self.model.translate(Image.fromarray(document.rgb), direction, output="numpy"))


class _LookStudio(Studio):
    model: HierarchyFlowModel

    def __init__(self, model: HierarchyFlowModel, options: dict[str, str]):
        config, phase = model.config, _phase(options)
        fitted = _fit_unpaired(config, options)
        super().__init__(model, _pictures(_domain(config, "A", phase), options, fitted))
        styles = {"pictures": options.get("styles", "")}
        self.looks = _pictures(_domain(config, "B", phase), styles, fitted)

    def controls(self) -> list[dict[str, Any]]:
        return [{"type": "look", "id": "look", "label": "Style picture", "names": self.looks.names}]

    def draw(self, document: Document, settings: dict[str, Any]) -> np.ndarray:
        look = self.looks.open(int(_number(settings, "look", 0, 0, len(self.looks.names) - 1)))
        return self.model.translate(document.rgb, look.rgb)
