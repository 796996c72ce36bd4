"""pix2pixHD as a system: its networks, and how a batch is translated."""

__all__ = ["Pix2PixHD"]

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING

import cv2
import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from ...contracts.passes import Pass, Port
from ...contracts.system import Batch, System
from ...dataset.paired import PAIRED, PairedRequest
from ...imaging.images import unit_to_image
from ...imaging.palette import colour_labels
from ...models.parameters import init_weights
from ...models.pix2pixhd.discriminator import MultiscaleDiscriminator
from ...models.pix2pixhd.inputs import NOTHING, InputEncoder, instance_mean
from ...models.pix2pixhd.networks import Encoder, GlobalGenerator, LocalEnhancer
from ...models.precision import compute_type, set_precision
from ...models.vgg import require_vgg
from ...options.config import Config
from ...utils.errors import UserError
from . import PIX2PIXHD
from .clusters import FeatureClusters, paint_regions, region_means
from .companions import FeatureCompanions
from .objective import NO_VGG, Pix2PixHDObjective
from .published import Pix2PixHDWeights

if TYPE_CHECKING:
    from ...editing.studio import Studio
    from ...inference.model import Model

# what the encoder's mirrored borders of 3 pixels need
_SMALLEST_ENCODED = 4


def _uses_features(config: Config) -> bool:
    return config.instance_feat or config.label_feat


def _uses_encoded_image(config: Config) -> bool:
    """Whether translation takes styles from the real image instead of the clusters, which only some programs offer."""
    return "use_encoded_image" in config and config.use_encoded_image


def _stride(config: Config, encodes: bool) -> int:
    levels = config.n_downsample_global + (config.n_local_enhancers if config.netG == "local" else 0)
    return 2 ** (max(levels, config.n_downsample_E) if encodes else levels)


def _check(config: Config, loads_features: bool) -> None:
    """Raise ``UserError`` for options that contradict each other."""
    if config.label_nc == 0 and not config.no_instance:
        raise UserError(
            "label_nc 0 translates images to images, which have no instance maps (they would be resized and "
            "normalised like images): pass --no_instance True"
        )
    if config.label_nc == 0 and (_uses_features(config) or loads_features):
        given = [name for name in ("instance_feat", "label_feat") if config[name]]
        given += ["load_features"] if loads_features else []
        raise UserError(
            "label_nc 0 translates images to images, which have no regions to pool features over: drop "
            f"{' and '.join(f'--{name}' for name in given)}, or pass the number of classes as --label_nc"
        )
    if config.no_instance and config.instance_feat:
        raise UserError("instance_feat needs instance maps: drop --no_instance, or use --label_feat True")
    if loads_features and not _uses_features(config):
        raise UserError("load_features feeds precomputed features: add --instance_feat True (or --label_feat True)")
    if loads_features and config.feat_num not in (1, 3, 4):
        raise UserError(
            "load_features reads feature maps from images, which hold 1, 3 or 4 channels, not feat_num "
            f"{config.feat_num}: pass --feat_num 3, or train without --load_features"
        )


