"""CUT's objective (Park et al. 2020, equation 5), and one step's gradients."""

__all__ = ["CUTObjective"]

from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from ...contracts.objective import Batch, Objective, UpdateGroup
from ...dataset.frames import BEFORE, FLOW
from ...models.cut.contrast import patch_nce
from ...models.cut.features import Encoder
from ...models.cyclegan.networks import PATCHES
from ...models.diffaug import DiffAugment, draw_augmentation, policies_of
from ...models.image_pool import ImagePool, draw_distinct_slots
from ...models.losses import GANLoss
from ...models.temporal import temporal_loss
from ...utils.errors import UserError

if TYPE_CHECKING:
    from .system import CUTSystem

_PATCH = 70
_NOTHING = np.zeros(1, np.float32)


class CUTObjective(Objective):
    """The generator, its projections and the discriminator, each in a group of its own.

    Raises:
        UserError: training images of ``size`` = (height, width) are too small for the discriminator, or a feature map
            has fewer places than ``num_patches``.
    """

    def __init__(self, system: "CUTSystem", size: tuple[int, int]):
        super().__init__()
        self.system, self.config, config = system, system.config, system.config
        self.size, self.maps, self.policies = size, system.maps(size), policies_of(config.diffaug)
        self.loss_names = (
            ("G_GAN", "NCE")
            + (("temporal",) if config.lambda_temporal > 0 else ())
            + (("NCE_Y",) if config.nce_idt else ())
            + ("D_real", "D_fake")
        )
        shown = f"training images of {size[1]}x{size[0]}"
        if min(size) < PATCHES[_PATCH]:
            raise UserError(
                f"{shown} are too small for the discriminator, which takes {PATCHES[_PATCH]}x{PATCHES[_PATCH]} and "
                "more: pass larger ones (--fine_size, or --crop_width and --crop_height)"
            )
        smallest = min(self.maps, key=lambda maps: maps.height * maps.width)
        places = smallest.height * smallest.width
        if config.num_patches > places:
            raise UserError(
                f"num_patches {config.num_patches} is above the {smallest.width}x{smallest.height} = {places} places "
                f"of the smallest feature map of {shown}: pass --num_patches {places} or fewer, or larger images"
            )
        if config.pool_size > 0:
            shape = (config.input_nc, *size)
            self.buffers = {"replay_B": ImagePool(config.pool_size, shape, ms.float16, config.batch_size)}

    def inputs(self, batch: Batch, step: int = 0) -> tuple[np.ndarray, ...]:
        """As :meth:`arrange` with what this step draws; then the pool's slots, frames, what ``diffaug`` draws."""
        config, domains = self.config, ("A", "B") if self.config.nce_idt else ("A",)
        rng = np.random.default_rng([config.seed, 13, step])
        mirrors = config.flip_equivariance and bool(rng.random() < 0.5)
        keys = np.stack(
            [
                np.stack([rng.choice(m.height * m.width, config.num_patches, replace=False) for m in self.maps])
                for _ in domains
            ]
        ).astype(np.int32)
        slots = _NOTHING
        if self.buffers:
            slots = draw_distinct_slots(config.pool_size, len(batch["A"]), step, [config.seed])
        draws = draw_augmentation(self.policies, len(batch["A"]), self.size, step, config.seed)
        return (*self.arrange(batch, keys, mirrors), slots, *self._frames(batch, mirrors), *draws)

    def _frames(self, batch: Batch, mirrors: bool) -> tuple[np.ndarray, ...]:
        """The frame before and the flow back to it, as the generator sees them; nothing without a temporal loss."""
        if not self.config.lambda_temporal:
            return ()
        before, flow = batch["A" + BEFORE], batch[FLOW]
        if not mirrors:
            return before, flow
        sign = np.array([-1, 1, 1], np.float32).reshape(3, 1, 1)
        return np.ascontiguousarray(before[..., ::-1]), np.ascontiguousarray(flow[..., ::-1] * sign)

    def arrange(self, batch: Batch, keys: np.ndarray, mirrors: bool) -> tuple[np.ndarray, ...]:
        """Images as the generator sees them, the images that keys are taken of, places of keys and queries.

        Places are int32 (1 or 2 comparisons, layers, num_patches). Where images are mirrored, a query lies at the
        mirrored place.
        """
        seen = {name: np.ascontiguousarray(batch[name][..., ::-1]) if mirrors else batch[name] for name in "AB"}
        widths = np.array([maps.width for maps in self.maps], np.int32)[:, None]
        rows, columns = keys // widths, keys % widths
        queries = rows * widths + (widths - 1 - columns if mirrors else columns)
        return (
            seen["A"],
            batch["A"] if self.config.flip_equivariance else _NOTHING,
            seen["B"] if self.config.nce_idt else _NOTHING,
            batch["B"],
            keys,
            queries.astype(np.int32),
        )

    def groups(self, epoch: int) -> tuple[UpdateGroup, ...]:
        config = self.config
        rates = {"G": config.lr, "F": config.lr, "D": config.lr_D or config.lr}
        return tuple(
            UpdateGroup(name, self.system.trainable(name), rate, config.beta1, config.beta2)
            for name, rate in rates.items()
        )

    def gradients(self, groups: tuple[UpdateGroup, ...]) -> nn.Cell:
        config, networks, lsgan = self.config, self.system.networks, not self.config.no_lsgan
        encoder = Encoder(networks["G"].model.cell_list, config.nce_layers, config.recompute)
        weight = config.lambda_NCE * (0.5 if config.nce_idt else 1.0)
        augment = DiffAugment(self.policies, config.input_nc)

        def loss(judge: nn.Cell | None) -> nn.Cell:
            return _TranslationLoss(
                encoder,
                networks["F"],
                judge,
                augment,
                GANLoss(lsgan),
                (config.lambda_GAN, config.lambda_NCE, weight),
                config.lambda_temporal if judge else 0.0,
                config.flip_equivariance,
                config.nce_T,
                config.nce_includes_all_negatives_from_minibatch,
            )

        return _Gradients(
            loss(networks["D"]),
            loss(None) if config.nce_idt else None,
            _DiscriminatorLoss(networks["D"], augment, lsgan),
            self.buffers,
            groups,
        )

    def outputs(self, tensors: tuple) -> Batch:
        names = ("fake_B", "idt_B")[: len(tensors)]
        return {name: value.astype(ms.float32).asnumpy() for name, value in zip(names, tensors, strict=True)}


