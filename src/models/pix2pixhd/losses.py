"""pix2pixHD's objective and one step's gradients (Wang et al. 2018, equations 2, 4 and 5, with the VGG term)."""

__all__ = ["Pix2PixHDGradients"]

import mindspore as ms
from mindspore import Tensor, nn, ops

from src.models.losses import GANLoss, l1_loss
from src.models.pix2pixhd.inputs import instance_mean


class _Networks(nn.Cell):
    """The forward pass that training shares: condition and features to a fake."""

    def __init__(self, system):
        super().__init__()
        networks = system.networks
        self.G = networks["G"]
        self.uses_features = system.uses_features
        self.encodes = "E" in networks
        if self.encodes:
            self.E = networks["E"]
        self.regions = system.regions

    def construct(self, condition: Tensor, regions: Tensor, image: Tensor, features: Tensor) -> Tensor:
        if self.encodes:
            features = instance_mean(self.E(image), regions, self.regions)
        if self.uses_features:
            return self.G(ops.concat((condition, features.astype(condition.dtype)), 1))
        return self.G(condition)


class _GeneratorLoss(nn.Cell):
    def __init__(self, forward, system):
        super().__init__()
        config = system.config
        self.generate = forward
        self.D = system.networks["D"]
        self.gan = GANLoss(not config.no_lsgan)
        self.matches_features = not config.no_ganFeat_loss
        self.feature_weight = config.lambda_feat * 4.0 / (config.n_layers_D + 1) / config.num_D
        self.vgg_loss = system.vgg_loss
        self.vgg_weight = config.lambda_feat
        self.has_vgg = system.vgg_loss is not None

    def construct(self, scale, condition, regions, image, features, real_outputs, real_maps):
        fake = self.generate(condition, regions, image, features)
        outputs = self.D(ops.concat((condition, fake.astype(condition.dtype)), 1))
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
            matching = matching * self.feature_weight
            terms = terms + (matching,)
            total = total + matching
        if self.has_vgg:
            perceptual = self.vgg_loss(fake, real_maps) * self.vgg_weight
            terms = terms + (perceptual,)
            total = total + perceptual
        return total * scale, terms, fake


class _DiscriminatorLoss(nn.Cell):
    def __init__(self, discriminator, lsgan: bool, real: bool):
        super().__init__()
        self.D = discriminator
        self.gan = GANLoss(lsgan)
        self.real = real

    def construct(self, scale, pair):
        outputs = self.D(pair)
        loss = 0.0
        for scale_outputs in outputs:
            loss = loss + self.gan(scale_outputs[-1], self.real)
        return 0.5 * loss * scale, loss, outputs


class Pix2PixHDGradients(nn.Cell):
    """One generator forward and three discriminator forwards, all at the weights from before any update.

    The discriminator is trained on that same fake, or on what the image pool returns for it. Loss terms are summed
    over the scales; the order is that of ``system.loss_names``.
    """

    def __init__(self, system, generator_parameters, discriminator_parameters):
        super().__init__()
        lsgan = not system.config.no_lsgan
        self.encode = system.encode
        self.pool = system.buffers.get("pool")
        self.has_pool = self.pool is not None
        self.vgg_loss = system.vgg_loss
        self.has_vgg = system.vgg_loss is not None
        forward = _Networks(system)
        discriminator = system.networks["D"]
        self.of_real = ms.value_and_grad(
            _DiscriminatorLoss(discriminator, lsgan, True), None, discriminator_parameters, has_aux=True
        )
        self.of_fake = ms.value_and_grad(
            _DiscriminatorLoss(discriminator, lsgan, False), None, discriminator_parameters, has_aux=True
        )
        self.of_generator = ms.value_and_grad(_GeneratorLoss(forward, system), None, generator_parameters, has_aux=True)

    def construct(self, scale, label, inst, regions, image, features, slots):
        condition = self.encode(label, inst)
        (_, loss_real, real_outputs), grads_real = self.of_real(
            scale, ops.concat((condition, image.astype(condition.dtype)), 1)
        )
        real_maps = ()
        if self.has_vgg:
            real_maps = self.vgg_loss.features(image)
        (_, terms, fake), grads_generator = self.of_generator(
            scale, condition, regions, image, features, real_outputs, real_maps
        )
        pair = ops.concat((condition, ops.stop_gradient(fake).astype(condition.dtype)), 1)
        if self.has_pool:
            pair = self.pool(pair.astype(ms.float32), slots).astype(condition.dtype)
        (_, loss_fake, _), grads_fake = self.of_fake(scale, pair)
        grads_discriminator = ()
        for i in range(len(grads_real)):
            grads_discriminator = grads_discriminator + (grads_real[i] + grads_fake[i],)
        losses = ops.stack(terms + (loss_real, loss_fake))
        return losses, (grads_generator, grads_discriminator), (fake,)
