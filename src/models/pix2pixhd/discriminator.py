"""pix2pixHD's multi-scale patch discriminator (Wang et al. 2018, section 3.2)."""

__all__ = ["MultiscaleDiscriminator"]

from mindspore import Tensor, nn, ops

from ..layers import LeakyReLU, conv, norm_layer
from ..recompute import recompute_stages
from .layers import PUBLISHED, Layers


class MultiscaleDiscriminator(nn.Cell):
    """``num_D`` patch discriminators over an image pyramid.

    ``construct(*parts)`` sees its parts, each (N, C, H, W), side by side. Each is halved by itself: a condition is then
    halved once for all images that go with it, and no gradient of it is made.

    Returns one tuple per image scale, finest first: all ``n_layers + 2`` group outputs, the last being the patch logits
    (N, 1, h, w), or with ``features=False`` the logits alone.

    Scale k counts from the coarsest image, as published: growing ``num_D`` from 2 to 3 together with the resolution
    keeps scale 0 and 1 on the resolutions that they were trained on, and only scale 2 is new.
    """

    def __init__(
        self,
        in_channels: int,
        ndf: int = 64,
        n_layers: int = 3,
        num_D: int = 2,
        norm: str = "instance",
        features: bool = True,
        layers: Layers = PUBLISHED,
    ):
        super().__init__()
        self.features = features
        self.num_D = num_D
        self.n_groups = n_layers + 2
        self._scales = []
        for k in range(num_D):
            groups = _patch_groups(in_channels, ndf, n_layers, norm)
            if features:
                for j, group in enumerate(groups):
                    setattr(self, f"scale{k}_layer{j}", nn.SequentialCell(group))
                self._scales.append([getattr(self, f"scale{k}_layer{j}") for j in range(self.n_groups)])
            else:
                setattr(self, f"layer{k}", nn.SequentialCell([cell for group in groups for cell in group]))
                self._scales.append([getattr(self, f"layer{k}")])
        self.downsample = layers.pool()

    def recompute_stages(self) -> None:
        """Keep the group outputs alone and compute what is inside the groups again in the backward pass."""
        for groups in self._scales:
            for group in groups:
                if self.features:
                    group.recompute()
                else:
                    recompute_stages(group)

    def construct(self, *parts: Tensor) -> tuple[tuple[Tensor, ...], ...]:
        results = ()
        for i in range(self.num_D):
            y = ops.concat(parts, 1) if len(parts) > 1 else parts[0]
            outputs = ()
            for group in self._scales[self.num_D - 1 - i]:
                y = group(y)
                outputs = outputs + (y,)
            results = results + (outputs,)
            if i < self.num_D - 1:
                halves = ()
                for part in parts:
                    halves = halves + (self.downsample(part),)
                parts = halves
        return results


def _patch_groups(in_channels: int, ndf: int, n_layers: int, norm: str) -> list[list[nn.Cell]]:
    groups = [[conv(in_channels, ndf, 4, 2, 2), LeakyReLU(0.2)]]
    channels = ndf
    for j in range(1, n_layers + 1):
        previous, channels = channels, min(2 * channels, 512)
        stride = 2 if j < n_layers else 1
        groups.append([conv(previous, channels, 4, stride, 2, norm), norm_layer(norm, channels), LeakyReLU(0.2)])
    groups.append([conv(channels, 1, 4, 1, 2)])
    return groups
