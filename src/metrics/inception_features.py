"""Inception features of comparisons of sets, one vector an image; computed features are kept."""

__all__ = ["RESIZERS", "FeatureSet", "FeatureStore", "Inception", "missing_inception", "to_inception"]

import hashlib
from pathlib import Path

import cv2
import numpy as np
from mindspore import Tensor
from PIL import Image

from ..dataset.batches import Batched
from ..models.inception import INPUT_SIZE, load_inception
from ..utils.errors import UserError
from ..utils.files import sha256_file
from ..utils.logging import get_logger
from ..utils.tensorfile import read_arrays, write_arrays

#: option ``fid_resizer`` to its description in the protocol
RESIZERS = {
    "bilinear": "bilinear without anti-aliasing, as pytorch-fid",
    "pillow": "Pillow bicubic with anti-aliasing, in floating point, channel by channel, as clean-fid",
}
_BATCH = 8
_KEPT = 20_000


def missing_inception(path: str) -> str | None:
    """The message for a user without weights; None if the file exists."""
    if path and Path(path).is_file():
        return None
    reason = f"{path} does not exist" if path else "inception_net_path is empty"
    return (
        f"{reason}: FID, KID and prdc need the Inception weights pt_inception-2015-12-05-6726825d.pth of pytorch-fid; "
        "pass --inception_net_path FILE"
    )


def to_inception(picture: np.ndarray, resizer: str) -> np.ndarray:
    """(H, W, 3) uint8 to (3, 299, 299) float32, 0 to 255, without rounding.

    Resizing happens here in either case, so that the network is compiled for one size only.
    """
    size = (INPUT_SIZE, INPUT_SIZE)
    values = picture.astype(np.float32)
    if resizer == "bilinear":
        return np.ascontiguousarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1))
    channels = [Image.fromarray(np.ascontiguousarray(values[:, :, c])) for c in range(3)]
    resized = np.stack([np.asarray(channel.resize(size, Image.Resampling.BICUBIC)) for channel in channels])
    return resized.clip(0.0, 255.0)


class FeatureStore:
    """Features by digest of the image, in one file for each set of weights and resizer; the oldest are dropped first.

    Args:
        folder: where the file is; None keeps nothing.
        name: name of the file, one for each set of weights and resizer.
    """

    def __init__(self, folder: Path | None, name: str):
        self._path = folder / f"{name}.safetensors" if folder else None
        self._rows: dict[bytes, np.ndarray] = {}
        self._changed = False
        if self._path and self._path.is_file():
            try:
                arrays, _ = read_arrays(self._path, ("digests", "features"))
                self._rows = dict(zip(map(bytes, arrays["digests"]), arrays["features"], strict=True))
            except (UserError, ValueError) as error:
                get_logger().warning(f"{self._path} cannot be used and is made anew: {error}")

    def get(self, digest: bytes) -> np.ndarray | None:
        return self._rows.get(digest)

    def __getitem__(self, digest: bytes) -> np.ndarray:
        return self._rows[digest]

    def put(self, digest: bytes, features: np.ndarray) -> None:
        self._rows[digest] = features
        self._changed = True

    def save(self) -> None:
        """Write new features; nothing happens without a folder, or if the folder does not exist."""
        if not (self._changed and self._path and self._path.parent.parent.is_dir()):
            return
        self._path.parent.mkdir(exist_ok=True)
        rows = list(self._rows.items())[-_KEPT:]
        digests = np.stack([np.frombuffer(digest, np.uint8) for digest, _ in rows])
        write_arrays(self._path, {"digests": digests, "features": np.stack([row for _, row in rows])})
        self._changed = False


class Inception:
    """The network with its protocol.

    Args:
        path: weights, see :func:`src.models.inception.load_inception`.
        resizer: key of :data:`RESIZERS`.
        folder: keeps features of images for the next time; None does not.

    Raises:
        UserError: the file is missing, damaged or of another network.
    """

    def __init__(self, path: str, resizer: str, folder: Path | None = None):
        problem = missing_inception(path)
        if problem:
            raise UserError(problem)
        self.resizer, self._network = resizer, load_inception(path)
        digest = sha256_file(path)
        self.store = FeatureStore(folder, f"inception_{digest[:16]}_{resizer}")
        self.protocol = {
            "feature_net": "Inception v3 (2015-12-05), 2048 features of the last pool",
            "weights": Path(path).name,
            "weights_sha256": digest,
            "resizer": f"to {INPUT_SIZE}x{INPUT_SIZE}, {RESIZERS[resizer]}",
            "dtype": "float32 features, float64 statistics",
        }

    def features(self, images: np.ndarray) -> np.ndarray:
        """(N, 3, H, W) float32, 0 to 255, to (N, 2048)."""
        return self._network(Tensor(images)).asnumpy()

    def prepare(self, picture: np.ndarray) -> tuple[bytes, np.ndarray | None]:
        """An image's digest and the network's input, which is None if the features are known already."""
        seen = hashlib.sha256(repr(picture.shape).encode())
        seen.update(np.ascontiguousarray(picture).data)
        digest = seen.digest()
        return digest, None if self.store.get(digest) is not None else to_inception(picture, self.resizer)


class FeatureSet:
    """Features of a set of images, in the order in which they are added."""

    def __init__(self, inception: Inception):
        self._store = inception.store
        self._batches = Batched(inception.features, lambda shape: _BATCH)
        self._digests: list[bytes] = []
        self._new: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._digests)

    def add(self, digest: bytes, image: np.ndarray | None) -> None:
        """Take what :meth:`Inception.prepare` returned."""
        self._digests.append(digest)
        if image is not None and digest not in self._new:
            self._new[digest] = self._batches.add(image)

    def array(self) -> np.ndarray:
        """(N, 2048) float32."""
        results = self._batches.results()
        for digest, number in self._new.items():
            self._store.put(digest, results[number])
        return np.stack([self._store[digest] for digest in self._digests])
