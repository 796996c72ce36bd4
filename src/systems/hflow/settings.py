"""The published settings trees (``MODEL_PARAMETERS`` and others) and the corresponding options."""

__all__ = ["ARCHITECTURE_KEYS", "flat_options", "model_options", "preset_options"]

from collections.abc import Mapping
from typing import Any

from ...models.hflow.architecture import HFlowOptions, from_published
from ...options.config import Config
from ...utils.errors import UserError, shown

_MODEL_KEYS = (
    "resolutions", "channels", "skips_channels", "loss_weights", "prior_stds", "num_layers", "encoder_channels",
    "decoder_channels", "encoder_decoder_kernels", "rnvp_channels", "rnvp_kernel_sizes", "unet_c_mult",
    "permute_scaling", "pooling_type", "unet_n_downscales", "flow_split_types", "cond_out_c", "global_net_channels",
    "augmentation_types", "decoder_rel_noise", "use_unitary_permute", "encoder_lr_scale", "decoder_lr_scale",
)  # fmt: skip
_TOP_KEYS = (
    "endres", "block_y0", "channels", "cond_output_channels", "mask_for_style_ind", "mask_for_base_ind", "layers",
    "rnvp_channels", "style_rel_noises", "style_rel_noise_scale", "use_unitary_permute", "permute_scaling",
    "mapping_network_lr_scale", "endblock_tot_channels", "autoencoder_channels", "global_state_hidden_channels",
)  # fmt: skip
#: published key of the top to our option
_TOP_OPTIONS = {key: f"endblock_{key.removeprefix('endblock_')}" for key in _TOP_KEYS}
#: options that describe the network
ARCHITECTURE_KEYS = (*_MODEL_KEYS, *_TOP_OPTIONS.values())


def model_options(config: Config) -> HFlowOptions:
    """The network that options describe."""
    top = {key: config[option] for key, option in _TOP_OPTIONS.items()}
    return from_published({key: config[key] for key in _MODEL_KEYS} | {"endblock_settings": top}, "the options")


def flat_options(settings: Mapping[str, Any], source: str = "the settings") -> dict[str, Any]:
    """The options that a published settings tree, or its ``MODEL_PARAMETERS`` alone, gives the network.

    Keys are read in any case. Values are as they stand there: the schema of the options checks them.

    Raises:
        UserError: a key is missing.
    """
    tree = _lower(settings)
    tree = _lower(tree.get("model_parameters", tree))
    top = _lower(tree.get("endblock_settings"))
    missing = [key for key in _MODEL_KEYS if key not in tree] + [key for key in _TOP_KEYS if key not in top]
    if missing:
        raise UserError(f"{source}: the model settings lack {', '.join(missing)}")
    return {key: tree[key] for key in _MODEL_KEYS} | {option: top[key] for key, option in _TOP_OPTIONS.items()}


def preset_options(content: Mapping[str, Any], source: str) -> dict[str, Any] | None:
    """The options of a published preset (``preset_configs/*.json``); None for any other file.

    They are under our names or under published ones, which the owners' files of options explain; the schema of the
    options checks names and values.

    Raises:
        UserError: the settings of the network are incomplete, or the size of the data is another than theirs.
    """
    tree = _lower(content)
    if not isinstance(tree.get("model_parameters"), Mapping):
        return None
    options = {"model": "hflow"} | flat_options(tree, source)
    # null is what the published commands fill in, and one device is what a command has here
    others = {key: value for part in ("general", "output") for key, value in _lower(tree.get(part)).items()}
    others = {key: value for key, value in others.items() if value is not None and (key, value) != ("num_gpus", 1)}
    size, sides = others.pop("resize_data_to", None), options["resolutions"]
    if size is not None and isinstance(sides, list) and sides[:1] != [size]:
        raise UserError(f"{source}: RESIZE_DATA_TO {shown(size)} is not the first of RESOLUTIONS: make them equal")
    return options | others


def _lower(tree: Any) -> dict[str, Any]:
    return {str(key).lower(): value for key, value in tree.items()} if isinstance(tree, Mapping) else {}
