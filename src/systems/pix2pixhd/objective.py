"""pix2pixHD's objective: what it needs of a batch, what is trained when, and with which weights (Wang et al. 2018)."""

__all__ = ["NO_VGG", "Pix2PixHDObjective"]

from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
from mindspore import ParameterTuple, nn

from ...contracts.objective import Batch, Objective, UpdateGroup
from ...dataset.frames import BEFORE, FLOW
from ...models.diffaug import DiffAugment, draw_augmentation, policies_of
from ...models.image_pool import ImagePool, draw_pool_slots
from ...models.pix2pixhd.inputs import NOTHING
from ...models.precision import set_precision
from ...models.vgg import VGGLoss, load_vgg
from ...utils.errors import UserError
from .gradients import Generate, GeneratorLoss, Pix2PixHDGradients
from .patches import PatchLoss, check_patches

if TYPE_CHECKING:
    from .system import Pix2PixHD

# VGG19 halves its images four times
_SMALLEST_OF_VGG = 16
#: what to do without the weights of the perceptual loss
NO_VGG = (
    "Download torchvision's vgg19-dcbb9e9d.pth and pass --vgg_pre_trained FILE, "
    "or train without this loss: --no_vgg_loss True"
)


class Pix2PixHDObjective(Objective):
    """Adversarial terms of all discriminator scales, with feature matching and VGG terms unless they are left out.

    ``lambda_l1`` adds the mean absolute difference to the photo (Isola et al. 2017, equation 3), ``real_patches`` the
    verdict of a second discriminator on patches: see :mod:`src.systems.pix2pixhd.patches`.

    Args:
        system: the networks with the options of training.
        size: (height, width) of samples.

    Raises:
        UserError: samples are too small for the networks, or VGG19's weights cannot be used.
    """

    def __init__(self, system: "Pix2PixHD", size: tuple[int, int]):
        super().__init__()
        config = self.config = system.config
        self.system = system
        _check_size(size, system.stride, max(system.smallest, 0 if config.no_vgg_loss else _SMALLEST_OF_VGG))
        check_patches(config, size)
        self.vgg_loss = None
        if not config.no_vgg_loss:
            vgg = load_vgg(config.vgg_pre_trained, NO_VGG)
            set_precision(vgg, config.precision)
            if config.recompute:
                vgg.recompute_stages()
            self.vgg_loss = VGGLoss(vgg)
        self.size, self.policies = size, policies_of(config.diffaug)
        self.loss_names = (
            "G_GAN",
            *(() if config.no_ganFeat_loss else ("G_GAN_Feat",)),
            *(() if config.no_vgg_loss else ("G_VGG",)),
            *(("G_L1",) if config.lambda_l1 else ()),
            *(("G_P",) if any(config.real_patches) else ()),
            *(("temporal",) if config.lambda_temporal > 0 else ()),
            "D_real",
            "D_fake",
            *(("P_real", "P_fake") if any(config.real_patches) else ()),
        )
        if config.pool_size:
            shape = (system.condition_channels + config.output_nc, *size)
            self.buffers["pool"] = ImagePool(config.pool_size, shape, batch=config.batch_size)

    def inputs(self, batch: Batch, step: int = 0) -> tuple[np.ndarray, ...]:
        size, slots = self.config.pool_size, NOTHING
        if size:
            slots = draw_pool_slots(size, len(batch["label"]), step, self.config.seed)
        return (
            batch["label"],
            batch.get("inst", NOTHING),
            self.system.region_map(batch),
            batch["image"],
            batch.get("feat", NOTHING),
            batch.get("real", NOTHING),
            slots,
            *self._frames(batch),
            *draw_augmentation(self.policies, len(batch["label"]), self.size, step, self.config.seed),
        )

    def _frames(self, batch: Batch) -> tuple[np.ndarray, ...]:
        """What the generator sees of the frame before, and the flow back to it; nothing without a temporal loss."""
        if not self.config.lambda_temporal:
            return ()
        before = {name.removesuffix(BEFORE): array for name, array in batch.items() if name.endswith(BEFORE)}
        maps = before["label"], before.get("inst", NOTHING), self.system.region_map(before)
        return (*maps, before.get("image", NOTHING), before.get("feat", NOTHING), batch[FLOW])

    def phase(self, epoch: int) -> bool:
        """Whether only the outermost enhancer is trained.

        This protects the pretrained global generator from the enhancer's first gradients.
        """
        return self.config.netG == "local" and epoch <= self.config.niter_fix_global

    def groups(self, epoch: int) -> tuple[UpdateGroup, ...]:
        config, system = self.config, self.system
        parameters = system.trainable("G")
        only_enhancer = self.phase(epoch)
        if only_enhancer:
            prefix = f"G.model{config.n_local_enhancers}_"
            parameters = {name: p for name, p in parameters.items() if name.startswith(prefix)}
        alone: tuple[UpdateGroup, ...] = ()
        betas = config.beta1, config.beta2
        if system.encodes and config.lr_E:
            alone = (UpdateGroup("E", system.trainable("E"), config.lr_E, *betas),)
        elif system.encodes:
            parameters |= system.trainable("E")
        judges = system.trainable("D") | (system.trainable("P") if "P" in system.networks else {})
        return (
            UpdateGroup("G_enhancer" if only_enhancer else "G", parameters, config.lr, *betas),
            UpdateGroup("D", judges, config.lr_D or config.lr, *betas),
            *alone,
        )

    def gradients(self, groups: tuple[UpdateGroup, ...]) -> nn.Cell:
        config, system = self.config, self.system
        lsgan = not config.no_lsgan
        generate = Generate(
            system.networks["G"], system.networks["E"] if system.encodes else None, system.regions, system.uses_features
        )
        matching = None
        if not config.no_ganFeat_loss:
            matching = config.lambda_feat * 4.0 / (config.n_layers_D + 1) / config.num_D
        discriminator = system.networks["D"]
        augment = DiffAugment(self.policies, config.output_nc)
        vgg = self.vgg_loss, config.lambda_feat
        patches = None
        if any(config.real_patches):
            patches = PatchLoss(system.networks["P"], config.real_patches, lsgan)
        weights = config.lambda_l1, config.lambda_real, config.lambda_temporal
        loss = GeneratorLoss(generate, discriminator, lsgan, matching, *vgg, *weights, augment, patches)
        judges = groups[1].parameters
        return Pix2PixHDGradients(
            system.encode,
            loss,
            discriminator,
            lsgan,
            self.vgg_loss,
            self.buffers.get("pool"),
            augment,
            patches,
            tuple(ParameterTuple(group.parameters.values()) for group in (groups[0], *groups[2:])),
            ParameterTuple(p for name, p in judges.items() if not name.startswith("P.")),
            ParameterTuple(p for name, p in judges.items() if name.startswith("P.")),
        )

    def outputs(self, tensors: tuple) -> Batch:
        return {"synthesized_image": tensors[0].astype(ms.float32).asnumpy()}


def _check_size(size: tuple[int, int], stride: int, smallest: int) -> None:
    if min(size) < smallest:
        raise UserError(
            f"images of {size[1]}x{size[0]} are too small for networks that divide by {stride} and losses that need "
            f"{smallest} pixels a side: pass a larger --load_size or a smaller --n_downsample_global"
        )
