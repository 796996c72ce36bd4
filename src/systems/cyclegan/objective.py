"""CycleGAN's objective (Zhu et al. 2017, equations 1 to 3, identity loss of 5.2), and one step's gradients."""

__all__ = ["CycleGANObjective"]

from collections.abc import Mapping
from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from ...contracts.objective import Batch, Objective, UpdateGroup
from ...dataset.frames import BEFORE, FLOW
from ...models.cyclegan.networks import PATCHES
from ...models.cyclegan.segmenter import Segmenter, label_loss, semantic_loss
from ...models.diffaug import DiffAugment, draw_augmentation, policies_of
from ...models.image_pool import ImagePool, draw_distinct_slots
from ...models.losses import GANLoss, l1_loss
from ...models.temporal import temporal_loss
from ...utils.errors import UserError

if TYPE_CHECKING:
    from .system import CycleGAN

_NOTHING = np.zeros(1, np.float32)
# The segmenter learns from A alone and judges images in the style of B. Through changing colours it learns shapes as
# well, and a translation cannot please it by one tint.
_RECOLOUR = ("color",)


class CycleGANObjective(Objective):
    """Both generators in one group, each discriminator in its own, and the segmenter where it is trained.

    Raises:
        UserError: training images of ``size`` = (height, width) are too small for the discriminators.
    """

    def __init__(self, system: "CycleGAN", size: tuple[int, int]):
        super().__init__()
        self.system, self.config, config = system, system.config, system.config
        self.trains_segmenter = config.semantic == "joint"
        self.loss_names = (
            ("G_GAN", "cycle")
            + (("identity",) if config.lambda_id > 0 else ())
            + (("semantic",) if config.semantic != "none" else ())
            + (("temporal",) if config.lambda_temporal > 0 else ())
            + ("D_A", "D_B")
            + (("S",) if self.trains_segmenter else ())
        )
        self.size, self.policies = size, policies_of(config.diffaug)
        # discriminators and segmenter share what is drawn for a step
        self.drawn_policies = self.policies or (_RECOLOUR if config.semantic != "none" else ())
        smallest = PATCHES[config.patch]
        if min(size) < smallest:
            raise UserError(
                f"training images of {size[1]}x{size[0]} are too small for discriminators with --patch "
                f"{config.patch}, which take {smallest}x{smallest} and more: pass larger ones (--fine_size, or "
                "--crop_width and --crop_height)"
            )
        if config.pool_size > 0:
            # one row more than are used, as in the files of earlier versions
            rows, shape = config.pool_size + 1, (config.input_nc, *size)
            self.buffers = {
                f"replay_{domain}": ImagePool(rows, shape, ms.float16, config.batch_size) for domain in "AB"
            }

    def inputs(self, batch: Batch, step: int = 0) -> tuple[np.ndarray, ...]:
        label, slots = _NOTHING, [_NOTHING, _NOTHING]
        if self.trains_segmenter:
            half = Segmenter.STRIDE // 2
            label = np.ascontiguousarray(batch["label_A"][:, :, half :: Segmenter.STRIDE, half :: Segmenter.STRIDE])
        if self.buffers:
            size, count, seed = self.config.pool_size, len(batch["A"]), self.config.seed
            slots = [draw_distinct_slots(size, count, step, [seed, i]) for i in range(2)]
        draws = draw_augmentation(self.drawn_policies, len(batch["A"]), self.size, step, self.config.seed)
        frames = (batch["A" + BEFORE], batch[FLOW]) if self.config.lambda_temporal else ()
        return (batch["A"], batch["B"], label, *slots, *frames, *draws)

    def groups(self, epoch: int) -> tuple[UpdateGroup, ...]:
        parts = {"G": ("G_AB", "G_BA"), "D_A": ("D_A",), "D_B": ("D_B",)}
        if self.trains_segmenter:
            parts["S"] = ("S",)
        config = self.config
        rates = {"D_A": config.lr_D or config.lr, "D_B": config.lr_D or config.lr}
        return tuple(
            UpdateGroup(name, self.system.trainable(*networks), rates.get(name, config.lr), config.beta1, config.beta2)
            for name, networks in parts.items()
        )

    def gradients(self, groups: tuple[UpdateGroup, ...]) -> nn.Cell:
        config, networks, lsgan = self.config, self.system.networks, not self.config.no_lsgan
        classes = config.semantic_nc if self.trains_segmenter else 0
        augment, recolour = (DiffAugment(names, config.input_nc) for names in (self.policies, _RECOLOUR))
        return _Gradients(
            _GeneratorLoss(
                networks,
                lsgan,
                # huggan averages the two directions, junyanz adds them
                1.0 if config.sum_directions else 0.5,
                {
                    "cycle": config.lambda_cyc,
                    "identity": config.lambda_id,
                    "semantic": config.lambda_semantic,
                    "temporal": config.lambda_temporal,
                },
                classes,
                augment,
                recolour,
            ),
            _DiscriminatorLoss(networks["D_A"], lsgan, augment),
            _DiscriminatorLoss(networks["D_B"], lsgan, augment),
            _SegmenterLoss(networks["S"], classes, recolour) if classes else None,
            self.buffers,
            groups,
        )

    def outputs(self, tensors: tuple) -> Batch:
        names = ("fake_B", "rec_A", "fake_A", "rec_B")
        return {name: value.astype(ms.float32).asnumpy() for name, value in zip(names, tensors, strict=True)}


