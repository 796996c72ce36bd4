"""History of generated images for discriminators (Shrivastava et al. 2017, section 2.3), inside the graph."""

__all__ = ["ImagePool", "draw_distinct_slots", "draw_pool_slots"]

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops


def draw_pool_slots(size: int, batch: int, step: int, seed: int) -> np.ndarray:
    """Decide what an :class:`ImagePool` does at ``step``, one image after the other, as pix2pixHD does.

    Until the pool is full it returns every new image; later each image is swapped, with probability one half, with a
    random stored image, which may be the one before it. The result is a function of (``seed``, ``step``) alone, so a
    resumed run needs no random state for it.

    Returns:
        int32 (``batch``, 2): the slot to read and the slot to write. -1 means "return the new image" and
        "store nothing".
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


def draw_distinct_slots(size: int, batch: int, step: int, stream: list[int]) -> np.ndarray:
    """As :func:`draw_pool_slots`, for a whole batch at once, as CycleGAN does.

    The images of one batch are swapped with different stored images, all of which were stored in earlier steps. The
    result is a function of (``stream``, ``step``) alone.
    """
    rng = np.random.default_rng([*stream, step])
    slots = np.full((batch, 2), -1, np.int32)
    filled = min(size, step * batch)
    candidates = rng.permutation(filled)
    for i in range(batch):
        if step * batch + i < size:
            slots[i, 1] = step * batch + i
        elif i < filled and rng.random() > 0.5:
            slots[i] = candidates[i]
    return slots


class ImagePool(nn.Cell):
    """Stored images of one shape: training state that a call changes in place, touching only rows it reads or writes.

    Args:
        rows: capacity in images.
        shape: (C, H, W) of one image.
        dtype: type of the stored images. Half precision rounds images in [-1, 1] by a tenth of a grey level; 50 of
            3x512x512 then take 79 MB instead of 157.
        batch: number of images of a call that :meth:`revert` can undo.
    """

    def __init__(self, rows: int, shape: tuple[int, int, int], dtype: ms.Type = ms.float32, batch: int = 1):
        super().__init__()
        self.images = Parameter(Tensor(np.zeros((rows, *shape)), dtype), name="images", requires_grad=False)
        self.batch = batch
        # what the last call overwrote, and where
        self._rows = Parameter(Tensor(np.zeros((batch, *shape)), dtype), name="_rows", requires_grad=False)
        self._places = Parameter(Tensor(np.zeros(batch), ms.int32), name="_places", requires_grad=False)
        self.write_row = ops.ScatterUpdate()

    def construct(self, new: Tensor, slots: Tensor) -> Tensor:
        """From (N, C, H, W) new images and (N, 2) slots to read and to write: the images for the discriminator.

        The images of a batch are processed in order: each may be swapped with one stored before it. An image that is
        not finite is not stored, because it would return long after the step that made it was skipped.
        """
        shown, rows, places = (), (), ()
        for i in range(new.shape[0]):
            image, read, write = new[i : i + 1], slots[i, 0:1], slots[i, 1:2]
            stored = ops.gather(self.images, ops.maximum(read, 0), 0).astype(new.dtype)
            seen = ops.select(self._for_all(read[0] >= 0, image), stored, image)
            place, kept = ops.maximum(write, 0), image.astype(self.images.dtype)
            keeps = ops.logical_and(write[0] >= 0, ops.isfinite(kept).all())
            before = ops.gather(self.images, place, 0)
            row = ops.select(self._for_all(keeps, image), kept, before)
            rows, places = rows + (before,), places + (place,)
            # read before it is written, and written before the next image is processed
            row = ops.depend(row, seen)
            shown = shown + (ops.depend(seen, self.write_row(self.images, place, row)),)
        result = ops.concat(shown, 0)
        if new.shape[0] == self.batch:
            noted = ops.assign(self._rows, ops.concat(rows, 0)), ops.assign(self._places, ops.concat(places, 0))
            result = ops.depend(result, noted)
        return result

    def revert(self, finite: Tensor) -> Tensor:
        """Undo the last call (of ``batch`` images), unless ``finite``, a bool tensor (), is true."""
        # the compiler may read parameters early: it must not before the step knows whether it was finite
        rows, places = ops.depend(self._rows, finite), ops.depend(self._places, finite)
        done = finite
        for k in range(self.batch):
            # in reverse order, because two images may have taken one slot
            i = self.batch - 1 - k
            place = ops.depend(places[i : i + 1], done)
            before = rows[i : i + 1]
            row = ops.select(self._for_all(finite, before), ops.gather(self.images, place, 0), before)
            done = ops.depend(finite, self.write_row(self.images, place, row))
        return done

    @staticmethod
    def _for_all(condition: Tensor, image: Tensor) -> Tensor:
        return ops.broadcast_to(condition.reshape(1, 1, 1, 1), image.shape)
