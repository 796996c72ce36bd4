"""One step's losses and gradients of pix2pixHD (Wang et al. 2018, equations 2, 4 and 5, with the VGG term)."""

__all__ = ["Generate", "GeneratorLoss", "Pix2PixHDGradients"]

import itertools

import mindspore as ms
from mindspore import ParameterTuple, Tensor, nn, ops

from ...models.diffaug import DiffAugment
from ...models.image_pool import ImagePool
from ...models.losses import GANLoss, l1_loss
from ...models.pix2pixhd.inputs import InputEncoder, instance_mean
from ...models.temporal import temporal_loss
from ...models.vgg import VGGLoss
from .patches import PatchDiscriminatorLoss, PatchLoss


class Generate(nn.Cell):
    """The forward pass of training: condition, and features or the image to encode them from, to a fake.

    ``encoder`` is None where features come from outside, ``regions`` the static upper bound of the ids to pool over.
    """

    def __init__(self, generator: nn.Cell, encoder: nn.Cell | None, regions: int, uses_features: bool):
        super().__init__()
        self.G = generator
        self.uses_features, self.encodes, self.regions = uses_features, encoder is not None, regions
        if encoder is not None:
            self.E = encoder

    def construct(self, condition: Tensor, regions: Tensor, image: Tensor, features: Tensor) -> Tensor:
        if self.encodes:
            features = instance_mean(self.E(image), regions, self.regions)
        if self.uses_features:
            return self.G(ops.concat((condition, features.astype(condition.dtype)), 1))
        return self.G(condition)


