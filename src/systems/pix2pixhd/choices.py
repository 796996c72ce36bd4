"""Derived settings and contradictions of pix2pixHD's options."""

__all__ = ["check_options", "stride_of", "uses_encoded_image", "uses_features"]

from ...options.config import Config
from ...utils.errors import UserError


def uses_features(config: Config) -> bool:
    """Whether images depend on styles of instances or classes."""
    return config.instance_feat or config.label_feat


def uses_encoded_image(config: Config) -> bool:
    """Whether translation takes styles from the real image instead of the clusters, which only some programs offer."""
    return "use_encoded_image" in config and config.use_encoded_image


def stride_of(config: Config, encodes: bool) -> int:
    """The divisor of the sides: the generator's, or that of an encoder with the same input images."""
    levels = config.n_downsample_global + (config.n_local_enhancers if config.netG == "local" else 0)
    return 2 ** (max(levels, config.n_downsample_E) if encodes else levels)


def check_options(config: Config, loads_features: bool) -> None:
    """Raise ``UserError`` for options that contradict each other."""
    if config.label_nc == 0 and not config.no_instance:
        raise UserError(
            "label_nc 0 translates images to images, which have no instance maps (they would be resized and "
            "normalised like images): pass --no_instance True"
        )
    if config.label_nc == 0 and (uses_features(config) or loads_features):
        given = [name for name in ("instance_feat", "label_feat") if config[name]]
        given += ["load_features"] if loads_features else []
        raise UserError(
            "label_nc 0 translates images to images, which have no regions to pool features over: drop "
            f"{' and '.join(f'--{name}' for name in given)}, or pass the number of classes as --label_nc"
        )
    if config.no_instance and config.instance_feat:
        raise UserError("instance_feat needs instance maps: drop --no_instance, or use --label_feat True")
    if loads_features and not uses_features(config):
        raise UserError("load_features feeds precomputed features: add --instance_feat True (or --label_feat True)")
    if loads_features and config.feat_num not in (1, 3, 4):
        raise UserError(
            "load_features reads feature maps from images, which hold 1, 3 or 4 channels, not feat_num "
            f"{config.feat_num}: pass --feat_num 3, or train without --load_features"
        )