class _DiscriminatorLoss(nn.Cell):
    """Mean of the two terms of one discriminator, which sees real and translated images in one call.

    It sees all of a step through the same changes of ``augment``, a :class:`DiffAugment`.
    """

    def __init__(self, discriminator: nn.Cell, lsgan: bool, augment: nn.Cell):
        # parameters keep their names, which one compiled step needs to be distinct
        super().__init__(auto_prefix=False)
        self.D = discriminator
        self.gan, self.augment = GANLoss(lsgan), augment

    def construct(self, scale: Tensor, real: Tensor, shown: Tensor, draws: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        n = real.shape[0]
        scores = self.D(ops.concat((self.augment(real, draws), self.augment(shown, draws)), 0))
        loss = 0.5 * (self.gan(scores[:n], True) + self.gan(scores[n:], False))
        return loss * scale, loss


def _class_numbers(classes: int) -> Tensor:
    return Tensor(np.arange(classes, dtype=np.int32).reshape(1, -1, 1, 1))


class _SegmenterLoss(nn.Cell):
    """Cross entropy of the segmenter on real images of A, seen through ``recolour``, a :class:`DiffAugment`."""

    def __init__(self, segmenter: nn.Cell, classes: int, recolour: nn.Cell):
        super().__init__(auto_prefix=False)
        self.S, self.classes, self.recolour = segmenter, _class_numbers(classes), recolour

    def construct(
        self, scale: Tensor, image: Tensor, label: Tensor, draws: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        loss = label_loss(self.S(self.recolour(image, draws)), label, self.classes)
        return loss * scale, loss


class _GeneratorLoss(nn.Cell):
    """Both directions at once; each generator sees its source and its identity image in one call.

    Args:
        networks: ``G_AB``, ``G_BA``, ``D_A``, ``D_B``, and ``S`` where translations should keep the classes.
        lsgan: see :class:`GANLoss`.
        factor: factor on each direction's terms.
        weights: weights of the terms ``cycle``, ``identity`` and ``temporal`` (0 leaves these two out), ``semantic``.
        classes: number of classes of the label maps of A, which translations should keep; 0 takes the segmenter's
            predictions on A.
        augment: what the discriminators see images through.
        recolour: what the segmenter sees translations through; their sources it sees as they are.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Cell],
        lsgan: bool,
        factor: float,
        weights: Mapping[str, float],
        classes: int,
        augment: nn.Cell,
        recolour: nn.Cell,
    ):
        super().__init__(auto_prefix=False)
        self.augment, self.recolour = augment, recolour
        self.G_AB, self.G_BA = networks["G_AB"], networks["G_BA"]
        self.D_A, self.D_B = networks["D_A"], networks["D_B"]
        self.gan, self.factor = GANLoss(lsgan), factor
        self.cycle, self.identity, self.semantic = weights["cycle"], weights["identity"], weights["semantic"]
        self.temporal = weights["temporal"]
        self.has_identity, self.has_semantic = self.identity > 0, "S" in networks
        self.has_labels = classes > 0
        if self.has_semantic:
            self.S = networks["S"]
        if self.has_labels:
            self.classes = _class_numbers(classes)

    def construct(
        self,
        scale: Tensor,
        real_A: Tensor,
        real_B: Tensor,
        label: Tensor,
        draws: tuple[Tensor, ...],
        frames: tuple[Tensor, ...],
    ) -> tuple[Tensor, tuple[Tensor, ...], Tensor, Tensor, Tensor, Tensor]:
        n = real_A.shape[0]
        if self.has_identity:
            of_AB = self.G_AB(ops.concat((real_A, real_B), 0))
            of_BA = self.G_BA(ops.concat((real_B, real_A), 0))
            fake_B, fake_A = of_AB[:n], of_BA[:n]
        else:
            fake_B, fake_A = self.G_AB(real_A), self.G_BA(real_B)
        rec_A, rec_B = self.G_BA(fake_B), self.G_AB(fake_A)
        seen_A, seen_B = self.augment(fake_A, draws), self.augment(fake_B, draws)
        adversarial = (self.gan(self.D_B(seen_B), True) + self.gan(self.D_A(seen_A), True)) * self.factor
        cycle = (l1_loss(rec_A, real_A) + l1_loss(rec_B, real_B)) * self.factor
        terms = (adversarial, cycle)
        total = adversarial + self.cycle * cycle
        if self.has_identity:
            identity = (l1_loss(of_BA[n:], real_A) + l1_loss(of_AB[n:], real_B)) * self.factor
            terms = terms + (identity,)
            total = total + self.identity * identity
        if self.has_semantic:
            of_A, of_B = self.S(self.recolour(fake_A, draws)), self.S(self.recolour(fake_B, draws))
            backward = semantic_loss(of_A, self.S(ops.stop_gradient(real_B)))
            if self.has_labels:
                forward = label_loss(of_B, label, self.classes)
            else:
                forward = semantic_loss(of_B, self.S(ops.stop_gradient(real_A)))
            semantic = (forward + backward) * self.factor
            terms = terms + (semantic,)
            total = total + self.semantic * semantic
        if self.temporal > 0:
            # images of A are the video
            temporal = temporal_loss(fake_B, self.G_AB(frames[0]), frames[1])
            terms = terms + (temporal,)
            total = total + self.temporal * temporal
        return total * scale, terms, fake_B, fake_A, rec_A, rec_B


class _Gradients(nn.Cell):
    """Four translations, two identities and the discriminators, all at the weights from before any update.

    That is the published order of updates, because the discriminators are shown translations that were made before the
    generators' update, and the generators are judged by discriminators from before theirs.
    """

    def __init__(
        self,
        of_generators: nn.Cell,
        of_D_A: nn.Cell,
        of_D_B: nn.Cell,
        of_segmenter: nn.Cell | None,
        buffers: Mapping[str, nn.Cell],
        groups: tuple[UpdateGroup, ...],
    ):
        super().__init__()
        losses = [loss for loss in (of_generators, of_D_A, of_D_B, of_segmenter) if loss is not None]
        functions = [
            ms.value_and_grad(loss, None, ms.ParameterTuple(group.parameters.values()), has_aux=True)
            for loss, group in zip(losses, groups, strict=True)
        ]
        self.of_generators, self.of_D_A, self.of_D_B = functions[:3]
        self.trains_segmenter = of_segmenter is not None
        if self.trains_segmenter:
            self.of_segmenter = functions[3]
        self.frames = 2 if of_generators.temporal > 0 else 0
        self.has_replay = bool(buffers)
        if self.has_replay:
            self.replay_A, self.replay_B = buffers["replay_A"], buffers["replay_B"]

    def construct(
        self,
        scale: Tensor,
        real_A: Tensor,
        real_B: Tensor,
        label: Tensor,
        slots_A: Tensor,
        slots_B: Tensor,
        *more: Tensor,
    ) -> tuple[Tensor, tuple, tuple[Tensor, ...]]:
        frames, draws = more[: self.frames], more[self.frames :]
        (_, terms, fake_B, fake_A, rec_A, rec_B), of_G = self.of_generators(scale, real_A, real_B, label, draws, frames)
        shown_A, shown_B = ops.stop_gradient(fake_A), ops.stop_gradient(fake_B)
        if self.has_replay:
            shown_A, shown_B = self.replay_A(shown_A, slots_A), self.replay_B(shown_B, slots_B)
        (_, loss_A), of_A = self.of_D_A(scale, real_A, shown_A, draws)
        (_, loss_B), of_B = self.of_D_B(scale, real_B, shown_B, draws)
        terms, gradients = terms + (loss_A, loss_B), (of_G, of_A, of_B)
        if self.trains_segmenter:
            (_, loss_S), of_S = self.of_segmenter(scale, real_A, label, draws)
            terms, gradients = terms + (loss_S,), gradients + (of_S,)
        return ops.stack(terms), gradients, (fake_B, rec_A, fake_A, rec_B)