class _DiscriminatorLoss(nn.Cell):
    """Mean of the two terms of the discriminator, which sees real and translated images in one call.

    It sees all of a step through the same changes of ``augment``, a :class:`DiffAugment`.
    """

    def __init__(self, discriminator: nn.Cell, augment: nn.Cell, lsgan: bool):
        super().__init__(auto_prefix=False)
        self.D, self.augment = discriminator, augment
        self.gan = GANLoss(lsgan)

    def construct(
        self, scale: Tensor, real: Tensor, shown: Tensor, draws: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        n = real.shape[0]
        scores = self.D(ops.concat((self.augment(real, draws), self.augment(shown, draws)), 0))
        terms = self.gan(scores[:n], True), self.gan(scores[n:], False)
        return 0.5 * (terms[0] + terms[1]) * scale, terms


class _TranslationLoss(nn.Cell):
    """One domain's images through the generator, and their patches compared with those of the results.

    Args:
        encoder: the generator's, with what follows as its decoder.
        projection: ``F``.
        judge: ``D``, or None for images that are not judged.
        augment: what ``D`` sees images through.
        gan: the adversarial loss.
        weights: of the adversarial loss, of the contrastive loss as it is reported, and of it in the sum.
        temporal: weight of the temporal loss; 0 where no frames before are given.
        flips: keys are those of ``source``, because ``seen`` may be its mirror image.
        temperature, across: see :func:`patch_nce`.
    """

    def __init__(
        self,
        encoder: Encoder,
        projection: nn.Cell,
        judge: nn.Cell | None,
        augment: nn.Cell,
        gan: GANLoss,
        weights: tuple[float, float, float],
        temporal: float,
        flips: bool,
        temperature: float,
        across: bool,
    ):
        super().__init__(auto_prefix=False)
        self.encoder, self.decoder, self.F = encoder, encoder.decoder, projection
        self.is_judged = judge is not None
        if judge is not None:
            self.D = judge
        self.augment, self.gan = augment, gan
        self.of_gan, self.reported, self.of_nce = weights
        self.temporal = temporal
        self.flips, self.temperature, self.across = flips, temperature, across

    def construct(
        self,
        scale: Tensor,
        seen: Tensor,
        source: Tensor,
        places: Tensor,
        queries: Tensor,
        draws: tuple[Tensor, ...],
        frames: tuple[Tensor, ...],
    ) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        maps = self.encoder(seen)
        made = self.decoder(maps[-1])
        known = ()
        for layer in self.encoder(source) if self.flips else maps:
            known = known + (ops.stop_gradient(layer),)
        keys = self.F(known, places)
        found = self.F(self.encoder(made), queries)
        nce = 0.0
        for i in range(len(found)):
            nce = nce + patch_nce(found[i], ops.stop_gradient(keys[i]), self.temperature, self.across)
        nce = nce / len(found)
        terms, total = (nce * self.reported,), nce * self.of_nce
        if self.is_judged:
            adversarial = self.gan(self.D(self.augment(made, draws)), True) * self.of_gan
            terms, total = (adversarial,) + terms, adversarial + total
        if self.temporal > 0:
            temporal = temporal_loss(made, self.decoder(self.encoder(frames[0])[-1]), frames[1])
            terms, total = terms + (temporal,), total + temporal * self.temporal
        return total * scale, terms, made


class _Gradients(nn.Cell):
    """All at the weights from before any update.

    The published code updates the discriminator first and judges the same translations by the new one. Here they are
    judged by that of the step before, as in CycleGAN: all else of a step is the same.

    One domain's backward pass ends before the next begins, so that a step takes the memory of one.
    """

    def __init__(
        self,
        of_A: nn.Cell,
        of_B: nn.Cell | None,
        of_D: nn.Cell,
        buffers: dict[str, nn.Cell],
        groups: tuple[UpdateGroup, ...],
    ):
        super().__init__()
        generator, projection, judge = (tuple(group.parameters.values()) for group in groups)
        trained = ms.ParameterTuple(generator + projection)
        self.count = len(generator)
        self.of_A = ms.value_and_grad(of_A, None, trained, has_aux=True)
        self.has_identity = of_B is not None
        if self.has_identity:
            self.of_B = ms.value_and_grad(of_B, None, trained, has_aux=True)
        self.of_D = ms.value_and_grad(of_D, None, ms.ParameterTuple(judge), has_aux=True)
        self.frames = 2 if of_A.temporal > 0 else 0
        self.has_replay = bool(buffers)
        if self.has_replay:
            self.replay = buffers["replay_B"]
        self.map = ops.HyperMap()
        self.add = ops.Add()

    def construct(
        self,
        scale: Tensor,
        seen_A: Tensor,
        source_A: Tensor,
        seen_B: Tensor,
        real_B: Tensor,
        keys: Tensor,
        queries: Tensor,
        slots: Tensor,
        *more: Tensor,
    ) -> tuple[Tensor, tuple, tuple[Tensor, ...]]:
        frames, draws = more[: self.frames], more[self.frames :]
        (_, terms, fake), of_G = self.of_A(scale, seen_A, source_A, keys[0], queries[0], draws, frames)
        outputs = (fake,)
        if self.has_identity:
            seen_B = ops.depend(seen_B, of_G)
            (_, terms_B, same), of_same = self.of_B(scale, seen_B, real_B, keys[1], queries[1], draws, ())
            terms, outputs = terms + terms_B, (fake, same)
            of_G = self.map(self.add, of_G, of_same)
        shown = ops.stop_gradient(fake)
        if self.has_replay:
            shown = self.replay(shown, slots)
        shown = ops.depend(shown, of_G)
        (_, terms_D), of_D = self.of_D(scale, real_B, shown, draws)
        return ops.stack(terms + terms_D), (of_G[: self.count], of_G[self.count :], of_D), outputs
