"""A U-Net that says what each pixel shows: trained on both domains, it judges translations that it has never seen.

It shares nothing with the segmenter inside CycleGAN: another shape, the full resolution, other scenes, another start.
"""

__all__ = ["Judge", "see", "train"]

from collections.abc import Callable

import numpy as np
from mindspore import Tensor, nn, ops

from src.metrics.segmentation_scores import CLASSES
from src.models.cyclegan.segmenter import label_loss
from src.models.layers import InstanceNorm, conv, deconv
from src.models.parameters import init_weights
from src.utils.progress import track

_BATCH = 10


def _block(channels: int, width: int, stride: int = 1) -> list[nn.Cell]:
    cells: list[nn.Cell] = []
    for source, step in ((channels, stride), (width, 1)):
        cells += [conv(source, width, 3, step, 1, "instance"), InstanceNorm(width), nn.ReLU()]
    return cells


class Judge(nn.Cell):
    """Images (N, 3, H, W) in [-1, 1] to logits (N, 19, H, W) of Cityscapes' train ids; H and W are multiples of 8.

    Args:
        width: channels at the full resolution; each of three halvings doubles them (Ronneberger et al. 2015).
    """

    def __init__(self, width: int = 16):
        super().__init__()
        widths = [width << level for level in range(4)]
        self.down = nn.CellList([nn.SequentialCell(_block(3, width))])
        for i in range(3):
            self.down.append(nn.SequentialCell(_block(widths[i], widths[i + 1], 2)))
        self.up, self.join = nn.CellList([]), nn.CellList([])
        for i in (2, 1, 0):
            self.up.append(deconv(widths[i + 1], widths[i]))
            self.join.append(nn.SequentialCell(_block(2 * widths[i], widths[i])))
        self.last = conv(width, len(CLASSES), 1)
        init_weights(self, "xavier", 2**0.5)

    def construct(self, image: Tensor) -> Tensor:
        maps = ()
        for down in self.down:
            image = down(image)
            maps = (*maps, image)
        for i in range(3):
            image = self.join[i](ops.concat((self.up[i](image), maps[2 - i]), 1))
        return self.last(image)


class _Loss(nn.Cell):
    def __init__(self, network: Judge):
        super().__init__()
        self.network = network
        self.classes = Tensor(np.arange(len(CLASSES), dtype=np.int32).reshape(1, -1, 1, 1))

    def construct(self, image: Tensor, label: Tensor) -> Tensor:
        return label_loss(self.network(image), label, self.classes)


def train(network: Judge, images: np.ndarray, labels: np.ndarray, steps: int, seed: int = 0) -> None:
    """Train with Adam on images (N, H, W, 3) uint8 and maps of train ids (N, H, W), of which half are mirrored.

    The learning rate falls from 0.001 to a tenth of it.
    """
    rng = np.random.default_rng(seed)
    rates = np.geomspace(1e-3, 1e-4, steps).tolist()
    step = nn.TrainOneStepCell(_Loss(network), nn.Adam(network.trainable_params(), rates))
    step.set_train()
    for _ in track(range(steps), "judge", total=steps):
        rows = rng.integers(0, len(images), _BATCH)
        way = rng.choice((-1, 1))
        picture, label = images[rows][:, :, ::way], labels[rows][:, :, ::way]
        step(Tensor(_units(picture)), Tensor(np.ascontiguousarray(label[:, None]).astype(np.int32)))
    network.set_train(False)


def see(network: Callable[[Tensor], Tensor], images: np.ndarray) -> np.ndarray:
    """The most likely train id of each pixel, (N, H, W) uint8, of images (N, H, W, 3) uint8."""
    parts = [images[i : i + _BATCH] for i in range(0, len(images), _BATCH)]
    return np.concatenate([network(Tensor(_units(part))).asnumpy().argmax(1) for part in parts]).astype(np.uint8)


def _units(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(127.5) - np.float32(1)