class Pix2PixHD(System):
    """Wang et al. 2018, "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs".

    Batches: ``label`` int32 (N, 1, H, W), or float32 (N, input_nc, H, W) in [-1, 1] with ``label_nc 0``; ``inst`` int32
    (N, 1, H, W) in [0, max_instances) unless ``no_instance``; ``image`` float32 (N, output_nc, H, W) in [-1, 1] in
    training; ``feat`` float32 (N, feat_num, H, W) with ``load_features``. H and W are multiples of :attr:`stride`.
    """

    description = PIX2PIXHD
    data = PAIRED
    published = Pix2PixHDWeights()
    companions = FeatureCompanions()
    architecture_keys = (
        "model", "label_nc", "input_nc", "output_nc", "netG", "ngf", "n_downsample_global", "n_blocks_global",
        "n_blocks_local", "n_local_enhancers", "norm", "no_instance", "instance_feat", "label_feat", "feat_num",
        "n_downsample_E", "nef",
    )  # fmt: skip

    def __init__(self, config: Config, training: bool = True):
        super().__init__(config, training)
        self.uses_features = _uses_features(config)
        #: training reads precomputed features instead of encoding images
        self.loads_features = training and config.load_features
        self.uses_encoded_image = _uses_encoded_image(config)
        _check(config, self.loads_features)
        self.regions = config.label_nc if config.label_feat else config.max_instances
        self.encode = InputEncoder(config.label_nc, config.no_instance, compute_type(config.precision))
        self.condition_channels = (config.label_nc or config.input_nc) + (0 if config.no_instance else 1)
        self._add("G", self._generator(self.condition_channels + (config.feat_num if self.uses_features else 0)))
        if self.uses_features and not self.loads_features:
            self.add_encoder()
        if training:
            self._add("D", self._discriminator())
        self.clusters: FeatureClusters | None = None

    # -- networks ----------------------------------------------------------------------------------------------------

    def _add(self, name: str, cell: nn.Cell) -> None:
        config = self.config
        self.add_network(name, cell)
        init_weights(cell, config.init_type, config.init_gain, config.seed)
        set_precision(cell, config.precision)
        if self.training and config.recompute:
            cell.recompute_stages()

    def add_encoder(self) -> None:
        """Own an encoder with fresh weights."""
        config = self.config
        self._add("E", Encoder(config.output_nc, config.feat_num, config.nef, config.n_downsample_E, self._norm))

    @property
    def _norm(self) -> str:
        config = self.config
        alone = config.norm == "batch" and config.batch_statistics and not self.training
        return "batch_statistics" if alone else config.norm

    def _discriminator(self) -> MultiscaleDiscriminator:
        config = self.config
        channels, matching = self.condition_channels + config.output_nc, not config.no_ganFeat_loss
        return MultiscaleDiscriminator(channels, config.ndf, config.n_layers_D, config.num_D, self._norm, matching)

    def _generator(self, in_channels: int) -> nn.Cell:
        config = self.config
        if config.netG == "global":
            return GlobalGenerator(
                in_channels,
                config.output_nc,
                config.ngf,
                config.n_downsample_global,
                config.n_blocks_global,
                self._norm,
            )
        return LocalEnhancer(
            in_channels,
            config.output_nc,
            config.ngf,
            config.n_downsample_global,
            config.n_blocks_global,
            config.n_local_enhancers,
            config.n_blocks_local,
            self._norm,
        )

    @property
    def encodes(self) -> bool:
        """Whether there is an encoder that sees what the generator sees."""
        return "E" in self.networks and not self.loads_features

    @property
    def stride(self) -> int:
        return _stride(self.config, self.encodes)

    @property
    def smallest(self) -> int:
        """Two rows where the networks are narrowest, because residual blocks mirror one; ends mirror three of four."""
        return 2 * self.stride

    @property
    def made_from(self) -> str:
        return "" if self.config.label_nc else "label"

    @property
    def optional_networks(self) -> tuple[str, ...]:
        return ("E",)

    # -- data and training -------------------------------------------------------------------------------------------

    @classmethod
    def request(cls, config: Config, training: bool) -> PairedRequest:
        loads = training and config.load_features
        _check(config, loads)
        encoded = not training and _uses_encoded_image(config)
        ways_out = {
            "inst": "pass --no_instance True to do without instance maps",
            "feat": "make it with precompute_feature_maps.py, or pass --load_features False",
        }
        if encoded:
            ways_out["image"] = "pass --use_encoded_image False to draw styles instead of encoding photos"
        return PairedRequest(
            stride=_stride(config, _uses_features(config) and not loads),
            label_nc=config.label_nc,
            input_channels=config.input_nc,
            output_channels=config.output_nc,
            instances=not config.no_instance,
            regions="labels" if config.label_feat else "instances" if config.instance_feat else "",
            feature_channels=config.feat_num if loads else 0,
            needs_image=training or encoded,
            ways_out=ways_out,
        )

    @classmethod
    def check_files(cls, config: Config) -> None:
        if not config.no_vgg_loss:
            require_vgg(config.vgg_pre_trained, NO_VGG)

    def objective(self, size: tuple[int, int]) -> Pix2PixHDObjective:
        return Pix2PixHDObjective(self, size)

    def region_map(self, batch: Batch) -> np.ndarray:
        """The map whose regions have one style each; one number for systems without styles."""
        if not self.uses_features:
            return NOTHING
        return batch["label"] if self.config.label_feat else batch["inst"]

    # -- translation -------------------------------------------------------------------------------------------------

    def translate(self, batch: Batch, seed: int = 0) -> Batch:
        """Synthesise; features come from ``feat``, the encoded ``image`` (``use_encoded_image``) or the clusters.

        Sampled styles are a function of (``seed``, sample id, region).

        Raises:
            UserError: features are needed and there are neither clusters nor an image to encode.
        """
        features = NOTHING
        if self.uses_features:
            features = self._features(batch, seed)
        inst = batch.get("inst", NOTHING)
        fake = self._generate(Tensor(batch["label"]), Tensor(inst), Tensor(features))
        return {"synthesized_image": fake.astype(ms.float32).asnumpy()}

    @cached_property
    def _generate(self) -> nn.Cell:
        return _Generate(self.encode, self.networks["G"], self.uses_features)

    def _features(self, batch: Batch, seed: int) -> np.ndarray:
        if "feat" in batch:
            return batch["feat"]
        regions = self.region_map(batch)
        if self.uses_encoded_image:
            means = self.encode_means(batch)
            return np.stack([paint_regions(m, r[0]) for m, r in zip(means, regions, strict=True)])
        if self.clusters is None:
            raise UserError(
                f"a model with features needs the clusters {self.config.cluster_path}, and there is no such file: make "
                "it with precompute_feature_maps.py, or encode the real image: --use_encoded_image True"
            )
        return np.stack(
            [
                self.clusters.sample(regions[i, 0], batch["label"][i, 0], [seed, int(batch["id"][i])])
                for i in range(len(regions))
            ]
        )

    def encode_means(self, batch: Batch) -> np.ndarray:
        """Mean feature of every region of the real image, (N, regions, feat_num), zero where a region is empty.

        The image is encoded at the width that the encoder was trained at (``encode_load_size``).

        Raises:
            UserError: the checkpoint has no encoder.
        """
        if "E" not in self.networks:
            raise UserError(
                "this checkpoint has no encoder (its features were precomputed): draw styles from the clusters, "
                "without --use_encoded_image"
            )
        image, regions = batch["image"], self.region_map(batch)
        width = self.config.encode_load_size
        if width not in (0, image.shape[3]):
            size = self._encoder_size(image.shape[2:], width)
            image = np.stack([_resized(x.transpose(1, 2, 0), size, cv2.INTER_AREA).transpose(2, 0, 1) for x in image])
            regions = np.stack([_resized(r[0], size, cv2.INTER_NEAREST)[None] for r in regions])
        maps = self.encode_image(np.ascontiguousarray(image), regions)
        return np.stack([region_means(m, r[0], self.regions) for m, r in zip(maps, regions, strict=True)])

    def _encoder_size(self, size: tuple[int, int], width: int) -> tuple[int, int]:
        """(width, height) near the wanted width that the encoder's strides divide."""
        unit = 2**self.config.n_downsample_E
        height = width * size[0] / size[1]
        least = max(unit, _SMALLEST_ENCODED)
        return max(least, round(width / unit) * unit), max(least, round(height / unit) * unit)

    def encode_image(self, image: np.ndarray, regions: np.ndarray) -> np.ndarray:
        """Encode (N, C, H, W) images in [-1, 1] and average over (N, 1, H, W) regions: (N, feat_num, H, W)."""
        return self._encode(Tensor(image), Tensor(regions)).astype(ms.float32).asnumpy()

    @cached_property
    def _encode(self) -> nn.Cell:
        return _Encode(self.networks["E"], self.regions)

    def passes(self) -> tuple[Pass, ...]:
        """``G`` with what encodes its maps, and ``E`` with the mean over regions, where the checkpoint has it."""
        config, size = self.config, ("height", "width")
        label = Port("label", ("batch", config.input_nc, *size), "float32", "label")
        if config.label_nc:
            label = Port("label", ("batch", 1, *size), "int32", "label", high=config.label_nc)
        inst = Port("inst", ("batch", 1, *size), "int32", "inst", high=config.max_instances)
        if config.no_instance:
            inst = Port("inst", (1,))
        features = Port("features", ("batch", config.feat_num, *size) if self.uses_features else (1,), column="feat")
        found = [
            Pass(
                "G",
                self._generate,
                (label, inst, features),
                ("synthesized_image",),
                partial(setattr, self, "_generate"),
            )
        ]
        if "E" in self.networks:
            image = Port("image", ("batch", config.output_nc, *size), column="image")
            column = "label" if config.label_feat else "inst"
            regions = Port("regions", ("batch", 1, *size), "int32", column, high=self.regions)
            found.append(Pass("E", self._encode, (image, regions), ("features",), partial(setattr, self, "_encode")))
        return tuple(found)

    def visuals(self, batch: Batch, outputs: Batch) -> Batch:
        label = batch["label"][0]
        is_map = self.config.label_nc > 0
        shown = {"input_label": colour_labels(label[0], self.config.label_nc) if is_map else unit_to_image(label)}
        shown |= {name: unit_to_image(value[0]) for name, value in outputs.items()}
        if "image" in batch:
            shown["real_image"] = unit_to_image(batch["image"][0])
        return shown

    # -- from outside ------------------------------------------------------------------------------------------------

    @classmethod
    def model_class(cls) -> "type[Model]":
        from .calls import PairedModel

        return PairedModel

    @classmethod
    def tasks(cls) -> "Mapping[str, Callable[[Model, Config], int]]":
        from .precompute import precompute

        return {"precompute": precompute}

    @classmethod
    def studio_class(cls) -> "type[Studio]":
        from .studio import PairedStudio

        return PairedStudio


def _resized(array: np.ndarray, size: tuple[int, int], how: int) -> np.ndarray:
    resized = cv2.resize(array, size, interpolation=how)
    # OpenCV drops a last dimension of one
    return resized.reshape(*resized.shape[:2], *array.shape[2:])


class _Generate(nn.Cell):
    """Label and instance maps, with features where they are used, to an image."""

    def __init__(self, encode: nn.Cell, generator: nn.Cell, uses_features: bool):
        super().__init__()
        self.encode, self.generator, self.uses_features = encode, generator, uses_features

    def construct(self, label: Tensor, inst: Tensor, features: Tensor) -> Tensor:
        condition = self.encode(label, inst)
        if self.uses_features:
            condition = ops.concat((condition, features.astype(condition.dtype)), 1)
        return self.generator(condition)


class _Encode(nn.Cell):
    def __init__(self, encoder: nn.Cell, regions: int):
        super().__init__()
        self.encoder, self.regions = encoder, regions

    def construct(self, image: Tensor, regions: Tensor) -> Tensor:
        return instance_mean(self.encoder(image), regions, self.regions)
