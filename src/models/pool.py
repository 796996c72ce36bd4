"""History of generated images for the discriminator (Shrivastava et al. 2017, section 2.3), inside the graph."""

__all__ = ["ImagePool", "draw_pool_slots"]

import numpy as np
from mindspore import Parameter, Tensor, nn, ops


def draw_pool_slots(size: int, batch: int, step: int, seed: int) -> np.ndarray:
    """Decide what an :class:`ImagePool` does at ``step``: int32 (batch, 2), the slot to read and the slot to write.

    The pool first fills up and hands every new image through; later each image is, with probability one half,
    swapped with a random stored one. -1 stands for "hand the new image through" and "store nothing". The draw is a
    function of (seed, step), so a resumed run needs no random state for it.
    """
    rng = np.random.default_rng([seed, 7, step])
    slots = np.full((batch, 2), -1, np.int32)
    for i in range(batch):
        count = step * batch + i
        if count < size:
            slots[i, 1] = count
        elif rng.random() > 0.5:
            slots[i] = rng.integers(size)
    return slots


class ImagePool(nn.Cell):
    """``size`` stored images of a fixed shape; the buffer is training state, changed in place when it is called."""

    def __init__(self, size: int, shape: tuple[int, int, int]):
        super().__init__()
        self.size = size
        self.images = Parameter(Tensor(np.zeros((size, *shape), np.float32)), name="images", requires_grad=False)
        self.index = Tensor(np.arange(size, dtype=np.int32).reshape(size, 1, 1, 1))

    def construct(self, new: Tensor, slots: Tensor) -> Tensor:
        """(N, C, H, W) new images and (N, 2) slots to the (N, C, H, W) images that the discriminator sees."""
        images = self.images
        shown = ()
        for i in range(new.shape[0]):
            image = new[i : i + 1]
            stored = ops.gather(images, ops.maximum(slots[i, 0:1], 0), 0)
            shown = shown + (ops.select(ops.broadcast_to(slots[i, 0] >= 0, image.shape), stored, image),)
            # a picture that is not finite would come back long after the step that made it was skipped
            fits = ops.logical_and(self.index == slots[i, 1], ops.isfinite(image).all())
            write = ops.broadcast_to(fits, images.shape)
            images = ops.select(write, ops.broadcast_to(image, images.shape), images)
        result = ops.concat(shown, 0)
        return ops.depend(result, ops.assign(self.images, images))
