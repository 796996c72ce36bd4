"""Hierarchy Flow's objective (Fan et al. 2023, section 3.3), and one step's gradients."""

__all__ = ["HierarchyFlowObjective"]

from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from ...contracts.objective import Batch, Objective, UpdateGroup
from ...models.hierarchyflow.losses import StyleTransferLoss
from ...models.hierarchyflow.networks import GATED
from ...models.hierarchyflow.vgg import SMALLEST, load_normalised_vgg
from ...models.precision import set_precision
from ...utils.errors import UserError

if TYPE_CHECKING:
    from .system import HierarchyFlowSystem


class HierarchyFlowObjective(Objective):
    """One network in one group: the content loss and the aligned style loss.

    Raises:
        UserError: training images of ``size`` = (height, width) are too small, some trained weights would have no
            effect, or the encoder's weights cannot be used.
    """

    loss_names = ("content", "style", "total")

    def __init__(self, system: "HierarchyFlowSystem", size: tuple[int, int]):
        super().__init__()
        self.system, self.config, config = system, system.config, system.config
        smallest = max(system.smallest, SMALLEST)
        if min(size) < smallest:
            raise UserError(
                f"training images of {size[1]}x{size[0]} are too small: {config.pad_size} pixels are mirrored at each "
                f"border, and the losses halve them three times, so that {smallest}x{smallest} are needed: pass "
                "larger ones (--crop_width, --crop_height), or a smaller --pad_size"
            )
        if config.reverse == "exact" and config.weight_type in GATED:
            raise UserError(
                f"weight_type {config.weight_type} multiplies channels that reverse exact normalises, so that the last "
                "coupling's weights would do nothing: pass --weight_type learned, or --reverse public, the published "
                "formula that they belong to"
            )
        vgg = load_normalised_vgg(config.vgg_pre_trained)
        set_precision(vgg, config.precision)
        self.losses = StyleTransferLoss(vgg, config.k)

    def inputs(self, batch: Batch, step: int = 0) -> tuple[np.ndarray, ...]:
        return batch["A"], batch["B"]

    def groups(self, epoch: int) -> tuple[UpdateGroup, ...]:
        config = self.config
        rates = {"lr": config.lr, "beta1": config.beta1, "beta2": config.beta2, "weight_decay": config.weight_decay}
        return (UpdateGroup("HF", self.system.trainable("HF"), **rates),)

    def gradients(self, groups: tuple[UpdateGroup, ...]) -> nn.Cell:
        weights = self.config.content_weight, self.config.style_weight
        loss = _Loss(self.system.networks["HF"], self.losses, *weights)
        return _Gradients(loss, ms.ParameterTuple(groups[0].parameters.values()))

    def outputs(self, tensors: tuple) -> Batch:
        return {"output": tensors[0].astype(ms.float32).asnumpy()}


class _Loss(nn.Cell):
    """Weighted sum of the content and the style loss of the clamped output."""

    def __init__(self, network: nn.Cell, losses: StyleTransferLoss, content_weight: float, style_weight: float):
        super().__init__()
        self.network, self.losses = network, losses
        self.content_weight, self.style_weight = content_weight, style_weight

    def construct(self, scale: Tensor, content: Tensor, style: Tensor) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        output = ops.clamp(self.network(content, style), 0.0, 1.0)
        content_loss, style_loss = self.losses(output, content, style)
        total = self.content_weight * content_loss + self.style_weight * style_loss
        return total * scale, (content_loss, style_loss, total), output


class _Gradients(nn.Cell):
    """From images in [-1, 1] to the network's [0, 1] and back."""

    def __init__(self, loss: nn.Cell, parameters: ms.ParameterTuple):
        super().__init__()
        self.of_network = ms.value_and_grad(loss, None, parameters, has_aux=True)

    def construct(
        self, scale: Tensor, content: Tensor, style: Tensor
    ) -> tuple[Tensor, tuple[tuple[Tensor, ...]], tuple[Tensor]]:
        (_, terms, output), gradients = self.of_network(scale, (content + 1.0) * 0.5, (style + 1.0) * 0.5)
        return ops.stack(terms), (gradients,), (output * 2.0 - 1.0,)
