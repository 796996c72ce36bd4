"""Content and aligned-style losses (Hierarchy Flow, section 3.3) on the features of the normalised VGG."""

__all__ = ["AlignedStyleLoss", "ContentLoss", "StyleTransferLoss"]

import mindspore as ms
from mindspore import Tensor, nn, ops

from .vgg import NormalisedVgg

EPS = 1e-5


def _centred(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows (N * C, H * W) minus their mean, that mean and sqrt(unbiased variance + 1e-5), both (N * C, 1)."""
    n, c, h, w = x.shape
    rows = x.astype(ms.float32).reshape(n * c, h * w)
    mean = rows.mean(1, keep_dims=True)
    centred = rows - mean
    variance = (centred * centred).sum(1, keepdims=True) / (h * w - 1)
    return centred, mean, ops.sqrt(variance + EPS)


def _normalised(x: Tensor) -> Tensor:
    # not InstanceNorm: on maps of some dozen pixels the unbiased variance differs visibly
    centred, _, std = _centred(x)
    return centred / std


def _mean_std(x: Tensor) -> tuple[Tensor, Tensor]:
    n, c = x.shape[0], x.shape[1]
    _, mean, std = _centred(x)
    return mean.reshape(n, c), std.reshape(n, c)


class ContentLoss(nn.Cell):
    """Mean squared difference of two feature maps whose channels were normalised by their own statistics."""

    def construct(self, output: Tensor, content: Tensor) -> Tensor:
        difference = _normalised(output) - _normalised(content)
        return (difference * difference).mean()


class AlignedStyleLoss(nn.Cell):
    """Squared differences of channel means and standard deviations over the ``int(C * k)`` best agreeing means.

    The ranking is per sample and carries no gradient; the sum over the kept channels is divided by all C of them. ``k``
    below 0 keeps every channel (Huang and Belongie's style loss).
    """

    def __init__(self, k: float = 0.8):
        super().__init__()
        self.k = k

    def construct(self, output: Tensor, style: Tensor) -> Tensor:
        mean_o, std_o = _mean_std(output)
        mean_s, std_s = _mean_std(style)
        means = (mean_o - mean_s) * (mean_o - mean_s)
        stds = (std_o - std_s) * (std_o - std_s)
        if self.k >= 0:
            kept = self._kept(ops.stop_gradient(means))
            means, stds = means * kept, stds * kept
        return means.mean() + stds.mean()

    def _kept(self, errors: Tensor) -> Tensor:
        # a channel's rank is the number of channels before it in ascending order; equal errors keep their order
        n, c = errors.shape
        mine, other = errors.reshape(n, c, 1), errors.reshape(n, 1, c)
        index = ops.arange(c)
        earlier = ops.logical_and(other == mine, index.reshape(1, 1, c) < index.reshape(1, c, 1))
        rank = ops.logical_or(other < mine, earlier).astype(errors.dtype).sum(2)
        return (rank < int(c * self.k)).astype(errors.dtype)


class StyleTransferLoss(nn.Cell):
    """(content loss on relu4_1, style loss summed over relu1_1 to relu4_1) of an output in [0, 1]."""

    def __init__(self, vgg: NormalisedVgg, k: float = 0.8):
        super().__init__()
        self.vgg = vgg
        self.content_loss = ContentLoss()
        self.style_loss = AlignedStyleLoss(k)

    def construct(self, output: Tensor, content: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        n = output.shape[0]
        # content and style need no gradient: together they are one pass
        wanted = self.vgg(ops.stop_gradient(ops.cat((content, style), 0)))
        got = self.vgg(output)
        content_loss = self.content_loss(got[3], ops.stop_gradient(wanted[3][:n]))
        style_loss = self.style_loss(got[0], ops.stop_gradient(wanted[0][n:]))
        for i in range(1, 4):
            style_loss = style_loss + self.style_loss(got[i], ops.stop_gradient(wanted[i][n:]))
        return content_loss, style_loss