class _Shown(nn.Cell):
    """What the discriminator sees of a condition and an image: both, or the pair of them where it is augmented."""

    def __init__(self, augment: DiffAugment):
        super().__init__()
        self.augment, self.augments = augment, bool(augment.policies)

    def construct(self, condition: Tensor, image: Tensor, draws: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        image = image.astype(condition.dtype)
        if self.augments:
            return (self.augment(ops.concat((condition, image), 1), draws),)
        return condition, image


class GeneratorLoss(nn.Cell):
    """``construct(...) -> (total * scale, terms, fake)``.

    Terms are summed over the discriminator's scales. ``matching_weight`` is None without feature matching, and
    ``vgg_loss`` None without the perceptual term; an ``l1_weight`` of 0 leaves the difference of pixels out;
    ``patches`` is None without real patches, and ``temporal_weight`` 0 where nothing of a frame before is given.
    """

    def __init__(
        self,
        generate: nn.Cell,
        discriminator: nn.Cell,
        lsgan: bool,
        matching_weight: float | None,
        vgg_loss: VGGLoss | None,
        vgg_weight: float,
        l1_weight: float,
        patch_weight: float,
        temporal_weight: float,
        augment: DiffAugment,
        patches: PatchLoss | None,
    ):
        super().__init__()
        self.generate, self.D, self.gan, self.shown = generate, discriminator, GANLoss(lsgan), _Shown(augment)
        self.matches_features, self.matching_weight = matching_weight is not None, matching_weight or 0.0
        self.has_vgg, self.vgg_weight, self.l1_weight = vgg_loss is not None, vgg_weight, l1_weight
        self.temporal_weight = temporal_weight
        if vgg_loss is not None:
            self.vgg_loss = vgg_loss
        self.has_patches, self.patch_weight = patches is not None, patch_weight
        if patches is not None:
            self.patches = patches

    def construct(
        self,
        scale: Tensor,
        condition: Tensor,
        regions: Tensor,
        image: Tensor,
        features: Tensor,
        real_outputs: tuple[tuple[Tensor, ...], ...],
        real_maps: tuple[Tensor, ...],
        draws: tuple[Tensor, ...],
        frames: tuple[Tensor, ...],
    ) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        fake = self.generate(condition, regions, image, features)
        outputs = self.D(*self.shown(condition, fake, draws))
        adversarial = 0.0
        for scale_outputs in outputs:
            adversarial = adversarial + self.gan(scale_outputs[-1], True)
        terms = (adversarial,)
        total = adversarial
        if self.matches_features:
            matching = 0.0
            for i in range(len(outputs)):
                for j in range(len(outputs[i]) - 1):
                    matching = matching + l1_loss(outputs[i][j], real_outputs[i][j])
            matching = matching * self.matching_weight
            terms = terms + (matching,)
            total = total + matching
        if self.has_vgg:
            perceptual = self.vgg_loss(fake, real_maps) * self.vgg_weight
            terms = terms + (perceptual,)
            total = total + perceptual
        if self.l1_weight > 0:
            difference = l1_loss(fake, image) * self.l1_weight
            terms = terms + (difference,)
            total = total + difference
        if self.has_patches:
            natural = self.patches(fake, True) * self.patch_weight
            terms = terms + (natural,)
            total = total + natural
        if self.temporal_weight > 0:
            temporal = temporal_loss(fake, self.generate(*frames[:-1]), frames[-1])
            terms = terms + (temporal,)
            total = total + temporal * self.temporal_weight
        return total * scale, terms, fake


class _DiscriminatorLoss(nn.Cell):
    """``construct(scale, parts) -> (loss / 2 * scale, loss, group outputs)`` of what is all real or all fake."""

    def __init__(self, discriminator: nn.Cell, lsgan: bool, real: bool):
        super().__init__()
        self.D, self.gan, self.real = discriminator, GANLoss(lsgan), real

    def construct(
        self, scale: Tensor, parts: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, tuple[tuple[Tensor, ...], ...]]:
        outputs = self.D(*parts)
        loss = 0.0
        for scale_outputs in outputs:
            loss = loss + self.gan(scale_outputs[-1], self.real)
        return 0.5 * loss * scale, loss, outputs


class Pix2PixHDGradients(nn.Cell):
    """One step's gradients of every group, all at the weights from before any update.

    The discriminator is trained on that same fake, or on what the image pool returns for it. Loss terms are summed over
    the scales; the order is that of :attr:`Pix2PixHDObjective.loss_names`.

    Args:
        encode: label and instance maps to the condition.
        generator_loss: a :class:`GeneratorLoss` of the same discriminator.
        discriminator: sees condition and image together.
        lsgan: see :class:`GANLoss`.
        vgg_loss: None without the perceptual term.
        pool: None without a history.
        augment: changes what the discriminator sees, a :class:`DiffAugment`; a step has one draw for real and fake
            pairs, because feature matching compares them.
        patches: the loss of ``generator_loss`` on patches; None without real ones.
        generator_parameters: groups of parameters that gradients of the generator's loss are taken of.
        discriminator_parameters, patch_parameters: those of the discriminators, which are one group.
    """

    def __init__(
        self,
        encode: InputEncoder,
        generator_loss: nn.Cell,
        discriminator: nn.Cell,
        lsgan: bool,
        vgg_loss: VGGLoss | None,
        pool: ImagePool | None,
        augment: DiffAugment,
        patches: PatchLoss | None,
        generator_parameters: tuple[ParameterTuple, ...],
        discriminator_parameters: ParameterTuple,
        patch_parameters: ParameterTuple,
    ):
        super().__init__()
        self.encode, self.augment, self.shown = encode, augment, _Shown(augment)
        self.has_pool, self.has_vgg = pool is not None, vgg_loss is not None
        if pool is not None:
            self.pool = pool
        if vgg_loss is not None:
            self.vgg_loss = vgg_loss
        real, fake = (_DiscriminatorLoss(discriminator, lsgan, real) for real in (True, False))
        self.of_real = ms.value_and_grad(real, None, discriminator_parameters, has_aux=True)
        self.of_fake = ms.value_and_grad(fake, None, discriminator_parameters, has_aux=True)
        self.has_patches = patches is not None
        if patches is not None:
            judge = PatchDiscriminatorLoss(patches)
            self.of_patches = ms.value_and_grad(judge, None, patch_parameters, has_aux=True)
        self.generate, self.compiles = generator_loss.generate, ms.get_context("mode") == ms.GRAPH_MODE
        self.has_frames = generator_loss.temporal_weight > 0
        # the places where one group ends and the next begins
        self.ends = tuple(itertools.accumulate(map(len, generator_parameters), initial=0))
        joined = ParameterTuple(itertools.chain(*generator_parameters))
        self.of_generator = ms.value_and_grad(generator_loss, None, joined, has_aux=True)

    def construct(
        self,
        scale: Tensor,
        label: Tensor,
        inst: Tensor,
        regions: Tensor,
        image: Tensor,
        features: Tensor,
        real: Tensor,
        slots: Tensor,
        *more: Tensor,
    ) -> tuple[Tensor, tuple[tuple[Tensor, ...], ...], tuple[Tensor]]:
        condition, frames, draws = self.encode(label, inst), (), more
        if self.has_frames:
            frames, draws = (self.encode(more[0], more[1]), *more[2:6]), more[6:]
        (_, loss_real, real_outputs), grads_real = self.of_real(scale, self.shown(condition, image, draws))
        real_maps = ()
        if self.has_vgg:
            real_maps = self.vgg_loss.features(image)
        (_, terms, fake), grads_generator = self.of_generator(
            scale, condition, regions, image, features, real_outputs, real_maps, draws, frames
        )
        if self.compiles:
            # the compiler merges equal forward passes, of the generator and of the discriminator that judges the same
            # fake twice, but not with what comes out of a gradient function beside its value
            fake = self.generate(condition, regions, image, features)
        if self.has_pool:
            pair = ops.concat((condition, fake.astype(condition.dtype)), 1)
            pair = self.pool(pair.astype(ms.float32), slots).astype(condition.dtype)
            parts = (self.augment(pair, draws),)
        else:
            parts = self.shown(condition, fake, draws)
        (_, loss_fake, _), grads_fake = self.of_fake(scale, parts)
        grads_discriminator = ()
        for i in range(len(grads_real)):
            grads_discriminator = grads_discriminator + (grads_real[i] + grads_fake[i],)
        judged = (loss_real, loss_fake)
        if self.has_patches:
            (_, patches_real, patches_fake), grads_patches = self.of_patches(scale, real, fake)
            judged = judged + (patches_real, patches_fake)
            grads_discriminator = grads_discriminator + grads_patches
        losses = ops.stack(terms + judged)
        gradients = (grads_generator[: self.ends[1]], grads_discriminator)
        for i in range(1, len(self.ends) - 1):
            gradients = gradients + (grads_generator[self.ends[i] : self.ends[i + 1]],)
        return losses, gradients, (fake,)
