"""The options that describe an hflow network, read from the published nested settings."""

__all__ = ["HFlowOptions", "LevelOptions", "TopOptions", "from_published"]

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from ...utils.errors import UserError

#: side of one tile of each checkerboard, in pixels
TILES = {"spatial": 1, "blocks": 2, "lblocks": 4, "hblocks": 8}
#: splits that show one half of the map and mirror it onto the other: only the pooled U-Net sees far enough
HALVES = ("vhalfs", "hhalfs")
_SPLITS = {name: (name,) for name in ("channels", *TILES, *HALVES)} | {
    "blocks-channels": ("blocks", "channels"),
    "hblocks-lblocks-blocks-channels": ("hblocks", "lblocks", "blocks", "channels"),
}
_POOLING_FLAGS = ("blocks_only", "unet_only", "unet", "reduced", "double", "third-c")
# MEAN is a published flag that is never used
_AUGMENTATION_FLAGS = ("NOISE", "NOEUNET", "NO_STYLE", "NO_NORM", "MEAN")


@dataclass(frozen=True)
class LevelOptions:
    """One spatial level; names in comments are the published keys.

    ``splits`` names the part that each flow step leaves visible to its coupling, from latent (step 0) to data.
    """

    resolution: int  # RESOLUTIONS
    channels: int  # CHANNELS: of y_l and z_l
    skip_channels: int  # SKIPS_CHANNELS: width of the skip that enters this level's decoder
    weight: float  # LOSS_WEIGHTS
    prior_std: float  # PRIOR_STDS
    splits: tuple[str, ...]  # NUM_LAYERS and FLOW_SPLIT_TYPES
    encoder_channels: int  # ENCODER_CHANNELS
    decoder_channels: int  # DECODER_CHANNELS
    encoder_kernel: int  # ENCODER_DECODER_KERNELS
    coupling_channels: int  # RNVP_CHANNELS
    coupling_kernel: int  # RNVP_KERNEL_SIZES
    coupling_growth: float  # UNET_C_MULT
    coupling_downs: int  # UNET_N_DOWNSCALES
    pooling: str  # POOLING_TYPE: the pooled U-Net is in no step, in steps of blocks and halves (blocks), or in all
    reduced: bool  # POOLING_TYPE contains reduced: 1x1 kernels inside the pooled U-Net
    double: bool  # POOLING_TYPE contains double: it resamples by 4 instead of 2
    third: bool  # POOLING_TYPE contains third-c: a third of the width in the pooled U-Net
    mix_scale: float  # PERMUTE_SCALING
    unitary: bool  # USE_UNITARY_PERMUTE
    condition_channels: int  # COND_OUT_C
    noise: float  # DECODER_REL_NOISE: relative noise on y_{l+1}, modelled and as decoder input
    noisy: bool  # AUGMENTATION_TYPES contains NOISE
    residual_unets: bool  # AUGMENTATION_TYPES lacks NOEUNET
    styled: bool  # AUGMENTATION_TYPES lacks NO_STYLE
    normalised: bool  # AUGMENTATION_TYPES lacks NO_NORM

    def pooled(self, split: str) -> bool:
        """Whether a step with this split uses the pooled U-Net coupling."""
        return self.pooling == "all" or (self.pooling == "blocks" and split.endswith(("blocks", "halfs")))

    @property
    def pooled_steps(self) -> int:
        return sum(self.pooled(split) for split in self.splits)


@dataclass(frozen=True)
class TopOptions:
    """The 1x1 level: a latent of ``sum(channels)`` numbers, modelled part by part."""

    channels: tuple[int, ...]
    layers: tuple[int, ...]
    coupling_channels: tuple[int, ...]
    condition_channels: tuple[int, ...]
    noise: tuple[float, ...]  # STYLE_REL_NOISES
    style_noise: float  # STYLE_REL_NOISE_SCALE: the style network sees this many times the modelled noise
    style_hidden: tuple[int, int]  # MASK_FOR_STYLE_IND: these channels never reach the style network
    base_hidden: tuple[int, int]  # MASK_FOR_BASE_IND: these never reach the decoder trunk
    unitary: bool
    mix_scale: float
    mapping_lr_scale: float
    width: int  # ENDBLOCK_TOT_CHANNELS = AUTOENCODER_CHANNELS
    constant_trunk: bool  # BLOCK_Y0

    @property
    def parts(self) -> int:
        return len(self.channels)


