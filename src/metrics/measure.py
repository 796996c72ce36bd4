"""One pass over images for all metrics: each image is decoded once, and each number states what was compared."""

__all__ = ["METRICS", "PAIRED", "SETS", "Comparison", "Item", "Tools", "measure", "stand_in"]

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from mindspore import Tensor

from ..dataset.batches import Batched, ahead
from ..dataset.transforms import resize_photo
from ..imaging.flow import read_flow
from ..imaging.images import image_to_unit
from ..imaging.video import in_order
from ..models.lpips import load_lpips
from ..options.config import Config
from ..utils.errors import UserError
from ..utils.files import sha256_file
from ..utils.progress import track
from ..utils.text import counted
from .entries import Entry, of_frames, of_labels, of_pictures, of_sets
from .features import VGG16, Features, FeatureSet, Inception
from .labels import FolderSegmenter, LabelScores, read_truth
from .segmentation_network import NetworkSegmenter, open_segmenter
from .similarity import psnr, ssim
from .steadiness import Flow, WarpErrors

#: metrics of an image and its partner, and of two sets of images
PAIRED, SETS = ("lpips", "psnr", "ssim"), ("fid", "kid", "prdc")
METRICS = tuple(sorted((*PAIRED, *SETS, "miou", "warp_error")))
_PIXELS = {"psnr": psnr, "ssim": ssim}
_PIXELS_A_BATCH = 1 << 20


@dataclass(frozen=True)
class Item:
    """An image that is measured.

    Attributes:
        stem: name of its sample.
        names: possible names of its prediction in a folder of predictions.
        load: reads ``fake`` and its references ``real`` and ``source``: uint8 (H, W, 3).
        truth: its true label map.
        frame: its name as a frame of a video.
        flow: the file of the optical flow back to the frame before.
    """

    stem: str
    names: tuple[str, ...]
    load: Callable[[], Mapping[str, np.ndarray]]
    truth: Path | None = None
    frame: str = ""
    flow: Path | None = None


@dataclass(frozen=True)
class Comparison:
    """Images of one origin and what they are compared with.

    Attributes:
        output: what the images show, in one or two words.
        items: the images.
        references: which of ``real`` and ``source`` every item loads.
        reals: real images that belong to no item, for comparisons of sets; None compares with the items' own.
        subject: where the images come from, for the record.
        flows: folder of the optical flow of videos; None searches for it.
    """

    output: str
    items: Sequence[Item]
    references: tuple[str, ...]
    reals: Sequence[Callable[[], np.ndarray]] | None
    subject: Mapping[str, object] = field(default_factory=dict)
    flows: Path | None = None

    @property
    def has_reals(self) -> bool:
        """Whether sets have something to compare with."""
        return self.reals is not None or "real" in self.references


