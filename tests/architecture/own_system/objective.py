"""Mean absolute distance to the negative."""

__all__ = ["InvertObjective"]

import mindspore as ms
from mindspore import nn, ops

from ...contracts.objective import Objective, UpdateGroup
from ...models.losses import l1_loss


class InvertObjective(Objective):
    loss_names = ("L1",)

    def __init__(self, network, parameters, lr):
        super().__init__()
        self.network, self.parameters, self.lr = network, parameters, lr

    def inputs(self, batch, step=0):
        return (batch["ramp"],)

    def groups(self, epoch):
        return (UpdateGroup("I", self.parameters, self.lr),)

    def gradients(self, groups):
        return _Gradients(self.network, ms.ParameterTuple(groups[0].parameters.values()))

    def outputs(self, tensors):
        return {"inverted": tensors[0].asnumpy()}


class _Loss(nn.Cell):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def construct(self, scale, ramp):
        inverted = self.network(ramp)
        loss = l1_loss(inverted, -ramp)
        return loss * scale, loss, inverted


class _Gradients(nn.Cell):
    def __init__(self, network, parameters):
        super().__init__()
        self.of_loss = ms.value_and_grad(_Loss(network), None, parameters, has_aux=True)

    def construct(self, scale, ramp):
        (_, loss, inverted), gradients = self.of_loss(scale, ramp)
        return ops.stack((loss,)), (gradients,), (inverted,)
