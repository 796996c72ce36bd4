"""Inception v3 without its classifier: the (N, 2048) features that FID and KID compare.

Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", in the variant of the published FID
weights (``pt_inception-2015-12-05``): average pools do not count their padding, and the last block pools by maximum.
Blocks have torchvision's names; batch norms are folded into the convolutions when weights are loaded.
"""

__all__ = ["INPUT_SIZE", "InceptionV3", "fold_batch_norms", "load_inception"]

from pathlib import Path

import numpy as np
from mindspore import Tensor, nn, ops

from ..utils.errors import UserError
from ..utils.weights import read_weights
from .layers import mean_pool
from .parameters import load_arrays

_EPS = 1e-3
#: height and width that images are resized to
INPUT_SIZE = 299


def _conv(
    in_channels: int,
    out_channels: int,
    kernel: int | tuple[int, int],
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
) -> nn.Cell:
    kernel = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    vertical, horizontal = padding if isinstance(padding, tuple) else (padding, padding)
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel,
        stride,
        pad_mode="pad",
        padding=(vertical, vertical, horizontal, horizontal),
        has_bias=True,
        weight_init="zeros",
        bias_init="zeros",
    )


class _Block(nn.Cell):
    """Branches of convolutions; ``run`` applies the named ones one after the other, each with a ReLU."""

    def __init__(self, **convolutions: nn.Cell):
        super().__init__()
        for name, convolution in convolutions.items():
            setattr(self, name, convolution)
        self.mean = mean_pool(1)
        self.max = nn.MaxPool2d(3, 1, pad_mode="pad", padding=1)
        self.shrink = nn.MaxPool2d(3, 2, pad_mode="valid")


class _BlockA(_Block):
    def __init__(self, width: int, pooled: int):
        super().__init__(
            branch1x1=_conv(width, 64, 1),
            branch5x5_1=_conv(width, 48, 1),
            branch5x5_2=_conv(48, 64, 5, padding=2),
            branch3x3dbl_1=_conv(width, 64, 1),
            branch3x3dbl_2=_conv(64, 96, 3, padding=1),
            branch3x3dbl_3=_conv(96, 96, 3, padding=1),
            branch_pool=_conv(width, pooled, 1),
        )

    def construct(self, x: Tensor) -> Tensor:
        a = ops.relu(self.branch1x1(x))
        b = ops.relu(self.branch5x5_2(ops.relu(self.branch5x5_1(x))))
        c = ops.relu(self.branch3x3dbl_2(ops.relu(self.branch3x3dbl_1(x))))
        c = ops.relu(self.branch3x3dbl_3(c))
        return ops.cat((a, b, c, ops.relu(self.branch_pool(self.mean(x)))), 1)


class _BlockB(_Block):
    def __init__(self, width: int):
        super().__init__(
            branch3x3=_conv(width, 384, 3, 2),
            branch3x3dbl_1=_conv(width, 64, 1),
            branch3x3dbl_2=_conv(64, 96, 3, padding=1),
            branch3x3dbl_3=_conv(96, 96, 3, 2),
        )

    def construct(self, x: Tensor) -> Tensor:
        b = ops.relu(self.branch3x3dbl_2(ops.relu(self.branch3x3dbl_1(x))))
        b = ops.relu(self.branch3x3dbl_3(b))
        return ops.cat((ops.relu(self.branch3x3(x)), b, self.shrink(x)), 1)


class _BlockC(_Block):
    def __init__(self, inner: int):
        row, column = ((1, 7), (0, 3)), ((7, 1), (3, 0))

        def line(a: int, b: int, shape: tuple[tuple[int, int], tuple[int, int]]) -> nn.Cell:
            return _conv(a, b, shape[0], padding=shape[1])

        super().__init__(
            branch1x1=_conv(768, 192, 1),
            branch7x7_1=_conv(768, inner, 1),
            branch7x7_2=line(inner, inner, row),
            branch7x7_3=line(inner, 192, column),
            branch7x7dbl_1=_conv(768, inner, 1),
            branch7x7dbl_2=line(inner, inner, column),
            branch7x7dbl_3=line(inner, inner, row),
            branch7x7dbl_4=line(inner, inner, column),
            branch7x7dbl_5=line(inner, 192, row),
            branch_pool=_conv(768, 192, 1),
        )

    def construct(self, x: Tensor) -> Tensor:
        b = ops.relu(self.branch7x7_2(ops.relu(self.branch7x7_1(x))))
        c = ops.relu(self.branch7x7dbl_2(ops.relu(self.branch7x7dbl_1(x))))
        c = ops.relu(self.branch7x7dbl_4(ops.relu(self.branch7x7dbl_3(c))))
        parts = (ops.relu(self.branch1x1(x)), ops.relu(self.branch7x7_3(b)), ops.relu(self.branch7x7dbl_5(c)))
        return ops.cat((*parts, ops.relu(self.branch_pool(self.mean(x)))), 1)


