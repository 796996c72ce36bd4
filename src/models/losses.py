"""Loss terms that several systems share. Each maps to a float32 scalar."""

__all__ = ["GANLoss", "l1_loss"]

from mindspore import Tensor, nn, ops

from .layers import on_ascend

# below this a difference of float32 features is none, and its square over it overflows for no feature
_smooth_l1 = ops.SmoothL1Loss(beta=1e-12, reduction="mean")


@ops.constexpr
def _fuses() -> bool:
    return on_ascend()


def l1_loss(a: Tensor, b: Tensor, fused: bool | None = None) -> Tensor:
    """Mean absolute difference, computed in float32 for every input type.

    Ascend has one kernel for it and one for its gradient, a smooth L1 loss whose parabola is 1e-12 wide: they move a
    third of the bytes. Other devices take the difference, its size and their mean, which CPUs compute faster. ``fused``
    asks for the one or the other; None is what suits the device. The gradient at 0 is 0 in both.
    """
    a, b = a.astype("float32"), b.astype("float32")
    if _fuses() if fused is None else fused:
        return _smooth_l1(a, b)
    return ops.abs(a - b).mean()


class GANLoss(nn.Cell):
    """Adversarial loss of a map of patch logits against all-real or all-fake.

    ``lsgan``: mean squared distance to 1 or 0 (Mao et al. 2017); otherwise binary cross entropy of the logits, in the
    form that does not overflow and needs no sigmoid in the network.
    """

    def __init__(self, lsgan: bool = True):
        super().__init__()
        self.lsgan = lsgan

    def construct(self, logits: Tensor, real: bool) -> Tensor:
        x = logits.astype("float32")
        if self.lsgan:
            if real:
                x = x - 1.0
            return ops.square(x).mean()
        if real:
            x = -x
        return (ops.relu(x) + ops.log1p(ops.exp(-ops.abs(x)))).mean()
