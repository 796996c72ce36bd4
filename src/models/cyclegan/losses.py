"""CycleGAN's objective and one step's gradients (Zhu et al. 2017, equations 1 to 3, identity loss of 5.2)."""

__all__ = ["CycleGANGradients"]

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src.models.cyclegan.segmenter import label_loss, semantic_loss
from src.models.losses import GANLoss, l1_loss


class _GeneratorLoss(nn.Cell):
    """Both directions at once; each generator sees its source and its identity image in one call."""

    def __init__(self, system):
        super().__init__()
        config, networks = system.config, system.networks
        self.G_AB, self.G_BA = networks["G_AB"], networks["G_BA"]
        self.D_A, self.D_B = networks["D_A"], networks["D_B"]
        self.gan = GANLoss(not config.no_lsgan)
        # huggan averages the two directions, junyanz adds them
        self.share = 1.0 if config.sum_directions else 0.5
        self.lambda_cyc, self.lambda_id = config.lambda_cyc, config.lambda_id
        self.has_identity = config.lambda_id > 0
        self.has_semantic = "S" in networks
        if self.has_semantic:
            self.S = networks["S"]
            self.lambda_semantic = config.lambda_semantic
            self.uses_labels = system.uses_labels
            self.classes = Tensor(np.arange(config.semantic_nc, dtype=np.int32).reshape(1, -1, 1, 1))

    def construct(self, scale, real_A, real_B, label):
        n = real_A.shape[0]
        if self.has_identity:
            of_AB = self.G_AB(ops.concat((real_A, real_B), 0))
            of_BA = self.G_BA(ops.concat((real_B, real_A), 0))
            fake_B, fake_A = of_AB[:n], of_BA[:n]
        else:
            fake_B, fake_A = self.G_AB(real_A), self.G_BA(real_B)
        rec_A, rec_B = self.G_BA(fake_B), self.G_AB(fake_A)
        adversarial = (self.gan(self.D_B(fake_B), True) + self.gan(self.D_A(fake_A), True)) * self.share
        cycle = (l1_loss(rec_A, real_A) + l1_loss(rec_B, real_B)) * self.share
        terms = (adversarial, cycle)
        total = adversarial + self.lambda_cyc * cycle
        if self.has_identity:
            identity = (l1_loss(of_BA[n:], real_A) + l1_loss(of_AB[n:], real_B)) * self.share
            terms = terms + (identity,)
            total = total + self.lambda_id * identity
        if self.has_semantic:
            backward = semantic_loss(self.S(fake_A), self.S(ops.stop_gradient(real_B)))
            if self.uses_labels:
                forward = label_loss(self.S(fake_B), label, self.classes)
            else:
                forward = semantic_loss(self.S(fake_B), self.S(ops.stop_gradient(real_A)))
            semantic = (forward + backward) * self.share
            terms = terms + (semantic,)
            total = total + self.lambda_semantic * semantic
        return total * scale, terms, fake_B, fake_A, rec_A, rec_B


class _DiscriminatorLoss(nn.Cell):
    """Mean of the two terms of one discriminator, which sees real and translated images in one call."""

    def __init__(self, discriminator: nn.Cell, lsgan: bool):
        super().__init__()
        self.D = discriminator
        self.gan = GANLoss(lsgan)

    def construct(self, scale, real, shown):
        n = real.shape[0]
        scores = self.D(ops.concat((real, shown), 0))
        loss = 0.5 * (self.gan(scores[:n], True) + self.gan(scores[n:], False))
        return loss * scale, loss


class _SegmenterLoss(nn.Cell):
    def __init__(self, segmenter: nn.Cell, classes: int):
        super().__init__()
        self.S = segmenter
        self.classes = Tensor(np.arange(classes, dtype=np.int32).reshape(1, -1, 1, 1))

    def construct(self, scale, real, label):
        loss = label_loss(self.S(real), label, self.classes)
        return loss * scale, loss


class CycleGANGradients(nn.Cell):
    """Four translations, two identities and the discriminators, all at the weights from before any update.

    That is the published order of updates, because the discriminators are shown translations that were made
    before the generators' update, and the generators are judged by discriminators from before theirs.
    """

    def __init__(self, system, groups):
        super().__init__()
        parameters = [ms.ParameterTuple(group.parameters.values()) for group in groups]
        networks, lsgan = system.networks, not system.config.no_lsgan
        self.of_generators = ms.value_and_grad(_GeneratorLoss(system), None, parameters[0], has_aux=True)
        self.of_D_A = ms.value_and_grad(_DiscriminatorLoss(networks["D_A"], lsgan), None, parameters[1], has_aux=True)
        self.of_D_B = ms.value_and_grad(_DiscriminatorLoss(networks["D_B"], lsgan), None, parameters[2], has_aux=True)
        self.trains_segmenter = len(groups) > 3
        if self.trains_segmenter:
            loss = _SegmenterLoss(networks["S"], system.config.semantic_nc)
            self.of_segmenter = ms.value_and_grad(loss, None, parameters[3], has_aux=True)
        # the loss Cells above gave the two discriminators the same parameter names
        for name, cell in networks.items():
            cell.update_parameters_name(f"{name}.")
        self.has_replay = "replay_A" in system.buffers
        if self.has_replay:
            self.replay_A, self.replay_B = system.buffers["replay_A"], system.buffers["replay_B"]

    def construct(self, scale, real_A, real_B, label, slots_A, slots_B):
        (_, terms, fake_B, fake_A, rec_A, rec_B), of_G = self.of_generators(scale, real_A, real_B, label)
        shown_A, shown_B = ops.stop_gradient(fake_A), ops.stop_gradient(fake_B)
        if self.has_replay:
            shown_A, shown_B = self.replay_A(shown_A, slots_A), self.replay_B(shown_B, slots_B)
        (_, loss_A), of_A = self.of_D_A(scale, real_A, shown_A)
        (_, loss_B), of_B = self.of_D_B(scale, real_B, shown_B)
        terms, gradients = terms + (loss_A, loss_B), (of_G, of_A, of_B)
        if self.trains_segmenter:
            (_, loss_S), of_S = self.of_segmenter(scale, real_A, label)
            terms, gradients = terms + (loss_S,), gradients + (of_S,)
        return ops.stack(terms), gradients, (fake_B, rec_A, fake_A, rec_B)