@dataclass(frozen=True)
class HFlowOptions:
    """A whole network. ``published`` is the settings tree that it was read from, for checkpoints."""

    levels: tuple[LevelOptions, ...]
    top: TopOptions
    style_channels: int  # GLOBAL_NET_CHANNELS
    encoder_lr_scale: float
    decoder_lr_scale: float
    published: dict[str, Any] = field(default_factory=dict, compare=False, hash=False)

    @property
    def resolution(self) -> int:
        return self.levels[0].resolution

    @property
    def latent_shapes(self) -> list[tuple[int, int, int]]:
        """(channels, height, width) of every latent: levels from fine to coarse, then the top's parts."""
        spatial = [(level.channels, level.resolution, level.resolution) for level in self.levels]
        return spatial + [(c, 1, 1) for c in self.top.channels]


def _lower(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {str(key).lower(): _lower(value) for key, value in tree.items() if str(key).strip("-")}
    return tree


def _flags(text: str, known: Collection[str], key: str, source: str) -> set[str]:
    """The flags in a text that joins them by ``_``, such as ``NOISE_NO_STYLE``."""
    one = "|".join(known)
    if text and not re.fullmatch(f"({one})(_({one}))*", text):
        raise UserError(f"{source}: {key} {text!r} is not made of the flags {', '.join(known)}")
    return set(re.findall(one, text))


def _splits(kind: str, layers: int, source: str) -> tuple[str, ...]:
    if kind not in _SPLITS:
        raise UserError(f"{source}: flow_split_types {kind!r} is not one of {', '.join(_SPLITS)}")
    names = _SPLITS[kind]
    if layers % len(names):
        raise UserError(
            f"{source}: {layers} flow steps cannot be divided among the splits of {kind!r}: use a multiple of "
            f"{len(names)}"
        )
    return tuple(name for name in names for _ in range(layers // len(names)))


def _check_ladder(resolutions: list[int], source: str) -> None:
    if resolutions[-1:] != [8]:
        raise UserError(f"{source}: the coarsest of resolutions {resolutions} is not 8, which the top needs")
    for fine, coarse in zip(resolutions[:-1], resolutions[1:], strict=True):
        if fine not in (2 * coarse, 4 * coarse):
            raise UserError(
                f"{source}: resolution {coarse} cannot follow {fine}: each level is 2 or 4 times as fine as "
                "the next, as in 128, 64, 32, 8"
            )


def _level(p: dict[str, Any], i: int, last: bool, source: str) -> LevelOptions:
    pooling = _flags(p["pooling_type"][i], _POOLING_FLAGS, "pooling_type", source)
    flags = _flags(p["augmentation_types"][i], _AUGMENTATION_FLAGS, "augmentation_types", source)
    if {"blocks_only", "third-c"} <= pooling:
        raise UserError(f"{source}: pooling_type third-c has no effect beside blocks_only, as published: leave it out")
    level = LevelOptions(
        resolution=int(p["resolutions"][i]),
        channels=int(p["channels"][i]),
        skip_channels=int(p["skips_channels"][i]),
        weight=float(p["loss_weights"][i]),
        prior_std=float(p["prior_stds"][i]),
        splits=_splits(p["flow_split_types"][i], int(p["num_layers"][i]), source),
        encoder_channels=int(p["encoder_channels"][i]),
        decoder_channels=int(p["decoder_channels"][i]),
        encoder_kernel=int(p["encoder_decoder_kernels"][i]),
        coupling_channels=int(p["rnvp_channels"][i]),
        coupling_kernel=int(p["rnvp_kernel_sizes"][i]),
        coupling_growth=float(p["unet_c_mult"][i]),
        coupling_downs=int(p["unet_n_downscales"][i]),
        pooling="none" if not pooling else "blocks" if "blocks_only" in pooling else "all",
        reduced="reduced" in pooling,
        double="double" in pooling,
        third="third-c" in pooling,
        mix_scale=float(p["permute_scaling"][i]),
        unitary=bool(p["use_unitary_permute"][i]),
        condition_channels=int(p["cond_out_c"][i]),
        noise=float(p["decoder_rel_noise"][i]),
        noisy="NOISE" in flags,
        residual_unets="NOEUNET" not in flags,
        styled="NO_STYLE" not in flags and p["global_net_channels"] > 0,
        normalised="NO_NORM" not in flags,
    )
    for key in ("encoder_decoder_kernels", "rnvp_kernel_sizes"):
        if p[key][i] % 2 == 0:
            raise UserError(f"{source}: {key} {p[key][i]} is even, which shifts the map: use an odd number")
    if level.third and level.coupling_channels < 6:
        raise UserError(f"{source}: third-c leaves nothing of rnvp_channels {level.coupling_channels}: use 6 or more")
    if level.channels < 2 and "channels" in level.splits:
        raise UserError(f"{source}: a level of {level.channels} channel cannot be split by channels")
    for split in level.splits:
        if TILES.get(split, 1) * 2 > level.resolution:
            raise UserError(
                f"{source}: {split} needs {2 * TILES[split]} pixels, the level has {level.resolution}: "
                f"use another of {', '.join(_SPLITS)}"
            )
        if split in HALVES and not level.pooled(split):
            raise UserError(
                f"{source}: flow_split_types {split} needs pooled couplings: set pooling_type to blocks_only"
            )
    smallest = level.resolution // 2 ** (level.coupling_downs * (2 if level.double else 1))
    if level.pooled_steps and smallest < 2:
        raise UserError(
            f"{source}: {level.coupling_downs} downs of a pooled coupling at {level.resolution} pixels leave "
            f"{smallest}: lower unet_n_downscales or drop double"
        )
    return replace(level, residual_unets=level.residual_unets and level.resolution > 8 and not last)


def _top(e: dict[str, Any], style: int, source: str) -> TopOptions:
    width = int(e["endblock_tot_channels"])
    if int(e["endres"]) != 1 or int(e["autoencoder_channels"]) != width:
        raise UserError(
            f"{source}: endres {e['endres']} and autoencoder_channels {e['autoencoder_channels']} are not "
            f"supported: the top is 1x1 with autoencoder_channels equal to endblock_tot_channels {width}"
        )
    channels = [int(c) for c in e["channels"]]
    counts = dict.fromkeys(("layers", "rnvp_channels", "cond_output_channels", "style_rel_noises"), len(channels))
    for key, count in (counts | {"mask_for_style_ind": 2, "mask_for_base_ind": 2}).items():
        if not channels or len(e[key]) != count:
            raise UserError(f"{source}: {key} {list(e[key])} of the top does not have {max(count, 1)} entries")
    channels[-1] = width - sum(channels[:-1])
    if min(channels) < 2:
        raise UserError(f"{source}: the top's parts {channels} must have at least 2 of the {width} channels each")
    if style > 0 and int(e["global_state_hidden_channels"]) != style:
        raise UserError(
            f"{source}: global_state_hidden_channels {e['global_state_hidden_channels']} must equal "
            f"global_net_channels {style}"
        )
    return TopOptions(
        channels=tuple(channels),
        layers=tuple(e["layers"]),
        coupling_channels=tuple(e["rnvp_channels"]),
        condition_channels=tuple(e["cond_output_channels"]),
        noise=tuple(float(v) for v in e["style_rel_noises"]),
        style_noise=float(e["style_rel_noise_scale"]),
        style_hidden=tuple(e["mask_for_style_ind"]),
        base_hidden=tuple(e["mask_for_base_ind"]),
        unitary=bool(e["use_unitary_permute"]),
        mix_scale=float(e["permute_scaling"]),
        mapping_lr_scale=float(e["mapping_network_lr_scale"]),
        width=width,
        constant_trunk=bool(e["block_y0"]),
    )


def from_published(settings: dict[str, Any], source: str = "the settings") -> HFlowOptions:
    """Read the published MODEL_PARAMETERS tree (keys in any case; separators such as ``---`` are ignored).

    Raises:
        UserError: a key is missing, the lists differ in length, or a combination that no network can have.
    """
    p = _lower(settings)
    p = p.get("model_parameters", p)
    per_level = [key for key in _PER_LEVEL if key != "resolutions"]
    try:
        levels = len(p["resolutions"])
        for key in per_level:
            if len(p[key]) < levels:
                raise UserError(f"{source}: {key} has {len(p[key])} entries for {levels} resolutions")
        _check_ladder([int(r) for r in p["resolutions"]], source)
        return HFlowOptions(
            levels=tuple(_level(p, i, i == levels - 1, source) for i in range(levels)),
            top=_top(p["endblock_settings"], int(p["global_net_channels"]), source),
            style_channels=int(p["global_net_channels"]),
            encoder_lr_scale=float(p["encoder_lr_scale"]),
            decoder_lr_scale=float(p["decoder_lr_scale"]),
            published=p,
        )
    except KeyError as missing:
        raise UserError(f"{source}: the model settings lack {missing}") from None


_PER_LEVEL = (
    "resolutions",
    "channels",
    "skips_channels",
    "loss_weights",
    "prior_stds",
    "num_layers",
    "encoder_channels",
    "decoder_channels",
    "encoder_decoder_kernels",
    "rnvp_channels",
    "rnvp_kernel_sizes",
    "unet_c_mult",
    "permute_scaling",
    "pooling_type",
    "unet_n_downscales",
    "flow_split_types",
    "cond_out_c",
    "augmentation_types",
    "decoder_rel_noise",
    "use_unitary_permute",
)
