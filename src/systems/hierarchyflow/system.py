"""Hierarchy Flow as a system: its network, and how a batch is translated."""

__all__ = ["HierarchyFlowSystem", "initialise"]

import zlib
from functools import cached_property, partial
from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from ...contracts.passes import Pass, Port
from ...contracts.round_trip import RoundTrip
from ...contracts.system import Batch, System
from ...dataset.unpaired import UNPAIRED, UnpairedRequest
from ...imaging.images import unit_to_image
from ...models.hierarchyflow.networks import SMALLEST_STYLE, HierarchyFlow
from ...models.hierarchyflow.vgg import require_normalised_vgg
from ...models.parameters import named_parameters
from ...models.precision import set_precision
from ...options.config import Config
from . import HIERARCHYFLOW
from .published import HierarchyFlowWeights

if TYPE_CHECKING:
    from .calls import HierarchyFlowModel
    from .objective import HierarchyFlowObjective
    from .studio import HierarchyFlowStudio

# pixels of the image that the inverse is measured with
_CORNER = 64


class HierarchyFlowSystem(System):
    """Fan et al. 2023, "Hierarchy Flow For High-Fidelity Image-to-Image Translation".

    Batches: ``A``, the content, and ``B``, the style, float32 (N, 3, H, W) in [-1, 1], which may differ in size. The
    network itself sees [0, 1].

    Raises:
        UserError: widths that are no multiples of each other, or an unknown weight type.
    """

    description = HIERARCHYFLOW
    data = UNPAIRED
    architecture_keys = ("out_channels", "weight_type", "reverse", "pad_size")
    pixel_keys = ("pad_size",)
    styles = {"output": ("A", "B")}
    shows_side_by_side = True
    published = HierarchyFlowWeights()

    def __init__(self, config: Config, training: bool = True):
        super().__init__(config, training)
        network = HierarchyFlow(3, config.out_channels, config.weight_type, config.reverse, config.pad_size)
        self.add_network("HF", network)
        initialise(network, config.seed)
        set_precision(network, config.precision)
        self.round_trip = RoundTrip(self.name, network.reconstruct, "take an earlier checkpoint (--which_epoch)")
        if training and config.recompute:
            network.recompute_stages()

    @property
    def smallest(self) -> int:
        return max(self.config.pad_size + 1, SMALLEST_STYLE)

    @classmethod
    def request(cls, config: Config, training: bool) -> UnpairedRequest:
        return UnpairedRequest(stride=1, channels=3, labels=False)

    @classmethod
    def check_files(cls, config: Config) -> None:
        require_normalised_vgg(config.vgg_pre_trained)

    def objective(self, size: tuple[int, int]) -> "HierarchyFlowObjective":
        from .objective import HierarchyFlowObjective

        return HierarchyFlowObjective(self, size)

    def translate(self, batch: Batch, seed: int = 0) -> Batch:
        """``output``: the content ``A`` in the style of ``B``, in [-1, 1]."""
        if self.config.reverse == "exact" and not self.training and isinstance(self._translate, _Translate):
            # couplings are convolutions: a corner says as much as a whole image
            self.round_trip.require(0.5 * batch["A"][:, :, :_CORNER, :_CORNER] + 0.5)
        output = self._translate(Tensor(batch["A"]), Tensor(batch["B"]))
        return {"output": output.astype(ms.float32).asnumpy()}

    def visuals(self, batch: Batch, outputs: Batch) -> Batch:
        shown = {"content": batch["A"], "style": batch["B"], "output": outputs["output"]}
        return {name: unit_to_image(value[0]) for name, value in shown.items()}

    def passes(self) -> tuple[Pass, ...]:
        """``HF``: content and style, which may differ in size, to the content in the style of the other."""
        content = Port("content", ("batch", 3, "height", "width"), column="A")
        style = Port("style", ("batch", 3, "style_height", "style_width"), column="B")
        return (Pass("HF", self._translate, (content, style), ("output",), partial(setattr, self, "_translate")),)

    def result_name(self, sample: str, output: str) -> str:
        """The sample's own name, which is ``{content}_to_{style}``."""
        return sample

    @classmethod
    def model_class(cls) -> "type[HierarchyFlowModel]":
        from .calls import HierarchyFlowModel

        return HierarchyFlowModel

    @classmethod
    def studio_class(cls) -> "type[HierarchyFlowStudio]":
        from .studio import HierarchyFlowStudio

        return HierarchyFlowStudio

    @cached_property
    def _translate(self) -> nn.Cell:
        return _Translate(self.networks["HF"])


class _Translate(nn.Cell):
    """From images in [-1, 1] to the network's [0, 1] and back."""

    def __init__(self, network: nn.Cell):
        super().__init__()
        self.network = network

    def construct(self, content: Tensor, style: Tensor) -> Tensor:
        output = self.network((content + 1.0) * 0.5, (style + 1.0) * 0.5)
        return ops.clamp(output, 0.0, 1.0) * 2.0 - 1.0


def initialise(network: nn.Cell, seed: int) -> None:
    """PyTorch's default for convolutions and dense layers, which the published training starts from."""
    bounds = {}
    for name, parameter in named_parameters(network).items():
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        prefix, _, kind = name.rpartition(".")
        shape = tuple(parameter.shape)
        if kind == "weight" and len(shape) > 1:
            bounds[prefix] = 1 / np.sqrt(np.prod(shape[1:]))
        if kind == "fixed_weight":
            continue
        if kind == "weight" and len(shape) == 1:
            value = rng.standard_normal(shape)
        else:
            value = rng.uniform(-bounds[prefix], bounds[prefix], shape)
        ops.assign(parameter, Tensor(value.astype(np.float32)))
