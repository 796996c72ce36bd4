"""pix2pixHD as a system: its networks, and how a batch is translated."""

__all__ = ["Pix2PixHD"]

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from ...contracts.passes import Pass, Port
from ...contracts.system import Batch, System
from ...dataset.paired import PAIRED, PairedRequest
from ...imaging.images import unit_to_image
from ...imaging.palette import colour_labels
from ...inference.padding import size_of
from ...models.diffaug import policies_of
from ...models.parameters import init_weights
from ...models.pix2pixhd.discriminator import MultiscaleDiscriminator
from ...models.pix2pixhd.inputs import NOTHING, InputEncoder
from ...models.pix2pixhd.layers import LAYERS
from ...models.pix2pixhd.light import LightGenerator
from ...models.pix2pixhd.networks import Encoder, GlobalGenerator, LocalEnhancer
from ...models.pix2pixhd.passes import Encode, Generate
from ...models.precision import compute_type, set_precision
from ...models.vgg import require_vgg
from ...options.config import Config
from ...utils.errors import UserError
from . import PIX2PIXHD
from .choices import check_options, stride_of, uses_encoded_image, uses_features
from .clusters import FeatureClusters, paint_regions, region_means
from .companions import FeatureCompanions
from .objective import NO_VGG, Pix2PixHDObjective
from .patches import check_patches
from .published import Pix2PixHDWeights

if TYPE_CHECKING:
    from .calls import PairedModel
    from .studio import PairedStudio

# smallest side for the encoder's mirrored borders of 3 pixels
_SMALLEST_ENCODED = 4


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
        "n_downsample_E", "nef", "layers",
    )  # fmt: skip

    def __init__(self, config: Config, training: bool = True):
        super().__init__(config, training)
        self.uses_features = uses_features(config)
        #: training reads precomputed features instead of encoding images
        self.loads_features = training and config.load_features
        self.uses_encoded_image = uses_encoded_image(config)
        check_options(config, self.loads_features)
        self._layers = LAYERS[config.layers]
        self.regions = config.label_nc if config.label_feat else config.max_instances
        self.encode = InputEncoder(config.label_nc, config.no_instance, compute_type(config.precision))
        self.condition_channels = (config.label_nc or config.input_nc) + (0 if config.no_instance else 1)
        self._add("G", self._generator(self.condition_channels + (config.feat_num if self.uses_features else 0)))
        if self.uses_features and not self.loads_features:
            self.add_encoder()
        if training:
            self._add("D", self._discriminator())
            if any(config.real_patches):
                shape = config.output_nc, config.ndf, config.n_layers_D, 1, self._norm
                self._add("P", MultiscaleDiscriminator(*shape, features=False, layers=self._layers))
        self.clusters: FeatureClusters | None = None
        self.cluster_file = Path(config.cluster_path)

    # -- networks ----------------------------------------------------------------------------------------------------

    def _add(self, name: str, cell: nn.Cell) -> None:
        config = self.config
        self.add_network(name, cell)
        init_weights(cell, config.init_type, config.init_gain, config.seed)
        set_precision(cell, config.precision)
        if self.training and config.recompute:
            cell.recompute_stages()

    def add_encoder(self) -> None:
        """Add an encoder with fresh weights."""
        config = self.config
        size = config.feat_num, config.nef, config.n_downsample_E
        self._add("E", Encoder(config.output_nc, *size, self._norm, self._layers))

    @property
    def _norm(self) -> str:
        config = self.config
        alone = config.norm == "batch" and config.batch_statistics and not self.training
        return "batch_statistics" if alone else config.norm

    def _discriminator(self) -> MultiscaleDiscriminator:
        config = self.config
        return MultiscaleDiscriminator(
            self.condition_channels + config.output_nc,
            config.ndf,
            config.n_layers_D,
            config.num_D,
            self._norm,
            features=not config.no_ganFeat_loss,
            layers=self._layers,
        )

    def _generator(self, in_channels: int) -> nn.Cell:
        config = self.config
        if config.netG != "local":
            kind = LightGenerator if config.netG == "light" else GlobalGenerator
            return kind(
                in_channels,
                config.output_nc,
                config.ngf,
                config.n_downsample_global,
                config.n_blocks_global,
                self._norm,
                layers=self._layers,
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
            self._layers,
        )

    @property
    def encodes(self) -> bool:
        """Whether there is an encoder whose input images have the generator's size."""
        return "E" in self.networks and not self.loads_features

    @property
    def stride(self) -> int:
        return stride_of(self.config, self.encodes)

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
        check_options(config, loads)
        encoded = not training and uses_encoded_image(config)
        ways_out = {
            "label": "check --data_root and --phase; images (PHASE_A and PHASE_B) instead of label maps need "
            "--label_nc 0 --no_instance True",
            "inst": "pass --no_instance True to do without instance maps",
            "feat": "make it with precompute_feature_maps.py, or pass --load_features False",
            "real": "make it with data/match_patches.py, or pass --real_patches [0,0]",
        }
        if encoded:
            ways_out["image"] = "pass --use_encoded_image False to draw styles instead of encoding photos"
        before: tuple[str, ...] = ()
        if training and config.lambda_temporal > 0:
            encodes = uses_features(config) and not loads
            needed = {"label": True, "inst": not config.no_instance, "image": encodes, "feat": loads}
            before = tuple(name for name, is_needed in needed.items() if is_needed)
        return PairedRequest(
            stride=stride_of(config, uses_features(config) and not loads),
            label_nc=config.label_nc,
            input_channels=config.input_nc,
            output_channels=config.output_nc,
            instances=not config.no_instance,
            regions="labels" if config.label_feat else "instances" if config.instance_feat else "",
            feature_channels=config.feat_num if loads else 0,
            real_grid=tuple(config.real_patches) if training and any(config.real_patches) else (),
            needs_image=training or encoded,
            of_frame_before=before,
            ways_out=ways_out,
        )

    @classmethod
    def check_files(cls, config: Config) -> None:
        policies_of(config.diffaug)
        check_patches(config)
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
        return Generate(self.encode, self.networks["G"], self.uses_features)

    def _features(self, batch: Batch, seed: int) -> np.ndarray:
        if "feat" in batch:
            return batch["feat"]
        regions = self.region_map(batch)
        if self.uses_encoded_image:
            means = self.encode_means(batch)
            return np.stack([paint_regions(m, r[0]) for m, r in zip(means, regions, strict=True)])
        if self.clusters is None:
            raise UserError(
                f"a model with features needs the clusters {self.cluster_file}, and there is no such file: make "
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
            size = self._encoder_size(size_of({"image": image}), width)
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
        return Encode(self.networks["E"], self.regions)

    def passes(self) -> tuple[Pass, ...]:
        """``G`` with the encoding of its maps, and ``E`` with the mean over regions, if the checkpoint has it."""
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
    def model_class(cls) -> "type[PairedModel]":
        from .calls import PairedModel

        return PairedModel

    @classmethod
    def tasks(cls) -> "Mapping[str, Callable[[PairedModel, Config], int]]":
        from .precompute import precompute

        return {"precompute": precompute}

    @classmethod
    def studio_class(cls) -> "type[PairedStudio]":
        from .studio import PairedStudio

        return PairedStudio


def _resized(array: np.ndarray, size: tuple[int, int], how: int) -> np.ndarray:
    resized = cv2.resize(array, size, interpolation=how)
    # OpenCV drops a last dimension of one
    return resized.reshape(*resized.shape[:2], *array.shape[2:])