class _BlockD(_Block):
    def __init__(self) -> None:
        super().__init__(
            branch3x3_1=_conv(768, 192, 1),
            branch3x3_2=_conv(192, 320, 3, 2),
            branch7x7x3_1=_conv(768, 192, 1),
            branch7x7x3_2=_conv(192, 192, (1, 7), padding=(0, 3)),
            branch7x7x3_3=_conv(192, 192, (7, 1), padding=(3, 0)),
            branch7x7x3_4=_conv(192, 192, 3, 2),
        )

    def construct(self, x: Tensor) -> Tensor:
        a = ops.relu(self.branch3x3_2(ops.relu(self.branch3x3_1(x))))
        b = ops.relu(self.branch7x7x3_2(ops.relu(self.branch7x7x3_1(x))))
        b = ops.relu(self.branch7x7x3_4(ops.relu(self.branch7x7x3_3(b))))
        return ops.cat((a, b, self.shrink(x)), 1)


class _BlockE(_Block):
    def __init__(self, width: int, pools_by_max: bool):
        super().__init__(
            branch1x1=_conv(width, 320, 1),
            branch3x3_1=_conv(width, 384, 1),
            branch3x3_2a=_conv(384, 384, (1, 3), padding=(0, 1)),
            branch3x3_2b=_conv(384, 384, (3, 1), padding=(1, 0)),
            branch3x3dbl_1=_conv(width, 448, 1),
            branch3x3dbl_2=_conv(448, 384, 3, padding=1),
            branch3x3dbl_3a=_conv(384, 384, (1, 3), padding=(0, 1)),
            branch3x3dbl_3b=_conv(384, 384, (3, 1), padding=(1, 0)),
            branch_pool=_conv(width, 192, 1),
        )
        self.pool = self.max if pools_by_max else self.mean

    def construct(self, x: Tensor) -> Tensor:
        b = ops.relu(self.branch3x3_1(x))
        b = ops.cat((ops.relu(self.branch3x3_2a(b)), ops.relu(self.branch3x3_2b(b))), 1)
        c = ops.relu(self.branch3x3dbl_2(ops.relu(self.branch3x3dbl_1(x))))
        c = ops.cat((ops.relu(self.branch3x3dbl_3a(c)), ops.relu(self.branch3x3dbl_3b(c))), 1)
        return ops.cat((ops.relu(self.branch1x1(x)), b, c, ops.relu(self.branch_pool(self.pool(x)))), 1)


class InceptionV3(nn.Cell):
    """(N, 3, H, W) of values 0 to 255 to (N, 2048): resized to 299x299 (bilinear), scaled to [-1, 1], mean pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _conv(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = _conv(32, 32, 3)
        self.Conv2d_2b_3x3 = _conv(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = _conv(64, 80, 1)
        self.Conv2d_4a_3x3 = _conv(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _BlockA(192, 32), _BlockA(256, 64), _BlockA(288, 64)
        self.Mixed_6a = _BlockB(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d = _BlockC(128), _BlockC(160), _BlockC(160)
        self.Mixed_6e = _BlockC(192)
        self.Mixed_7a = _BlockD()
        self.Mixed_7b, self.Mixed_7c = _BlockE(1280, pools_by_max=False), _BlockE(2048, pools_by_max=True)
        self.shrink = nn.MaxPool2d(3, 2, pad_mode="valid")

    def construct(self, image: Tensor) -> Tensor:
        x = ops.interpolate(image, size=(INPUT_SIZE, INPUT_SIZE), mode="bilinear", align_corners=False)
        x = x * (2.0 / 255.0) - 1.0
        x = ops.relu(self.Conv2d_2a_3x3(ops.relu(self.Conv2d_1a_3x3(x))))
        x = self.shrink(ops.relu(self.Conv2d_2b_3x3(x)))
        x = self.shrink(ops.relu(self.Conv2d_4a_3x3(ops.relu(self.Conv2d_3b_1x1(x)))))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        return x.mean((2, 3))


def fold_batch_norms(arrays: dict[str, np.ndarray], source: str = "the file") -> dict[str, np.ndarray]:
    """A published state dict as convolutions with bias: ``NAME.conv.weight`` and ``NAME.bn.*`` become ``NAME.weight``.

    The classifier and the auxiliary head are left out.

    Raises:
        UserError: a convolution without its batch norm: the file is of another network.
    """
    folded = {}
    for key in arrays:
        name = key.removesuffix(".conv.weight")
        if name == key or name.startswith("AuxLogits"):
            continue
        try:
            gamma, beta, mean, variance = (
                arrays[f"{name}.bn.{part}"].astype(np.float64)
                for part in ("weight", "bias", "running_mean", "running_var")
            )
        except KeyError as missing:
            raise UserError(f"{source} lacks {missing}: it is not Inception v3, pass pt_inception-2015-12-05") from None
        scale = gamma / np.sqrt(variance + _EPS)
        folded[f"{name}.weight"] = (arrays[key] * scale[:, None, None, None]).astype(np.float32)
        folded[f"{name}.bias"] = (beta - mean * scale).astype(np.float32)
    return folded


def load_inception(path: str | Path) -> InceptionV3:
    """The network with the weights of ``pt_inception-2015-12-05-6726825d.pth``, from a file of any supported format.

    Raises:
        UserError: the file is missing, damaged or of another network.
    """
    arrays = read_weights(path)
    if any(name.endswith(".conv.weight") for name in arrays):
        arrays = fold_batch_norms(arrays, str(path))
    network = InceptionV3()
    load_arrays(network, arrays, source=str(path))
    network.set_train(False)
    return network
