"""Full-Glow, C-Glow and DUAL-Glow: from options to networks."""

__all__ = ["CGlowSystem", "DualGlowSystem", "FullGlowSystem"]

from dataclasses import replace

from ...dataset.conditional import ConditionalRequest
from ...models.glow.cglow import CGlow
from ...models.glow.dualglow import DualGlow
from ...models.glow.fullglow import FullGlow
from ...options.config import Config
from ...utils.errors import UserError
from . import CGLOW, DUALGLOW, FULLGLOW
from .flow import FlowSystem
from .published import CGlowWeights, FullGlowWeights


class FullGlowSystem(FlowSystem):
    """Full-Glow, see :class:`src.models.glow.fullglow.FullGlow`; parameters have their published names."""

    description = FULLGLOW
    published = FullGlowWeights()
    architecture_keys = (
        *FlowSystem.architecture_keys, "do_lu", "use_bmaps", "do_ceil", "coupling_filters", "scale_limit",
    )  # fmt: skip
    safeguards = "--do_lu True --scale_limit 2"

    @classmethod
    def request(cls, config: Config, training: bool) -> ConditionalRequest:
        return replace(super().request(config, training), boundary=config.use_bmaps)

    def build(self) -> FullGlow:
        config = self.config
        if config.scale_limit and not config.do_lu:
            raise UserError("scale_limit bounds every scale, but plain 1x1 matrices have none: add --do_lu True")
        return FullGlow(
            do_lu=config.do_lu,
            use_bmaps=config.use_bmaps,
            do_ceil=config.do_ceil,
            width=config.coupling_filters,
            limit=config.scale_limit or None,
            **self.common_options(),
        )


class CGlowSystem(FlowSystem):
    """C-Glow, see :class:`src.models.glow.cglow.CGlow`; parameters have their published names."""

    description = CGLOW
    published = CGlowWeights()
    architecture_keys = (
        *FlowSystem.architecture_keys, "x_hidden_size", "x_hidden_channels", "y_hidden_channels",
    )  # fmt: skip

    def build(self) -> CGlow:
        config = self.config
        return CGlow(
            x_hidden_size=config.x_hidden_size,
            x_hidden_channels=config.x_hidden_channels,
            y_hidden_channels=config.y_hidden_channels,
            cond_init=config.cond_init,
            **self.common_options(),
        )


class DualGlowSystem(FlowSystem):
    """DUAL-Glow, see :class:`src.models.glow.dualglow.DualGlow`."""

    description = DUALGLOW
    architecture_keys = (*FlowSystem.architecture_keys, "coupling_filters")

    def build(self) -> DualGlow:
        return DualGlow(width=self.config.coupling_filters, **self.common_options())
