"""pix2pixHD as a system: its networks, what one step trains, how a batch is translated."""

__all__ = ["Pix2PixHD"]

from functools import cached_property, partial
from pathlib import Path
from typing import Any

import cv2
import mindspore as ms
import numpy as np
from mindspore import ParameterTuple, Tensor, nn, ops

from src.models.passes import Pass, Port
from src.models.pix2pixhd.discriminator import MultiscaleDiscriminator
from src.models.pix2pixhd.features import FeatureClusters, paint_regions, region_means
from src.models.pix2pixhd.inputs import InputEncoder, instance_mean
from src.models.pix2pixhd.losses import Pix2PixHDGradients
from src.models.pix2pixhd.networks import Encoder, GlobalGenerator, LocalEnhancer
from src.models.pool import ImagePool, draw_pool_slots
from src.models.precision import compute_type, set_precision
from src.models.state import init_weights
from src.models.system import System, UpdateGroup
from src.models.vgg import VGGLoss, load_vgg
from src.utils.errors import UserError
from src.utils.images import unit_to_image
from src.utils.palette import colour_labels

_NOTHING = np.zeros(1, np.float32)


class Pix2PixHD(System):
    """Wang et al. 2018, "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs".

    Batches: ``label`` int32 (N, 1, H, W), or float32 (N, input_nc, H, W) in [-1, 1] with ``label_nc 0``; ``inst`` int32
    (N, 1, H, W) in [0, max_instances) unless ``no_instance``; ``image`` float32 (N, output_nc, H, W) in [-1, 1] in
    training; ``feat`` float32 (N, feat_num, H, W) with ``load_features``. H and W are multiples of :attr:`stride`.
    """

    name = "pix2pixHD"
    dataset = "paired"
    architecture_keys = (
        "model", "label_nc", "input_nc", "output_nc", "netG", "ngf", "n_downsample_global", "n_blocks_global",
        "n_blocks_local", "n_local_enhancers", "norm", "no_instance", "instance_feat", "label_feat", "feat_num",
        "n_downsample_E", "nef",
    )  # fmt: skip

    def __init__(self, config: Any, training: bool = True):
        super().__init__(config, training)
        self._check(config)
        self.uses_features = config.instance_feat or config.label_feat
        self.regions = config.label_nc if config.label_feat else config.max_instances
        self.encode = InputEncoder(config.label_nc, config.no_instance, compute_type(config.precision))
        condition = (config.label_nc or config.input_nc) + (0 if config.no_instance else 1)
        self.add_network("G", self._generator(condition + (config.feat_num if self.uses_features else 0)))
        if self.uses_features and not (training and config.load_features):
            self.add_network("E", self._encoder())
        self.vgg_loss = None
        if training:
            self.add_network("D", self._discriminator(condition + config.output_nc))
            if not config.no_vgg_loss:
                self.vgg_loss = VGGLoss(load_vgg(config.vgg_pre_trained))
            self.loss_names = (
                ("G_GAN",)
                + (() if config.no_ganFeat_loss else ("G_GAN_Feat",))
                + (() if config.no_vgg_loss else ("G_VGG",))
                + ("D_real", "D_fake")
            )
        for cell in self.networks.values():
            init_weights(cell, config.init_type, config.init_gain, config.seed)
        self._condition_channels = condition
        self.clusters: FeatureClusters | None = None
        cells = [*self.networks.values(), *([] if self.vgg_loss is None else [self.vgg_loss.vgg])]
        for cell in cells:
            set_precision(cell, config.precision)
            if training and config.recompute:
                cell.recompute_stages()

    @staticmethod
    def _check(config: Any) -> None:
        if config.label_feat and config.label_nc == 0:
            raise UserError("label_feat pools features over label ids, and label_nc 0 has none: drop one of the two")
        if config.label_nc == 0 and (config.instance_feat or config.load_features):
            raise UserError("features need label maps: with label_nc 0 drop --instance_feat and --load_features")
        if config.instance_feat and config.no_instance:
            raise UserError("instance_feat needs instance maps: drop --no_instance, or use --label_feat True")
        if config.load_features and not (config.instance_feat or config.label_feat):
            raise UserError("load_features feeds precomputed features: add --instance_feat True (or --label_feat True)")

    def _discriminator(self, in_channels: int) -> MultiscaleDiscriminator:
        config = self.config
        matching = not config.no_ganFeat_loss
        return MultiscaleDiscriminator(in_channels, config.ndf, config.n_layers_D, config.num_D, config.norm, matching)

    def _encoder(self) -> Encoder:
        config = self.config
        return Encoder(config.output_nc, config.feat_num, config.nef, config.n_downsample_E, config.norm)

    def _generator(self, in_channels: int) -> nn.Cell:
        config = self.config
        if config.netG == "global":
            return GlobalGenerator(
                in_channels,
                config.output_nc,
                config.ngf,
                config.n_downsample_global,
                config.n_blocks_global,
                config.norm,
            )
        return LocalEnhancer(
            in_channels,
            config.output_nc,
            config.ngf,
            config.n_downsample_global,
            config.n_blocks_global,
            config.n_local_enhancers,
            config.n_blocks_local,
            config.norm,
        )

    @property
    def stride(self) -> int:
        config = self.config
        levels = config.n_downsample_global + (config.n_local_enhancers if config.netG == "local" else 0)
        if "E" in self.networks:
            levels = max(levels, config.n_downsample_E)
        return 2**levels

    # -- training ----------------------------------------------------------------------------------------------

    def inputs(self, batch: dict[str, np.ndarray], step: int = 0) -> tuple[np.ndarray, ...]:
        config = self.config
        height, width = batch["image"].shape[2:]
        if min(height, width) < 2 * self.stride:
            raise UserError(
                f"pictures of {width}x{height} are too small for networks that divide by {self.stride}: "
                "pass a larger --load_size or a smaller --n_downsample_global"
            )
        slots = _NOTHING
        if config.pool_size > 0:
            slots = draw_pool_slots(config.pool_size, len(batch["label"]), step, config.seed)
            if "pool" not in self.buffers:
                shape = (self._condition_channels + config.output_nc, height, width)
                self.buffers["pool"] = ImagePool(config.pool_size, shape)
        return (
            batch["label"],
            batch.get("inst", _NOTHING),
            self._region_map(batch),
            batch["image"],
            batch.get("feat", _NOTHING),
            slots,
        )

    def _region_map(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        if not self.uses_features:
            return _NOTHING
        return batch["label"] if self.config.label_feat else batch["inst"]

    def update_groups(self, epoch: int) -> tuple[UpdateGroup, ...]:
        config = self.config
        parameters = self.trainable("G")
        # the outermost enhancer alone, so that the pretrained global generator is not spoilt by its first gradients
        only_enhancer = config.netG == "local" and epoch <= config.niter_fix_global
        if only_enhancer:
            prefix = f"G.model{config.n_local_enhancers}_"
            parameters = {name: p for name, p in parameters.items() if name.startswith(prefix)}
        if "E" in self.networks:
            parameters |= self.trainable("E")
        options = {"lr": config.lr, "beta1": config.beta1, "beta2": config.beta2}
        return (
            UpdateGroup("G_enhancer" if only_enhancer else "G", parameters, **options),
            UpdateGroup("D", self.trainable("D"), **options),
        )

    def gradients(self, groups: tuple[UpdateGroup, ...]) -> nn.Cell:
        generator, discriminator = (ParameterTuple(group.parameters.values()) for group in groups)
        return Pix2PixHDGradients(self, generator, discriminator)

    def training_outputs(self, outputs: tuple) -> dict[str, np.ndarray]:
        return {"synthesized_image": outputs[0].astype(ms.float32).asnumpy()}

    # -- translation -------------------------------------------------------------------------------------------

    def translate(self, batch: dict[str, np.ndarray], seed: int = 0) -> dict[str, np.ndarray]:
        """Synthesise; features come from ``feat``, the encoded ``image`` (``use_encoded_image``) or the clusters.

        Sampled styles are a function of (``seed``, sample id, region).

        Raises:
            UserError: features are needed and there are neither clusters nor an image to encode.
        """
        features = _NOTHING
        if self.uses_features:
            features = self._features(batch, seed)
        inst = batch.get("inst", _NOTHING)
        fake = self._generate(Tensor(batch["label"]), Tensor(inst), Tensor(features))
        return {"synthesized_image": fake.astype(ms.float32).asnumpy()}

    @cached_property
    def _generate(self) -> nn.Cell:
        return _Generate(self.encode, self.networks["G"], self.uses_features)

    def _features(self, batch: dict[str, np.ndarray], seed: int) -> np.ndarray:
        if "feat" in batch:
            return batch["feat"]
        if self.config.use_encoded_image:
            means, regions = self.encode_means(batch), self._region_map(batch)
            return np.stack([paint_regions(m, r[0]) for m, r in zip(means, regions, strict=True)])
        if self.clusters is None:
            raise UserError(
                f"a model with features needs the clusters {self.config.cluster_path}: make them with "
                "precompute_feature_maps.py, or encode the real image: --use_encoded_image True"
            )
        regions = self._region_map(batch)
        return np.stack(
            [
                self.clusters.sample(regions[i, 0], batch["label"][i, 0], [seed, int(batch["id"][i])])
                for i in range(len(regions))
            ]
        )

    def encode_means(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """Mean feature of every region of the real image, (N, regions, feat_num), zero where a region is empty.

        The image is encoded at the width that the encoder was trained at (``encode_load_size``).

        Raises:
            UserError: the checkpoint has no encoder.
        """
        if "E" not in self.networks:
            raise UserError(
                "this checkpoint has no encoder (its features were precomputed): sample styles from the clusters, "
                "without --use_encoded_image"
            )
        image, regions = batch["image"], self._region_map(batch)
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
        return max(unit, round(width / unit) * unit), max(unit, round(height / unit) * unit)

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

    # -- precomputed features ----------------------------------------------------------------------------------

    @classmethod
    def complete_config(cls, config: Any, resumed: dict[str, Any] | None, pretrained: dict[str, Any] | None) -> Any:
        """With precomputed features: remember the width at which the encoder was trained; evaluation repeats it."""
        if resumed is not None:
            return config.replace(encode_load_size=resumed.get("encode_load_size", 0))
        scaled = pretrained is not None and pretrained["resize_or_crop"].startswith("scale_width")
        if config.load_features and scaled:
            return config.replace(encode_load_size=pretrained["load_size"])
        return config

    def adopt_pretrained(self, networks: dict[str, dict[str, np.ndarray]], config: dict[str, Any]) -> None:
        """Keep the encoder that precomputed the features beside the generator, untouched by training."""
        if self.training and self.config.load_features and "E" in networks and "E" not in self.networks:
            self.add_network("E", self._encoder())
            for parameter in self.networks["E"].get_parameters():
                parameter.requires_grad = False

    @property
    def optional_networks(self) -> tuple[str, ...]:
        return ("E",)

    def companion_files(self) -> tuple[str, ...]:
        return (self.config.cluster_path,) if self.uses_features else ()

    def load_companions(self, folder: Path) -> None:
        """Read the styles that :meth:`translate` draws from, unless images are encoded instead."""
        if self.uses_features and not self.config.use_encoded_image:
            path = Path(self.config.cluster_path)
            path = path if path.is_file() else folder / path
            self.clusters = FeatureClusters.load(path, self.config.feat_num)

    # -- weights and pictures ----------------------------------------------------------------------------------

    @classmethod
    def published_names(cls, network: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """NVIDIA's names are ours, but for batch norm, which MindSpore calls gamma, beta and moving statistics."""
        renamed = {}
        for name, value in arrays.items():
            prefix, _, kind = name.rpartition(".")
            if kind == "num_batches_tracked":
                continue
            if f"{prefix}.running_mean" in arrays:
                kind = {
                    "weight": "gamma",
                    "bias": "beta",
                    "running_mean": "moving_mean",
                    "running_var": "moving_variance",
                }[kind]
            renamed[f"{prefix}.{kind}"] = value
        return renamed

    def visuals(self, batch: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        label = batch["label"][0]
        shown = {
            "input_label": colour_labels(label[0], self.config.label_nc)
            if self.config.label_nc
            else unit_to_image(label)
        }
        shown |= {name: unit_to_image(value[0]) for name, value in outputs.items()}
        if "image" in batch:
            shown["real_image"] = unit_to_image(batch["image"][0])
        return shown


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
