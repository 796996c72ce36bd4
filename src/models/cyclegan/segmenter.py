"""Semantic consistency: a small segmentation network penalises translations that change the classes of an image.

Without it, sky of synthetic images turns into vegetation, because the photographs have trees where those have sky (the
method follows Hoffman et al. 2018, CyCADA, section 3).
"""

__all__ = ["Segmenter", "label_loss", "semantic_loss"]

from mindspore import Tensor, nn, ops

from ..layers import InstanceNorm, ReflectionPad, conv
from ..recompute import recompute_stages
from .networks import ResidualBlock


class Segmenter(nn.Cell):
    """(N, channels, H, W) in [-1, 1] to class logits (N, classes, H/4, W/4); H and W are multiples of 4."""

    STRIDE = 4

    def __init__(self, classes: int, channels: int = 3, base_channels: int = 32, n_residual_blocks: int = 3):
        super().__init__()
        width = base_channels
        cells = [ReflectionPad(3), conv(channels, width, 7), nn.ReLU()]
        for _ in range(2):
            cells += [conv(width, 2 * width, 3, 2, 1, "instance"), InstanceNorm(2 * width), nn.ReLU()]
            width *= 2
        cells += [ResidualBlock(width) for _ in range(n_residual_blocks)]
        cells += [conv(width, classes, 1)]
        self.model = nn.SequentialCell(cells)

    def construct(self, image: Tensor) -> Tensor:
        return self.model(image)

    def recompute_stages(self) -> None:
        """See :func:`src.models.recompute.recompute_stages`."""
        recompute_stages(self.model)


def _log_softmax(logits: Tensor) -> Tensor:
    x = logits.astype("float32")
    x = x - ops.stop_gradient(x.max(1, keepdims=True))
    return x - ops.log(ops.exp(x).sum(1, keepdims=True))


def label_loss(logits: Tensor, label: Tensor, classes: Tensor) -> Tensor:
    """Mean cross entropy of logits (N, K, h, w) against ids (N, 1, h, w); pixels whose id is not a class are ignored.

    ``classes`` is the int32 (1, K, 1, 1) tensor 0..K-1.
    """
    wanted = (label == classes).astype("float32")
    return -(wanted * _log_softmax(logits)).sum() / ops.maximum(wanted.sum(), Tensor(1.0))


def semantic_loss(logits: Tensor, reference: Tensor) -> Tensor:
    """Mean Kullback-Leibler divergence of a translation's classes from its source's, without gradient."""
    wanted = ops.stop_gradient(_log_softmax(reference))
    return (ops.exp(wanted) * (wanted - _log_softmax(logits))).sum(1).mean()
