"""CycleGAN as a system: its networks, and how a batch is translated."""

__all__ = ["CycleGAN"]

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import mindspore as ms
from mindspore import Tensor

from ...contracts.passes import Pass, Port
from ...contracts.system import Batch, System
from ...dataset.unpaired import UNPAIRED, UnpairedRequest
from ...imaging.images import unit_to_image
from ...imaging.palette import colour_labels
from ...models.cyclegan.networks import PatchDiscriminator, ResnetGenerator
from ...models.cyclegan.segmenter import Segmenter
from ...models.diffaug import policies_of
from ...models.parameters import init_weights, load_arrays, zero_biases
from ...models.precision import set_precision
from ...options.config import Config
from ...utils.errors import UserError
from ...utils.tensorfile import read_arrays
from ..shared.residual import STRIDE, smallest_side
from . import CYCLEGAN
from .published import CycleGANWeights

if TYPE_CHECKING:
    from .calls import CycleGANModel
    from .objective import CycleGANObjective
    from .studio import CycleGANStudio

#: each direction's source, generator and output
_WAYS = {"AtoB": ("A", "G_AB", "fake_B"), "BtoA": ("B", "G_BA", "fake_A")}


class CycleGAN(System):
    """Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks".

    Batches: ``A`` and ``B`` float32 (N, input_nc, H, W) in [-1, 1], either one alone when translating, and of other
    sizes than each other; ``label_A`` int32 (N, 1, H, W) where ``semantic`` is ``joint``. ``G_AB`` turns A into B,
    ``D_A`` judges images of A.

    Raises:
        UserError: a frozen segmenter has no weights, or weights that do not fit.
    """

    description = CYCLEGAN
    data = UNPAIRED
    architecture_keys = ("input_nc", "ngf", "n_residual_blocks", "upsampling")
    styles = {"fake_B": ("A", "B"), "fake_A": ("B", "A")}
    published = CycleGANWeights()

    def __init__(self, config: Config, training: bool = True):
        super().__init__(config, training)
        channels = config.input_nc
        for network in ("G_AB", "G_BA"):
            self.add_network(
                network, ResnetGenerator(channels, config.ngf, config.n_residual_blocks, config.upsampling)
            )
        if training:
            for network in ("D_A", "D_B"):
                self.add_network(network, PatchDiscriminator(channels, config.ndf, config.patch))
            if config.semantic != "none":
                self.add_network("S", Segmenter(config.semantic_nc, channels, config.semantic_width))
        for i, cell in enumerate(self.networks.values()):
            # the two directions start from different weights, and all biases from 0
            init_weights(cell, config.init_type, config.init_gain, config.seed + 7919 * i)
            zero_biases(cell)
            set_precision(cell, config.precision)
            if training and config.recompute:
                cell.recompute_stages()
        if training and config.semantic == "frozen":
            self.check_files(config)
            self._load_segmenter(config.semantic_weights)

    def _load_segmenter(self, path: str) -> None:
        load_arrays(self.networks["S"], read_arrays(path)[0], source=path)
        for parameter in self.networks["S"].get_parameters():
            parameter.requires_grad = False

    @property
    def stride(self) -> int:
        return STRIDE

    @property
    def smallest(self) -> int:
        return smallest_side(self.config.n_residual_blocks)

    @property
    def optional_networks(self) -> tuple[str, ...]:
        """Published weights often hold one direction only."""
        return "G_AB", "G_BA"

    @classmethod
    def request(cls, config: Config, training: bool) -> UnpairedRequest:
        frames = training and config.lambda_temporal > 0
        return UnpairedRequest(STRIDE, config.input_nc, labels=training and config.semantic == "joint", frames=frames)

    @classmethod
    def check_files(cls, config: Config) -> None:
        policies_of(config.diffaug)
        if config.semantic == "frozen":
            if not config.semantic_weights:
                raise UserError(
                    "semantic frozen needs a trained segmenter: pass --semantic_weights FILE (the net_S file of "
                    "a run with --semantic joint), or train one on the way: --semantic joint"
                )
            if not Path(config.semantic_weights).is_file():
                raise UserError(f"semantic_weights {config.semantic_weights} does not exist: check the path")

    def objective(self, size: tuple[int, int]) -> "CycleGANObjective":
        from .objective import CycleGANObjective

        return CycleGANObjective(self, size)

    def translate(self, batch: Batch, seed: int = 0, direction: str = "both") -> Batch:
        """``fake_B`` from ``A`` and ``fake_A`` from ``B``, for the domains that the batch holds.

        Args:
            batch: see the class.
            seed: not used.
            direction: ``AtoB`` or ``BtoA`` selects one direction; ``both`` selects all that have generators.

        Raises:
            UserError: the checkpoint lacks the generator of ``direction``.
        """
        made = {}
        for way, (source, network, output) in _WAYS.items():
            if source not in batch or direction not in (way, "both"):
                continue
            if network in self.networks:
                made[output] = self.networks[network](Tensor(batch[source])).astype(ms.float32).asnumpy()
            elif direction == way:
                raise UserError(f"--direction {way} needs the generator {network}, which this checkpoint lacks")
        return made

    def visuals(self, batch: Batch, outputs: Batch) -> Batch:
        shown = {}
        for source, names in (("A", ("fake_B", "rec_A")), ("B", ("fake_A", "rec_B"))):
            if source in batch:
                shown[f"real_{source}"] = unit_to_image(batch[source][0])
            if source == "A" and "label_A" in batch:
                shown["label_A"] = colour_labels(batch["label_A"][0, 0], self.config.semantic_nc)
            shown |= {name: unit_to_image(outputs[name][0]) for name in names if name in outputs}
        return shown

    def passes(self) -> tuple[Pass, ...]:
        """``G_AB`` and ``G_BA``, of those that the checkpoint has."""
        shape, replace = ("batch", self.config.input_nc, "height", "width"), self.networks.__setitem__
        return tuple(
            Pass(name, self.networks[name], (Port("image", shape, column=source),), (output,), partial(replace, name))
            for source, name, output in _WAYS.values()
            if name in self.networks
        )

    @classmethod
    def model_class(cls) -> "type[CycleGANModel]":
        from .calls import CycleGANModel

        return CycleGANModel

    @classmethod
    def studio_class(cls) -> "type[CycleGANStudio]":
        from .studio import CycleGANStudio

        return CycleGANStudio
