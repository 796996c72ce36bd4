"""Patches of feature maps, and the loss that tells them apart (Park et al. 2020, section 3.2, equations 3 and 4)."""

__all__ = ["PatchProjection", "patch_nce"]

from collections.abc import Sequence

import mindspore as ms
from mindspore import Tensor, nn, ops

# the published length of a vector that is added before the division, and the square below which it has no direction
_EPS, _TINY = 1e-7, 1e-24


class PatchProjection(nn.Cell):
    """Feature maps (N, C_i, H_i, W_i) and places int32 (layers, P) to a unit vector (N, P, ``length``), float32, a map.

    A place is ``row * W_i + column``; all images of a batch have the same. Each layer has two dense layers of its own,
    ``mlp_0``, ``mlp_1``, ..., which exist from the start: ``channels`` holds the C_i.
    """

    def __init__(self, channels: Sequence[int], length: int = 256):
        super().__init__()
        heads = [nn.SequentialCell(nn.Dense(c, length), nn.ReLU(), nn.Dense(length, length)) for c in channels]
        for i, head in enumerate(heads):
            setattr(self, f"mlp_{i}", head)
        self.heads, self.length = tuple(heads), length

    def construct(self, maps: tuple[Tensor, ...], places: Tensor) -> tuple[Tensor, ...]:
        vectors = ()
        for i, head in enumerate(self.heads):
            n, c, h, w = maps[i].shape
            patches = ops.gather(maps[i].reshape(n, c, h * w), places[i], 2)
            patches = patches.astype(ms.float32).transpose(0, 2, 1)
            y = head(patches.reshape(-1, c)).reshape(n, -1, self.length)
            # a root has no gradient at 0
            norm = ops.sqrt(ops.maximum(ops.square(y).sum(2, keepdims=True), _TINY))
            vectors = vectors + (y / (norm + _EPS),)
        return vectors


def patch_nce(queries: Tensor, keys: Tensor, temperature: float, across: bool = False) -> Tensor:
    """Cross entropy of finding each query's own key among all keys of its image, mean over all: float32 ().

    Args:
        queries, keys: unit vectors (N, P, length).
        temperature: divides the cosines.
        across: among the keys of all N images instead.
    """
    if across:
        queries, keys = (x.reshape(1, -1, x.shape[2]) for x in (queries, keys))
    cosines = ops.matmul(queries, keys.transpose(0, 2, 1)) / temperature
    own = (queries * keys).sum(2) / temperature
    most = ops.stop_gradient(cosines.max(2, keepdims=True))
    total = ops.log(ops.exp(cosines - most).sum(2)) + most.squeeze(2)
    return (total - own).mean()
