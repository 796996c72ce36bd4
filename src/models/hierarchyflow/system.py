"""Hierarchy Flow as a system: its network, its objective, what one step trains, how a batch is translated."""

__all__ = ["HierarchyFlowSystem"]

import zlib
from functools import cached_property, partial
from typing import Any, ClassVar

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src.models.hierarchyflow.losses import StyleTransferLoss
from src.models.hierarchyflow.networks import HierarchyFlow
from src.models.hierarchyflow.vgg import load_normalised_vgg
from src.models.passes import Pass, Port
from src.models.precision import set_precision
from src.models.state import named_parameters
from src.models.system import System, UpdateGroup
from src.utils.errors import UserError
from src.utils.images import unit_to_image


class HierarchyFlowSystem(System):
    """Fan et al. 2023, "Hierarchy Flow For High-Fidelity Image-to-Image Translation".

    Batches: ``A``, the content, and ``B``, the style, float32 (N, 3, H, W) in [-1, 1]; any size above
    ``pad_size``. The network itself sees [0, 1].
    """

    name = "hierarchyflow"
    dataset = "unpaired"
    looks: ClassVar = {"output": ("A", "B")}
    shows_side_by_side = True
    architecture_keys = ("model", "out_channels", "weight_type", "reverse", "pad_size")

    def __init__(self, config: Any, training: bool = True):
        super().__init__(config, training)
        self.networks["HF"] = HierarchyFlow(3, config.out_channels, config.weight_type, config.reverse, config.pad_size)
        _initialise(self.networks["HF"], config.seed)
        self.loss = None
        set_precision(self.networks["HF"], config.precision)
        if training and config.recompute:
            self.networks["HF"].recompute_stages()
        if training:
            vgg = load_normalised_vgg(config.vgg_pre_trained)
            set_precision(vgg, config.precision)
            self.loss = StyleTransferLoss(vgg, config.k)
            self.loss_names = ("content", "style", "total")

    @classmethod
    def published_names(cls, network: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The published names are ours; data-parallel training put ``module.`` in front of them.

        The training checkpoints hold the network under ``state_dict``, beside the optimizer and the step.
        """
        inner = {n.removeprefix("state_dict."): v for n, v in arrays.items() if n.startswith("state_dict.")}
        return {name.removeprefix("module."): value for name, value in (inner or arrays).items()}

    # -- training --------------------------------------------------------------------------------------------

    def inputs(self, batch: dict[str, np.ndarray], step: int = 0) -> tuple[np.ndarray, ...]:
        self._check_size(batch["A"])
        return batch["A"], batch["B"]

    def _check_size(self, image: np.ndarray) -> None:
        pad = self.config.pad_size
        height, width = image.shape[2:]
        if min(height, width) <= pad:
            raise UserError(
                f"pictures of {width}x{height} are too small to mirror {pad} pixels at each border: "
                f"use pictures above {pad}x{pad}, or a network with a smaller --pad_size"
            )

    def update_groups(self, epoch: int) -> tuple[UpdateGroup, ...]:
        config = self.config
        return (
            UpdateGroup(
                "HF",
                self.trainable("HF"),
                lr=config.lr,
                beta1=config.beta1,
                beta2=config.beta2,
                weight_decay=config.weight_decay,
            ),
        )

    def gradients(self, groups: tuple[UpdateGroup, ...]) -> nn.Cell:
        return _Gradients(self, ms.ParameterTuple(groups[0].parameters.values()))

    def training_outputs(self, outputs: tuple) -> dict[str, np.ndarray]:
        return {"output": outputs[0].astype(ms.float32).asnumpy()}

    # -- translation -----------------------------------------------------------------------------------------

    def translate(self, batch: dict[str, np.ndarray], seed: int = 0) -> dict[str, np.ndarray]:
        """``output``: the content ``A`` in the look of ``B``, in [-1, 1]; A and B may differ in size."""
        self._check_size(batch["A"])
        output = self._translate(Tensor(batch["A"]), Tensor(batch["B"]))
        return {"output": output.astype(ms.float32).asnumpy()}

    def passes(self) -> tuple[Pass, ...]:
        """``HF``: content and style, which may differ in size, to the content in the look of the style."""
        content = Port("content", ("batch", 3, "height", "width"), column="A")
        style = Port("style", ("batch", 3, "style_height", "style_width"), column="B")
        return (Pass("HF", self._translate, (content, style), ("output",), partial(setattr, self, "_translate")),)

    def result_name(self, stem: str, output: str) -> str:
        """The sample's own name, which is ``{content}_to_{style}``."""
        return stem

    @cached_property
    def _translate(self) -> nn.Cell:
        return _Translate(self.networks["HF"])

    def visuals(self, batch: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        shown = {"content": batch["A"], "style": batch["B"], "output": outputs["output"]}
        return {name: unit_to_image(value[0]) for name, value in shown.items()}


def _initialise(network: nn.Cell, seed: int) -> None:
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


class _Translate(nn.Cell):
    def __init__(self, network: nn.Cell):
        super().__init__()
        self.network = network

    def construct(self, content: Tensor, style: Tensor) -> Tensor:
        output = self.network((content + 1.0) * 0.5, (style + 1.0) * 0.5)
        return ops.clamp(output, 0.0, 1.0) * 2.0 - 1.0


class _Loss(nn.Cell):
    """Weighted sum of the content and the style loss of the clamped output."""

    def __init__(self, system: HierarchyFlowSystem):
        super().__init__()
        self.network, self.loss = system.networks["HF"], system.loss
        self.content_weight = system.config.content_weight
        self.style_weight = system.config.style_weight

    def construct(self, scale: Tensor, content: Tensor, style: Tensor):
        output = ops.clamp(self.network(content, style), 0.0, 1.0)
        content_loss, style_loss = self.loss(output, content, style)
        total = self.content_weight * content_loss + self.style_weight * style_loss
        return total * scale, (content_loss, style_loss, total), output


class _Gradients(nn.Cell):
    def __init__(self, system: HierarchyFlowSystem, parameters: ms.ParameterTuple):
        super().__init__()
        self.of_network = ms.value_and_grad(_Loss(system), None, parameters, has_aux=True)

    def construct(self, scale: Tensor, content: Tensor, style: Tensor):
        (_, terms, output), gradients = self.of_network(scale, (content + 1.0) * 0.5, (style + 1.0) * 0.5)
        return ops.stack(terms), (gradients,), (output * 2.0 - 1.0,)
