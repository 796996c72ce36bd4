"""Companions of a run with features: clusters to draw styles from, and a frozen encoder."""

__all__ = ["FeatureCompanions", "cluster_file"]

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...contracts.companions import Companions
from ...options.config import Config
from ...utils.errors import UserError
from .clusters import FeatureClusters

if TYPE_CHECKING:
    from .system import Pix2PixHD


def cluster_file(config: Config, folder: Path) -> Path:
    """The path of the cluster file of the run in ``folder``, which need not exist."""
    path = Path(config.cluster_path)
    return path if path.is_file() else folder / path


def _check_layers(config: Config, earlier: Mapping[str, Any] | None) -> None:
    # neither names nor shapes of weights determine the layers
    option = config.schema.find("layers", "")
    layers = option.check((earlier or {}).get(option.name, option.default), "the options of the earlier run")
    if earlier is not None and layers != config.layers:
        raise UserError(
            f"the weights to start from were trained with layers {layers}, not {config.layers}: pass --layers {layers}"
        )


class FeatureCompanions(Companions):
    """Clusters and encoder of the run whose features another one is trained on."""

    def complete(
        self, config: Config, resumed: Mapping[str, Any] | None, pretrained: Mapping[str, Any] | None
    ) -> Config:
        """With precomputed features: remember the width at which the encoder was trained; evaluation repeats it.

        Raises:
            UserError: the weights to start from were trained with other layers.
        """
        _check_layers(config, pretrained if resumed is None else resumed)
        width = 0
        if resumed is not None:
            width = resumed.get("encode_load_size", 0)
        elif config.load_features and pretrained is not None:
            scaled = str(pretrained.get("resize_or_crop", "")).startswith("scale_width")
            width = pretrained.get("load_size", 0) if scaled else 0
        else:
            return config
        option = config.schema.find("encode_load_size", "")
        return config.replace(encode_load_size=option.check(width, "the options of the earlier run"))

    def adopt(
        self, system: "Pix2PixHD", networks: Mapping[str, Mapping[str, np.ndarray]], config: Mapping[str, Any]
    ) -> None:
        """Keep the encoder that precomputed the features with the generator; it is not trained."""
        if system.loads_features and "E" in networks and "E" not in system.networks:
            system.add_encoder()
            for parameter in system.networks["E"].get_parameters():
                parameter.requires_grad = False

    def files(self, config: Config) -> tuple[str, ...]:
        """The cluster file, unless it is outside the run's folder."""
        uses_features = config.instance_feat or config.label_feat
        return (config.cluster_path,) if uses_features and not Path(config.cluster_path).is_absolute() else ()

    def load(self, system: "Pix2PixHD", folder: Path) -> None:
        """Read the clusters from which styles are drawn if no image is encoded."""
        path = cluster_file(system.config, folder)
        system.cluster_file = path
        if system.uses_features and path.is_file():
            system.clusters = FeatureClusters.load(path, system.config.feat_num)
