"""Real patches beside pairs (HyPER-GAN 2026): a discriminator of its own compares patches of fakes with real ones.

``data/match_patches.py`` finds them: an image of PHASE_real_ROWSxCOLUMNS holds, in the place of each patch of a
training image, the patch of a real image that resembles its translation most. The real patches do not lie on the
contours of the image, so this discriminator sees no condition, and nothing is compared pixel by pixel.
"""

__all__ = ["PatchDiscriminatorLoss", "PatchLoss", "Patches", "check_patches"]

from collections.abc import Sequence

from mindspore import Tensor, nn

from ...models.losses import GANLoss
from ...options.config import Config
from ...utils.errors import UserError


def check_patches(config: Config, size: tuple[int, int] | None = None) -> None:
    """Raise ``UserError`` where images are cropped, or the grid does not divide samples of ``size`` (height, width)."""
    grid = config.real_patches
    if not any(grid):
        return
    if len(grid) != 2 or not all(grid):
        raise UserError(f"--real_patches {grid} is no grid: pass rows and columns, such as [4,8], or [0,0] for none")
    if "crop" in config.resize_or_crop.split("_"):
        raise UserError(
            f"--resize_or_crop {config.resize_or_crop} cuts through the patches of --real_patches {grid}: pass "
            "--resize_or_crop scale_width or none"
        )
    if size and (size[0] % grid[0] or size[1] % grid[1]):
        raise UserError(
            f"--real_patches {grid} does not divide samples of {size[1]}x{size[0]}: choose rows that divide {size[0]} "
            f"and columns that divide {size[1]}, and match patches again"
        )


class Patches(nn.Cell):
    """(N, C, H, W) to the patches of a grid, row by row: (N * rows * columns, C, H / rows, W / columns)."""

    def __init__(self, rows: int, columns: int):
        super().__init__()
        self.rows, self.columns = rows, columns

    def construct(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        height, width = h // self.rows, w // self.columns
        patches = self.rows * self.columns
        # two transpositions of four axes in the place of one of six
        x = x.reshape(n * c * self.rows, height, self.columns, width).transpose(0, 2, 1, 3)
        x = x.reshape(n, c, patches, height * width).transpose(0, 2, 1, 3)
        return x.reshape(n * patches, c, height, width)


class PatchLoss(nn.Cell):
    """``construct(image, real)``: the adversarial loss of an image's patches, summed over scales."""

    def __init__(self, discriminator: nn.Cell, grid: Sequence[int], lsgan: bool):
        super().__init__()
        self.P, self.patches, self.gan = discriminator, Patches(*grid), GANLoss(lsgan)

    def construct(self, image: Tensor, real: bool) -> Tensor:
        loss = 0.0
        for scale_outputs in self.P(self.patches(image)):
            loss = loss + self.gan(scale_outputs[-1], real)
        return loss


class PatchDiscriminatorLoss(nn.Cell):
    """``construct(scale, real, fake) -> (loss / 2 * scale, loss of real, loss of fake)`` of two images' patches."""

    def __init__(self, loss: PatchLoss):
        super().__init__()
        self.loss = loss

    def construct(self, scale: Tensor, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        of_real, of_fake = self.loss(real, True), self.loss(fake, False)
        return 0.5 * (of_real + of_fake) * scale, of_real, of_fake