class _Lpips:
    """LPIPS with its protocol."""

    def __init__(self, config: Config):
        self._network = load_lpips(config.lpips_weights, config.lpips_backbone)
        self.smallest = self._network.SMALLEST
        self.protocol = {
            "variant": "LPIPS v0.1, mean over images",
            "weights": Path(config.lpips_weights).name,
            "weights_sha256": sha256_file(config.lpips_weights),
            "backbone": Path(config.lpips_backbone).name,
            "backbone_sha256": sha256_file(config.lpips_backbone),
        }

    def distances(self) -> Batched:
        """Distances of images (3, H, W) in [-1, 1], added two at a time."""

        def run(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            return self._network(Tensor(a), Tensor(b)).asnumpy()

        return Batched(run, lambda shape: max(1, min(8, _PIXELS_A_BATCH // (shape[1] * shape[2]))))


class Tools:
    """The networks that metrics need, loaded before anything is measured.

    Args:
        config: the options.
        wanted: names of :data:`METRICS`.
        store: folder that keeps features of sets for the next time; None keeps none.
        draws_labels: the measured images are colour-coded label maps.

    Raises:
        UserError: a file is missing or unusable.
    """

    def __init__(self, config: Config, wanted: Sequence[str], store: Path | None = None, draws_labels: bool = False):
        if len(config.metrics_size) != 2 or any(config.metrics_size) != all(config.metrics_size):
            raise UserError(f"metrics_size {config.metrics_size} should be two numbers: [HEIGHT, WIDTH], or [0, 0]")
        self.config, self.wanted = config, tuple(wanted)
        self.size = (config.metrics_size[1], config.metrics_size[0]) if any(config.metrics_size) else None
        self.segmenter = open_segmenter(config, draws_labels) if "miou" in wanted else None
        self.lpips = _Lpips(config) if "lpips" in wanted else None
        self.features = _features(config, store) if set(SETS) & set(wanted) else None


def _features(config: Config, store: Path | None) -> Features:
    if config.vgg16_net_path:
        return VGG16(config.vgg16_net_path, store)
    return Inception(config.inception_net_path, config.fid_resizer, store)


@dataclass
class _Prepared:
    """An item as the networks and the sums take it."""

    item: Item
    pictures: dict[str, np.ndarray]
    sizes: dict[str, str]
    numbers: dict[tuple[str, str], float]
    units: dict[str, np.ndarray]
    features: dict[str, tuple[bytes, np.ndarray | None]]
    truth: np.ndarray | None
    flow: Flow | None


class _Preparation:
    """Prepares an item for the networks, in threads."""

    def __init__(self, comparison: Comparison, tools: Tools):
        self._tools = tools
        self._references = comparison.references
        self._of_features: tuple[str, ...] = ()
        if tools.features and comparison.has_reals:
            self._of_features = ("fake",) if comparison.reals is not None else ("fake", "real")
        self._pixels = [name for name in _PIXELS if name in tools.wanted]

    def __call__(self, item: Item) -> _Prepared:
        tools, loaded = self._tools, item.load()
        sizes = {name: _size_text(picture) for name, picture in loaded.items()}
        fake = loaded["fake"] if tools.size is None else resize_photo(loaded["fake"], tools.size)
        size = fake.shape[1], fake.shape[0]
        pictures = {"fake": fake} | {name: resize_photo(loaded[name], size) for name in self._references}
        numbers = {
            (reference, name): _PIXELS[name](fake, pictures[reference])
            for reference in self._references
            for name in self._pixels
        }
        units, truth = {}, None
        if tools.lpips and self._references:
            if min(size) < tools.lpips.smallest:
                raise UserError(
                    f"LPIPS needs sides of at least {tools.lpips.smallest}: {item.stem} is {size[0]}x{size[1]}"
                )
            units = {name: image_to_unit(picture) for name, picture in pictures.items()}
        features = {}
        if tools.features:
            features = {name: tools.features.prepare(pictures[name]) for name in self._of_features}
        if tools.segmenter and item.truth:
            truth = read_truth(item.truth, tools.config.truth_ids)
        flow = read_flow(item.flow) if item.flow and "warp_error" in tools.wanted else None
        return _Prepared(item, pictures, sizes, numbers, units, features, truth, flow)


def _size_text(picture: np.ndarray) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"


def measure(comparison: Comparison, tools: Tools, threads: int) -> list[Entry]:
    """Everything of ``tools.wanted`` that this comparison allows.

    Images are read, resized and compared pixel by pixel in ``threads`` threads beside the networks; at most a few are
    in memory at once.

    Raises:
        UserError: an image cannot be read, or there are too few.
    """
    sizes: dict[str, Counter] = {name: Counter() for name in ("fake", *comparison.references)}
    numbers: dict[tuple[str, str], dict[str, float]] = {
        (reference, name): {} for reference in comparison.references for name in PAIRED if name in tools.wanted
    }
    distances = {r: tools.lpips.distances() for r in comparison.references} if tools.lpips else {}
    sets = {}
    if tools.features and comparison.has_reals:
        sets = {name: FeatureSet(tools.features) for name in ("fake", "real")}
    labels = _Labels(comparison, tools, tools.segmenter) if tools.segmenter else None
    steadiness, follows = None, [False] * len(comparison.items)
    if "warp_error" in tools.wanted:
        ordered = in_order([item.frame for item in comparison.items])
        items, follows = [comparison.items[position] for position, _ in ordered], [after for _, after in ordered]
        comparison = replace(comparison, items=items)
        steadiness = WarpErrors(next(iter(comparison.references), ""), str(comparison.flows or ""))
    prepare, compared = _Preparation(comparison, tools), len(comparison.items)
    found = track(ahead(prepare, comparison.items, threads), f"measuring {comparison.output}", total=compared)
    for after, prepared in zip(follows, found, strict=True):
        for name, counter in sizes.items():
            counter[prepared.sizes[name]] += 1
        for key, value in prepared.numbers.items():
            numbers[key][prepared.item.stem] = value
        for reference, batched in distances.items():
            batched.add(prepared.units["fake"], prepared.units[reference])
        for name, features in prepared.features.items():
            sets[name].add(*features)
        if labels:
            labels.add(prepared)
        if steadiness:
            steadiness.add(prepared.item.stem, after, prepared.pictures, prepared.flow)
    for reference, batched in distances.items():
        stems = [item.stem for item in comparison.items]
        values = [float(value) for value in batched.results()]
        numbers[reference, "lpips"] = dict(zip(stems, values, strict=True))
    if sets and tools.features and comparison.reals is not None:
        sizes["real"] = _add_reals(comparison.reals, tools, tools.features, sets["real"], threads)
    common = {"size": _sizes(sizes["fake"], tools)}
    entries = []
    for (reference, name), values in numbers.items():
        own = tools.lpips.protocol if tools.lpips and name == "lpips" else {}
        against = _fitted(sizes, reference, tools)
        entries.append(of_pictures(comparison.output, reference, name, values, common | against | own))
    if sets and tools.features:
        against = {"size_real": _sizes(sizes["real"], tools)}
        fake, real = sets["fake"].array(), sets["real"].array()
        tools.features.store.save()
        wanted = [name for name in SETS if name in tools.wanted]
        protocol = common | against | tools.features.protocol
        entries += of_sets(comparison.output, wanted, fake, real, protocol, tools.config.seed, tools.config.prdc_k)
    if steadiness:
        entries += of_frames(comparison.output, steadiness, common)
    return entries + (labels.entries() if labels else [])


def _add_reals(
    reals: Sequence[Callable[[], np.ndarray]], tools: Tools, network: Features, features: FeatureSet, threads: int
) -> Counter:
    sizes: Counter = Counter()

    def prepare(load: Callable[[], np.ndarray]) -> tuple[str, tuple]:
        picture = load()
        size = _size_text(picture)
        return size, network.prepare(picture if tools.size is None else resize_photo(picture, tools.size))

    found = ahead(prepare, reals, threads)
    for size, prepared in track(found, "reading real images", total=len(reals)):
        sizes[size] += 1
        features.add(*prepared)
    return sizes


def _sizes(counter: Counter, tools: Tools) -> str:
    if not counter:
        return "none"
    most = counter.most_common(1)[0][0]
    text = most if len(counter) == 1 else f"{len(counter)} sizes, most often {most}"
    return text if tools.size is None else f"{text}, resized to {tools.size[0]}x{tools.size[1]} (Pillow bicubic)"


def _fitted(sizes: Mapping[str, Counter], reference: str, tools: Tools) -> dict[str, str]:
    """How the reference was resized to the size of the measured images."""
    if tools.size is not None or sizes[reference] == sizes["fake"]:
        return {f"size_{reference}": _sizes(sizes[reference], tools)}
    return {f"size_{reference}": f"{_sizes(sizes[reference], tools)}, resized to that of its partner (Pillow bicubic)"}


def stand_in(
    without: Sequence[str],
    count: int,
    references: Sequence[str],
    segmenter: FolderSegmenter | NetworkSegmenter,
    what: str,
) -> str:
    """The reference whose predicted labels replace true label maps; empty if every image has a true label map.

    Args:
        without: names of the images without a true label map, among ``count`` images.
        count: number of images.
        references: what each image is compared with.
        segmenter: where predictions come from.
        what: a noun for the images, used in messages.

    Raises:
        UserError: only some images have label maps, or nothing can replace them.
    """
    if not without:
        return ""
    if len(without) == count and references and segmenter.needs_pictures:
        return references[0]
    raise UserError(
        f"no true label map for {len(without)} of {counted(count, 'image')} of {what} (first: {without[0]}): "
        "pass --truth FOLDER"
    )


class _Labels:
    """Scores a segmenter's predictions on the images, and on the real images as an upper bound.

    Where no image has a true label map, the prediction on its partner replaces it.
    """

    def __init__(self, comparison: Comparison, tools: Tools, segmenter: FolderSegmenter | NetworkSegmenter):
        self._segmenter, self._output = segmenter, comparison.output
        self._names = {"cityscapes": "Cityscapes ids as train ids"}.get(tools.config.truth_ids, tools.config.truth_ids)
        without = [item.stem for item in comparison.items if item.truth is None]
        count, references = len(comparison.items), comparison.references
        self._stand_in = stand_in(without, count, references, self._segmenter, comparison.output)
        missing = self._segmenter.missing([item.names for item in comparison.items])
        if missing:
            raise UserError(
                f"{tools.config.segmenter} lacks predictions for {len(missing)} of "
                f"{counted(len(comparison.items), 'image')} (first: {missing[0]}.png)"
            )
        self._scores = {"fake": LabelScores(tools.config)}
        if "real" in comparison.references and self._segmenter.needs_pictures and not self._stand_in:
            self._scores["real"] = LabelScores(tools.config)

    def add(self, prepared: _Prepared) -> None:
        names, pictures = prepared.item.names, prepared.pictures
        truth = prepared.truth
        if truth is None:
            partner = pictures[self._stand_in]
            truth = self._segmenter.predict(names, partner, (partner.shape[1], partner.shape[0]))
        size = truth.shape[1], truth.shape[0]
        for kind, scores in self._scores.items():
            scores.add(truth, self._segmenter.predict(names, pictures[kind], size))

    def entries(self) -> list[Entry]:
        entries = []
        for kind, scores in self._scores.items():
            truth = f"what the segmenter sees in the {self._stand_in} image" if self._stand_in else self._names
            protocol = {"truth": truth} | scores.protocol | dict(self._segmenter.protocol)
            output = self._output if kind == "fake" else "real images (oracle)"
            entries += of_labels(output, scores, protocol, bool(self._stand_in))
        return entries
