"""One factor."""

__all__ = ["Invert"]

from functools import partial

import numpy as np
from mindspore import Parameter, Tensor, nn

from ...contracts.passes import Pass, Port
from ...contracts.system import System
from ...imaging.images import unit_to_image
from . import INVERT
from .objective import InvertObjective
from .ramps import RAMPS, RampsRequest


class Factor(nn.Cell):
    """(N, 1, H, W) to the same, times a learned number."""

    def __init__(self, start):
        super().__init__()
        self.factor = Parameter(Tensor(np.array([start], np.float32)), name="factor")

    def construct(self, ramp):
        return ramp * self.factor


class Invert(System):
    """Batches: ``ramp`` float32 (N, 1, H, W)."""

    description = INVERT
    data = RAMPS
    architecture_keys = ("model",)

    def __init__(self, config, training=True):
        super().__init__(config, training)
        self.add_network("I", Factor(config.start))
        self._invert = self.networks["I"]

    @classmethod
    def request(cls, config, training):
        return RampsRequest((8, 8))

    def objective(self, size):
        return InvertObjective(self.networks["I"], self.trainable("I"), self.config.lr)

    def translate(self, batch, seed=0):
        return {"inverted": self._invert(Tensor(batch["ramp"])).asnumpy()}

    def visuals(self, batch, outputs):
        shown = {"ramp": batch["ramp"], **outputs}
        return {name: unit_to_image(np.repeat(np.clip(a[0], -1, 1), 3, 0)) for name, a in shown.items()}

    def passes(self):
        ramp = Port("ramp", ("batch", 1, "height", "width"), column="ramp")
        return (Pass("I", self._invert, (ramp,), ("inverted",), partial(setattr, self, "_invert")),)

    @classmethod
    def model_class(cls):
        from .calls import InvertModel

        return InvertModel

    @classmethod
    def tasks(cls):
        from .tasks import count

        return {"count": count}

    @classmethod
    def studio_class(cls):
        from .studio import GreyStudio

        return GreyStudio
