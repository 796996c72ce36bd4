"""CUT as a system: its networks, and how a batch is translated."""

__all__ = ["CUTSystem"]

from functools import partial
from typing import TYPE_CHECKING

import mindspore as ms
from mindspore import Tensor

from ...contracts.passes import Pass, Port
from ...contracts.system import Batch, System
from ...dataset.unpaired import UNPAIRED, UnpairedRequest
from ...imaging.images import unit_to_image
from ...models.cut.contrast import PatchProjection
from ...models.cut.features import Maps, feature_maps
from ...models.cyclegan.networks import PatchDiscriminator, ResnetGenerator
from ...models.diffaug import policies_of
from ...models.parameters import init_weights, zero_biases
from ...models.precision import set_precision
from ...options.config import Config
from ..shared.residual import STRIDE, smallest_side
from . import CUT
from .published import CUTWeights

if TYPE_CHECKING:
    from .calls import CUTModel
    from .objective import CUTObjective
    from .studio import CUTStudio


class CUTSystem(System):
    """Park et al. 2020, "Contrastive Learning for Unpaired Image-to-Image Translation".

    Batches: ``A`` and ``B`` float32 (N, input_nc, H, W) in [-1, 1], ``A`` alone when translating. ``G`` turns A into B,
    ``F`` projects patches of its feature maps, ``D`` judges images of B.

    Raises:
        UserError: ``nce_layers`` that the generator's encoder does not have.
    """

    description = CUT
    data = UNPAIRED
    architecture_keys = ("input_nc", "ngf", "n_residual_blocks", "no_antialias", "no_antialias_up")
    styles = {"fake_B": ("A", "B")}
    published = CUTWeights()

    def __init__(self, config: Config, training: bool = True):
        super().__init__(config, training)
        channels, down = config.input_nc, "strided" if config.no_antialias else "blurred"
        up = "transposed" if config.no_antialias_up else "blurred"
        self.add_network(
            "G", ResnetGenerator(channels, config.ngf, config.n_residual_blocks, up, down, config.nce_layers)
        )
        if training:
            self.add_network("F", PatchProjection([maps.channels for maps in self.maps((8, 8))], config.netF_nc))
            self.add_network("D", PatchDiscriminator(channels, config.ndf, 70, down))
            if config.recompute:
                # the objective recomputes the generator between the layers that it takes features of
                self.networks["D"].recompute_stages()
        for i, cell in enumerate(self.networks.values()):
            init_weights(cell, config.init_type, config.init_gain, config.seed + 7919 * i)
            zero_biases(cell)
            set_precision(cell, config.precision)

    def maps(self, size: tuple[int, int]) -> tuple[Maps, ...]:
        """The feature maps of ``nce_layers`` for images of ``size`` = (height, width)."""
        image = Maps(self.config.input_nc, *size)
        return feature_maps(self.networks["G"].model.cell_list, self.config.nce_layers, image)

    @property
    def stride(self) -> int:
        return STRIDE

    @property
    def smallest(self) -> int:
        return smallest_side(self.config.n_residual_blocks)

    @classmethod
    def request(cls, config: Config, training: bool) -> UnpairedRequest:
        return UnpairedRequest(STRIDE, config.input_nc, frames=training and config.lambda_temporal > 0)

    @classmethod
    def check_files(cls, config: Config) -> None:
        policies_of(config.diffaug)

    def objective(self, size: tuple[int, int]) -> "CUTObjective":
        from .objective import CUTObjective

        return CUTObjective(self, size)

    def translate(self, batch: Batch, seed: int = 0) -> Batch:
        """``fake_B`` from ``A``."""
        return {"fake_B": self.networks["G"](Tensor(batch["A"])).astype(ms.float32).asnumpy()}

    def visuals(self, batch: Batch, outputs: Batch) -> Batch:
        shown = {"real_A": batch["A"], "fake_B": outputs["fake_B"]}
        shown |= {"real_B": batch["B"]} if "B" in batch else {}
        shown |= {"idt_B": outputs["idt_B"]} if "idt_B" in outputs else {}
        return {name: unit_to_image(images[0]) for name, images in shown.items()}

    def passes(self) -> tuple[Pass, ...]:
        """``G``."""
        image = Port("image", ("batch", self.config.input_nc, "height", "width"), column="A")
        return (Pass("G", self.networks["G"], (image,), ("fake_B",), partial(self.networks.__setitem__, "G")),)

    @classmethod
    def model_class(cls) -> "type[CUTModel]":
        from .calls import CUTModel

        return CUTModel

    @classmethod
    def studio_class(cls) -> "type[CUTStudio]":
        from .studio import CUTStudio

        return CUTStudio
