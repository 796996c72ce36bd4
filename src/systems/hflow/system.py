"""hflow as a system: its networks, images to latents and back, samples, and images for display."""

__all__ = ["HFlowSystem", "image_grid"]

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
from mindspore import Tensor, nn

from ...contracts.passes import Pass, Port
from ...contracts.round_trip import RoundTrip
from ...contracts.system import Batch, System
from ...dataset.imagefolder import IMAGES, ImagesRequest
from ...imaging.images import unit_to_image
from ...models.hflow.bound import Bound, Encodings
from ...models.hflow.initial import init_parameters
from ...models.hflow.network import HFlow
from ...options.config import Config
from ...utils.errors import UserError
from . import HFLOW
from .objective import HFlowObjective
from .published import HFlowWeights
from .settings import ARCHITECTURE_KEYS, model_options

if TYPE_CHECKING:
    from .calls import ImageFlowModel
    from .studio import LatentStudio


class _Decode(nn.Cell):
    def __init__(self, network: HFlow):
        super().__init__()
        self.network = network

    def construct(self, *latents: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.network.generate(latents)


class HFlowSystem(System):
    """Timonen, Aittala and Lehtinen 2023, "Invertible Hierarchical Generative Model for Images".

    Batches: ``image`` float32 (N, 3, R, R) in [-1, 1], made from 8-bit images at the resolution of the options. ``F``
    is trained; ``F_ema``, its moving average, samples, encodes and is evaluated.

    Inputs and outputs of the networks are half of that, float32 (N, 3, R, R) in [-0.5, 0.5]. Latents are a list: one
    (N, c, r, r) for each spatial level from fine to coarse, then one (N, c, 1, 1) for each part of the top; all
    standard normal under the model. Each call is compiled once for each batch size.
    """

    description = HFLOW
    data = IMAGES
    published = HFlowWeights()
    architecture_keys = ("model", *ARCHITECTURE_KEYS)
    pixel_keys = ("resolutions",)

    def __init__(self, config: Config, training: bool = True):
        super().__init__(config, training)
        if config.precision != "fp32":
            raise UserError(
                f"hflow is exact only in float32: precision {config.precision} breaks its inverse; use --precision fp32"
            )
        self.options = model_options(config)
        levels = [str(level.resolution) for level in self.options.levels]
        tops = [f"1_{i}" for i in range(self.options.top.parts)]
        self.level_names = tuple(f"bits_{name}" for name in (*levels, *tops))
        for network in ("F", "F_ema") if training else ("F_ema",):
            cell = HFlow(self.options)
            init_parameters(cell, config.seed)
            # before the network is named, because a Cell renames the parameters of its children
            self._encode, self._decode = cell, _Decode(cell)
            self.add_network(network, cell)
        advice = "take an earlier checkpoint (--which_epoch), or train with a lower --lr"
        self.round_trip = RoundTrip(self.name, self._there_and_back, advice)
        if training and config.recompute:
            self.networks["F"].recompute_blocks()

    @property
    def stride(self) -> int:
        return self.options.resolution

    @classmethod
    def request(cls, config: Config, training: bool) -> ImagesRequest:
        return ImagesRequest(resolution=model_options(config).resolution)

    def objective(self, size: tuple[int, int]) -> HFlowObjective:
        return HFlowObjective(self)

    def check_size(self, image: np.ndarray) -> None:
        """Raise ``UserError`` unless images (N, 3, H, W) have the resolution of the network."""
        size = self.options.resolution
        if image.ndim != 4 or image.shape[1:] != (3, size, size):
            raise UserError(
                f"images of shape {'x'.join(map(str, image.shape[1:]))} do not fit this network, which takes "
                f"3x{size}x{size}: build the data set with --resolution {size}, or use the preset of its resolution"
            )

    # -- images to latents and back ----------------------------------------------------------------------------------

    def encode(self, image: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Images in [-0.5, 0.5] to latents and the log-determinant (N,) of the flows of all levels, in nats.

        Raises:
            UserError: images of another shape; weights whose channel mixes are not orthogonal any more.
        """
        image = np.asarray(image, np.float32)
        self.check_size(image)
        latents, logdets = self._encode(Tensor(image))
        total = self._total(logdets)
        self.require_inverse(image)
        return [z.asnumpy() for z in latents], total

    def decode(self, latents: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Latents to images, about [-0.5, 0.5] and not clamped, and the log-determinant of this direction.

        The latter is that of :meth:`encode` with the other sign.

        Raises:
            UserError: latents that :meth:`check_latents` refuses; weights that :meth:`encode` refuses.
        """
        arrays = [np.ascontiguousarray(z, np.float32) for z in latents]
        self.check_latents(arrays)
        image, logdets = self._decode(*(Tensor(z) for z in arrays))
        image, total = image.asnumpy(), self._total(logdets)
        self.require_inverse(image)
        return image, total

    def require_inverse(self, image: np.ndarray) -> None:
        """Raise ``UserError`` unless images in [-0.5, 0.5] come back from their latents; see :class:`RoundTrip`."""
        # training shows images of a flow that has learnt little yet, and other runtimes have their own arithmetic
        if not self.training and isinstance(self._decode, _Decode):
            self.round_trip.require(image)

    def _there_and_back(self, image: Tensor) -> Tensor:
        network = self.networks["F_ema"]
        return network.generate(network(image)[0])[0]

    def _total(self, logdets: Sequence[Tensor]) -> np.ndarray:
        total = sum(logdet.asnumpy() for logdet in logdets)
        if not np.isfinite(total).all() and (lost := self.lost_orthogonality("F_ema")):
            raise UserError(f"neither latents nor images of this checkpoint are right. {lost}")
        return total

    def lost_orthogonality(self, network: str) -> str:
        """Name the levels whose channel mixes should be orthogonal and are not; empty if there are none."""
        names = [
            name
            for name, chain in zip(self.level_names, self.networks[network].chains, strict=True)
            if chain.orthogonal and not np.isfinite(chain.mixes()[1].asnumpy()).all()
        ]
        if not names:
            return ""
        return (
            f"The channel mixes of {', '.join(names)} are not orthogonal any more: their weights have grown out of the "
            "range of the matrix exponential. Go on from an earlier checkpoint with a lower --lr"
        )

    def check_latents(self, latents: Sequence[np.ndarray]) -> None:
        """Raise ``UserError`` unless ``latents`` are what :meth:`encode` returns for some batch."""
        shapes = self.options.latent_shapes
        if len(latents) != len(shapes):
            raise UserError(
                f"{len(latents)} latents given, but this model has {len(shapes)}: "
                f"{', '.join(str(('N', *shape)).replace(chr(39), '') for shape in shapes)}"
            )
        batch = latents[0].shape[0] if latents[0].ndim else 0
        for i, (z, shape) in enumerate(zip(latents, shapes, strict=True)):
            if z.shape != (batch, *shape):
                raise UserError(f"latent {i} has shape {z.shape}, expected {(batch, *shape)}")

    def translate(self, batch: Batch, seed: int = 0) -> Batch:
        """``reconstructed_image``: the images through their latents and back."""
        latents, _ = self.encode(0.5 * batch["image"])
        return {"reconstructed_image": 2.0 * self.decode(latents)[0]}

    def passes(self) -> tuple[Pass, ...]:
        """``encode``, images to latents, and ``sample``, latents to images, with the log-determinants of both."""
        size, shapes = self.options.resolution, self.options.latent_shapes
        count = len(shapes)
        image = Port("image", ("batch", 3, size, size), column="image", gain=0.5)
        names = [f"latent_{i}" for i in range(count)]
        logdets = [f"logdet_{i}" for i in range(count)]
        latents = [Port(name, ("batch", *shape)) for name, shape in zip(names, shapes, strict=True)]
        return (
            Pass(
                "encode",
                self._encode,
                (image,),
                (*names, *logdets),
                partial(setattr, self, "_encode"),
                lambda results: (tuple(results[:count]), tuple(results[count:])),
            ),
            Pass(
                "sample",
                self._decode,
                tuple(latents),
                ("image", *logdets),
                partial(setattr, self, "_decode"),
                lambda results: (results[0], tuple(results[1:])),
            ),
        )

    # -- samples -----------------------------------------------------------------------------------------------------

    def draw(
        self,
        count: int,
        std: float | Sequence[float],
        seed: int | Sequence[int] = 0,
        begin: int = 0,
        end: int | None = None,
    ) -> list[np.ndarray]:
        """Latents of ``count`` images: standard deviation ``std`` on the spatial levels and 1 at the top, as published.

        A sequence gives each latent its own. A latent depends on ``seed`` and its place alone, not on ``count``; of the
        places those from ``begin`` up to ``end`` are drawn.
        """
        shapes, levels = self.options.latent_shapes, self.options.levels
        priors = [level.prior_std for level in levels] + [1.0] * self.options.top.parts
        given = np.atleast_1d(std).tolist()
        stds = given if np.ndim(std) else given * len(levels) + [1.0] * self.options.top.parts
        if len(stds) != len(shapes):
            raise UserError(
                f"{len(stds)} standard deviations given for {len(shapes)} latents: give one, or one for each"
            )
        latents: list[list[np.ndarray]] = [[] for _ in shapes]
        for i in range(begin, count if end is None else end):
            rng = np.random.default_rng([*np.atleast_1d(seed).tolist(), i])
            for j, shape in enumerate(shapes):
                latents[j].append(rng.standard_normal(shape, np.float32) * np.float32(stds[j] * priors[j]))
        return [np.stack(z) for z in latents]

    def sample(
        self, count: int, std: float | Sequence[float] = 0.8, seed: int | Sequence[int] = 0, batch_size: int = 0
    ) -> np.ndarray:
        """(count, 3, R, R) images in about [-0.5, 0.5] from the prior, ``batch_size`` at a time (0: all)."""
        batch_size = batch_size or count
        images = []
        for begin in range(0, count, batch_size):
            # also the last batch is whole, so that one graph is compiled
            images.append(self.decode(self.draw(count, std, seed, begin, begin + batch_size))[0])
        return np.concatenate(images)[:count]

    def visuals(self, batch: Batch, outputs: Batch) -> Batch:
        """An image, its reconstruction, and in training the published grid: five rows of falling standard deviation."""
        shown = {}
        if "image" in batch:
            shown["real_image"] = unit_to_image(batch["image"][0])
        shown |= {name: unit_to_image(value[0]) for name, value in outputs.items()}
        return shown | ({"samples": self.sample_grid(self.config.seed)} if self.training else {})

    def sample_grid(self, seed: int) -> np.ndarray:
        """uint8 (H, W, 3): rows of standard deviation 1 and ``sample_base_sigma`` times 1, 0.8, 0.5, 0.3."""
        base = self.config.sample_base_sigma
        columns = 6 if self.options.resolution >= 256 else 12
        rows = []
        for i, std in enumerate((1.0, base, 0.8 * base, 0.5 * base, 0.3 * base)):
            rows.append(2.0 * self.sample(columns, std, seed=seed + i))
        return image_grid(unit_to_image(np.concatenate(rows)), columns)

    # -- measuring ---------------------------------------------------------------------------------------------------

    @cached_property
    def bound(self) -> Bound:
        """The likelihood bound of the averaged weights."""
        return Bound(self.networks["F_ema"], strict=True)

    @cached_property
    def encodings(self) -> Encodings:
        """The encodings that noise is added to, by the averaged weights."""
        return Encodings(self.networks["F_ema"])

    # -- use ---------------------------------------------------------------------------------------------------------

    @classmethod
    def model_class(cls) -> "type[ImageFlowModel]":
        from .calls import ImageFlowModel

        return ImageFlowModel

    @classmethod
    def tasks(cls) -> Mapping[str, Callable]:
        from .tasks import TASKS

        return TASKS

    @classmethod
    def studio_class(cls) -> "type[LatentStudio]":
        from .studio import LatentStudio

        return LatentStudio


def image_grid(images: np.ndarray, columns: int, frame: int = 1) -> np.ndarray:
    """(N, H, W, 3) uint8 images in rows of ``columns``, each in a white frame of ``frame`` pixels."""
    n, height, width, channels = images.shape
    rows = -(-n // columns)
    padded = np.full((rows * columns, height + 2 * frame, width + 2 * frame, channels), 255, np.uint8)
    padded[:n, frame : frame + height, frame : frame + width] = images
    tiles = padded.reshape(rows, columns, *padded.shape[1:]).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(tiles.reshape(rows * padded.shape[1], columns * padded.shape[2], channels))
