"""History of translated images for the discriminators (Shrivastava et al. 2017, 2.3), on the device."""

__all__ = ["ReplayBuffer", "draw_slots"]

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops


def draw_slots(size: int, batch: int, step: int, stream: list[int]) -> np.ndarray:
    """Decide what a :class:`ReplayBuffer` does at ``step``: int32 (2, batch), the slots to read and to write.

    The buffer first fills up and hands every new image through; then each image is, with probability one
    half, swapped with a random stored one. -1 reads the new image itself; slot ``size``, which is never read,
    takes what is not kept. The images of one batch use different slots, all of them filled before. A function
    of (``stream``, ``step``) alone, so a resumed run needs no random state.
    """
    rng = np.random.default_rng([*stream, step])
    read, write = np.full(batch, -1, np.int32), np.full(batch, size, np.int32)
    filled = min(size, step * batch)
    candidates = rng.permutation(filled)
    for i in range(batch):
        if step * batch + i < size:
            write[i] = step * batch + i
        elif i < filled and rng.random() > 0.5:
            read[i] = write[i] = candidates[i]
    return np.stack([read, write])


class ReplayBuffer(nn.Cell):
    """``size`` stored images of a fixed shape; training state that is changed in place by a call.

    Half precision: its rounding is a tenth of a grey level, and 50 pictures of 512x512 take 79 MB instead of
    157. A step touches only the rows it reads and writes.
    """

    def __init__(self, size: int, shape: tuple[int, int, int]):
        super().__init__()
        self.images = Parameter(Tensor(np.zeros((size + 1, *shape), np.float16)), name="images", requires_grad=False)
        self.write_rows = ops.ScatterUpdate()

    def construct(self, new: Tensor, slots: Tensor) -> Tensor:
        """(N, C, H, W) new images and (2, N) slots of :func:`draw_slots` to what the discriminator sees."""
        stored = ops.gather(self.images, ops.maximum(slots[0], 0), 0).astype(new.dtype)
        shown = ops.select(ops.broadcast_to((slots[0] >= 0).reshape(-1, 1, 1, 1), new.shape), stored, new)
        # the rows are read before they are overwritten
        kept = ops.depend(new.astype(ms.float16), shown)
        return ops.depend(shown, self.write_rows(self.images, slots[1], kept))
