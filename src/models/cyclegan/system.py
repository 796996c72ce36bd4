"""CycleGAN as a system: its networks, what one step trains, how a batch is translated."""

__all__ = ["CycleGAN"]

from functools import partial
from typing import Any, ClassVar

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src.models.cyclegan.losses import CycleGANGradients
from src.models.cyclegan.networks import PatchDiscriminator, ResnetGenerator
from src.models.cyclegan.published import published_arrays, published_options
from src.models.cyclegan.replay import ReplayBuffer, draw_slots
from src.models.cyclegan.segmenter import Segmenter
from src.models.passes import Pass, Port
from src.models.precision import set_precision
from src.models.state import init_weights, load_arrays, named_parameters
from src.models.system import System, UpdateGroup
from src.utils.errors import UserError
from src.utils.images import unit_to_image
from src.utils.palette import colour_labels
from src.utils.tensorfile import read_arrays

_NOTHING = np.zeros(1, np.float32)


class CycleGAN(System):
    """Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks".

    Batches: ``A`` and ``B`` float32 (N, input_nc, H, W) in [-1, 1] with H and W multiples of 4, either one
    alone when translating; ``label_A`` int32 (N, 1, H, W) where ``semantic`` is ``joint``. ``G_AB`` turns A
    into B, ``D_A`` judges images of A.
    """

    name = "cyclegan"
    dataset = "unpaired"
    # the original code calls the discriminator of A's translations D_A, although it judges images of B
    published_networks: ClassVar = {"G_A": "G_AB", "G_B": "G_BA", "D_A": "D_B", "D_B": "D_A", "G": "G_AB"}
    looks: ClassVar = {"fake_B": ("A", "B"), "fake_A": ("B", "A")}
    architecture_keys = ("model", "input_nc", "ngf", "n_residual_blocks", "upsampling")

    def __init__(self, config: Any, training: bool = True):
        super().__init__(config, training)
        for network in ("G_AB", "G_BA"):
            self.networks[network] = ResnetGenerator(
                config.input_nc, config.ngf, config.n_residual_blocks, config.upsampling
            )
        self.uses_labels = training and config.semantic == "joint"
        if training:
            for network in ("D_A", "D_B"):
                self.networks[network] = PatchDiscriminator(config.input_nc, config.ndf, config.patch)
            if config.semantic != "none":
                self.networks["S"] = Segmenter(config.semantic_nc, config.input_nc, config.semantic_width)
            self.loss_names = (
                ("G_GAN", "cycle")
                + (("identity",) if config.lambda_id > 0 else ())
                + (("semantic",) if config.semantic != "none" else ())
                + ("D_A", "D_B")
                + (("S",) if self.uses_labels else ())
            )
        for i, (network, cell) in enumerate(self.networks.items()):
            # one optimizer holds both generators, and optimizers insist on distinct names
            cell.update_parameters_name(f"{network}.")
            # the two directions start from different weights, and all biases from 0
            init_weights(cell, config.init_type, config.init_gain, config.seed + 7919 * i)
            for name, parameter in named_parameters(cell).items():
                if name.endswith(".bias"):
                    ops.assign(parameter, ops.zeros_like(parameter))
            set_precision(cell, config.precision)
            if training and config.recompute:
                cell.recompute_stages()
        if training and config.semantic == "frozen":
            self._load_segmenter(config.semantic_weights)

    def _load_segmenter(self, path: str) -> None:
        if not path:
            raise UserError(
                "semantic frozen needs a trained segmenter: pass --semantic_weights FILE (the net_S file of "
                "a run with --semantic joint), or train one on the way: --semantic joint"
            )
        load_arrays(self.networks["S"], read_arrays(path)[0], source=path)
        for parameter in self.networks["S"].get_parameters():
            parameter.requires_grad = False

    @property
    def stride(self) -> int:
        return 4

    @classmethod
    def published_names(cls, network: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Names of huggan's and junyanz's files, without what wrappers and old norms added."""
        return published_arrays(arrays)

    @classmethod
    def published_options(cls, network: str, arrays: dict[str, np.ndarray]) -> dict[str, object]:
        """Family, blocks, width and channels of a generator."""
        return published_options(arrays) if network.startswith("G") else {}

    @property
    def optional_networks(self) -> tuple[str, ...]:
        """Published weights often hold one direction only."""
        return "G_AB", "G_BA"

    # -- training --------------------------------------------------------------------------------------------

    def inputs(self, batch: dict[str, np.ndarray], step: int = 0) -> tuple[np.ndarray, ...]:
        size, label, slots = self.config.pool_size, _NOTHING, [_NOTHING, _NOTHING]
        if self.uses_labels:
            if "label_A" not in batch:
                raise UserError(
                    "semantic joint needs the label maps of A: give their folder or list (--label_A), "
                    "or use --semantic frozen with --semantic_weights FILE"
                )
            half = Segmenter.STRIDE // 2
            label = np.ascontiguousarray(batch["label_A"][:, :, half :: Segmenter.STRIDE, half :: Segmenter.STRIDE])
        if size > 0:
            for i, domain in enumerate("AB"):
                slots[i] = draw_slots(size, len(batch["A"]), step, [self.config.seed, i])
                if f"replay_{domain}" not in self.buffers:
                    self.buffers[f"replay_{domain}"] = ReplayBuffer(size, batch[domain].shape[1:])
        return (batch["A"], batch["B"], label, *slots)

    def update_groups(self, epoch: int) -> tuple[UpdateGroup, ...]:
        config = self.config
        options = {"lr": config.lr, "beta1": config.beta1, "beta2": config.beta2}
        groups = (
            UpdateGroup("G", self.trainable("G_AB", "G_BA"), **options),
            UpdateGroup("D_A", self.trainable("D_A"), **options),
            UpdateGroup("D_B", self.trainable("D_B"), **options),
        )
        if self.uses_labels:
            groups += (UpdateGroup("S", self.trainable("S"), **options),)
        return groups

    def gradients(self, groups: tuple[UpdateGroup, ...]) -> nn.Cell:
        return CycleGANGradients(self, groups)

    def training_outputs(self, outputs: tuple) -> dict[str, np.ndarray]:
        names = ("fake_B", "rec_A", "fake_A", "rec_B")
        return {name: value.astype(ms.float32).asnumpy() for name, value in zip(names, outputs, strict=True)}

    # -- translation -----------------------------------------------------------------------------------------

    def translate(self, batch: dict[str, np.ndarray], seed: int = 0) -> dict[str, np.ndarray]:
        """``fake_B`` from ``A`` and ``fake_A`` from ``B``, of those that ``direction`` asks for.

        Raises:
            UserError: ``direction`` asks for a generator that the checkpoint does not hold.
        """
        result = {}
        for source, network, name, direction in (("A", "G_AB", "fake_B", "AtoB"), ("B", "G_BA", "fake_A", "BtoA")):
            if source not in batch or self.config.direction not in (direction, "both"):
                continue
            if network in self.networks:
                image = self.networks[network](Tensor(batch[source]))
                result[name] = image.astype(ms.float32).asnumpy()
            elif self.config.direction == direction:
                raise UserError(f"--direction {direction} needs the generator {network}, which this checkpoint lacks")
        return result

    def passes(self) -> tuple[Pass, ...]:
        """``G_AB`` and ``G_BA``, of those that the checkpoint has."""
        shape, replace = ("batch", self.config.input_nc, "height", "width"), self.networks.__setitem__
        return tuple(
            Pass(name, self.networks[name], (Port("image", shape, column=source),), (output,), partial(replace, name))
            for name, source, output in (("G_AB", "A", "fake_B"), ("G_BA", "B", "fake_A"))
            if name in self.networks
        )

    def visuals(self, batch: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        shown = {}
        for source, names in (("A", ("fake_B", "rec_A")), ("B", ("fake_A", "rec_B"))):
            if source in batch:
                shown[f"real_{source}"] = unit_to_image(batch[source][0])
            if source == "A" and "label_A" in batch:
                shown["label_A"] = colour_labels(batch["label_A"][0, 0], self.config.semantic_nc)
            shown |= {name: unit_to_image(outputs[name][0]) for name in names if name in outputs}
        return shown
