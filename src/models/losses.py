"""Loss terms that several systems share. Each maps to a float32 scalar."""

__all__ = ["GANLoss", "l1_loss"]

from mindspore import Tensor, nn, ops


def l1_loss(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference, computed in float32 for every input type."""
    return ops.abs(a.astype("float32") - b.astype("float32")).mean()


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
