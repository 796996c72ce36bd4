"""Feature maps of a generator on its way (Park et al. 2020, section 3.2): where they are taken, and their sizes."""

__all__ = ["Encoder", "Maps", "feature_maps"]

from collections.abc import Sequence
from typing import NamedTuple

from mindspore import Tensor, nn

from ...utils.errors import UserError
from ..blur import BlurDown, BlurUp
from ..layers import ReflectionPad
from ..recompute import Stage, recomputed


class Maps(NamedTuple):
    """What a layer returns for one image: the number of channels, and height and width in pixels."""

    channels: int
    height: int
    width: int


class Encoder(nn.Cell):
    """(N, C, H, W) to the feature maps of ``layers``, indices into ``cells`` that ascend.

    ``cells`` are those of a generator, whose parameters keep their names. What follows the last layer is ``decoder``,
    which goes on from the last map. With ``recompute`` the backward pass computes both again, stage by stage.
    """

    def __init__(self, cells: Sequence[nn.Cell], layers: Sequence[int], recompute: bool = False):
        super().__init__(auto_prefix=False)
        ends = [layer + 1 for layer in layers]
        self.parts = tuple(
            _chain(cells[start:end], recompute) for start, end in zip([0, *ends[:-1]], ends, strict=True)
        )
        self._decoder = [_chain(cells[ends[-1] :], recompute)]

    @property
    def decoder(self) -> nn.Cell:
        """The last feature map to the generator's image."""
        return self._decoder[0]

    def construct(self, x: Tensor) -> tuple[Tensor, ...]:
        maps = ()
        for part in self.parts:
            x = part(x)
            maps = maps + (x,)
        return maps


def _chain(cells: Sequence[nn.Cell], recompute: bool) -> Stage:
    return Stage(recomputed(cells) if recompute else cells)


def feature_maps(cells: Sequence[nn.Cell], layers: Sequence[int], image: Maps) -> tuple[Maps, ...]:
    """The maps of ``layers`` for an ``image``, without computing them.

    Raises:
        UserError: a layer lies behind the first doubling, or layers do not ascend.
    """
    last = next(i for i, cell in enumerate(cells) if isinstance(cell, (BlurUp, nn.Conv2dTranspose))) - 1
    if not layers or list(layers) != sorted(set(layers)) or not 0 <= layers[0] <= layers[-1] <= last:
        raise UserError(
            f"nce_layers {' '.join(map(str, layers))} must ascend within 0 to {last}, the layers of this generator "
            f"before it doubles its maps: pass such as --nce_layers 0 4 8 {last}"
        )
    channels, height, width = image
    found = []
    for cell in cells[: layers[-1] + 1]:
        if isinstance(cell, ReflectionPad):
            height, width = height + 6, width + 6
        elif isinstance(cell, nn.Conv2d):
            channels = cell.out_channels
            kernel, stride, padding = cell.kernel_size[0], cell.stride[0], cell.padding
            height, width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
        elif isinstance(cell, BlurDown):
            height, width = (height + 1) // 2, (width + 1) // 2
        found.append(Maps(channels, height, width))
    return tuple(found[layer] for layer in layers)
