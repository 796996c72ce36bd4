"""A small network that says which garment an image shows: trained on real images, it judges samples of flows."""

__all__ = ["Classifier", "accuracy", "train"]

from collections.abc import Callable

import numpy as np
from mindspore import Tensor, nn, ops

from src.models.layers import conv
from src.models.parameters import init_weights
from src.utils.progress import track

from .images import CLASSES

_BATCH = 100


class Classifier(nn.Cell):
    """Images (N, 1, H, W) in [-1, 1] to logits (N, 10); H and W are multiples of 4.

    Args:
        size: (height, width) of images.
        width: channels of the first layer.
    """

    def __init__(self, size: tuple[int, int], width: int = 16):
        super().__init__()
        cells, channels = [], 1
        for stride in (1, 2, 2):
            cells += [conv(channels, width, 3, stride, 1), nn.ReLU()]
            channels, width = width, 2 * width
        features = channels * (size[0] // 4) * (size[1] // 4)
        cells += [nn.Flatten(), nn.Dense(features, 128), nn.ReLU(), nn.Dense(128, CLASSES)]
        self.layers = nn.SequentialCell(cells)
        init_weights(self, "xavier", 2**0.5)

    def construct(self, image: Tensor) -> Tensor:
        return self.layers(image)


class _Loss(nn.Cell):
    def __init__(self, network: Classifier):
        super().__init__()
        self.network = network

    def construct(self, image: Tensor, wanted: Tensor) -> Tensor:
        logits = self.network(image)
        logits = logits - ops.stop_gradient(logits.max(1, keepdims=True))
        return (ops.log(ops.exp(logits).sum(1)) - (wanted * logits).sum(1)).mean()


def train(network: Classifier, images: np.ndarray, classes: np.ndarray, epochs: int, seed: int = 0) -> None:
    """Train with Adam on images (N, H, W) uint8 and their classes (N,), in another order every epoch.

    The learning rate falls from 0.001 to a tenth of it in the last of ``epochs``.
    """
    rng, batch = np.random.default_rng(seed), min(_BATCH, len(images))
    steps = len(images) // batch
    rates = np.geomspace(1e-3, 1e-4, epochs).repeat(steps).tolist()
    step = nn.TrainOneStepCell(_Loss(network), nn.Adam(network.trainable_params(), rates))
    step.set_train()
    for epoch in range(epochs):
        order = rng.permutation(len(images))[: steps * batch].reshape(steps, batch)
        for rows in track(order, f"classifier, epoch {epoch + 1}/{epochs}", total=steps):
            step(Tensor(_units(images[rows])), Tensor(np.eye(CLASSES, dtype=np.float32)[classes[rows]]))
    network.set_train(False)


def accuracy(network: Callable[[Tensor], Tensor], images: np.ndarray, classes: np.ndarray) -> float:
    """The fraction of images (N, H, W) uint8 whose most likely class is that of ``classes`` (N,)."""
    batches = range(0, len(images), _BATCH)
    found = [network(Tensor(_units(images[i : i + _BATCH]))).asnumpy().argmax(1) for i in batches]
    return float((np.concatenate(found) == classes).mean())


def _units(images: np.ndarray) -> np.ndarray:
    return images[:, None].astype(np.float32) / np.float32(127.5) - np.float32(1)
