"""Features that sets of images are compared by, one vector an image; computed features are kept."""

__all__ = [
    "RESIZERS",
    "VGG16",
    "FeatureSet",
    "FeatureStore",
    "Features",
    "Inception",
    "missing_inception",
    "to_inception",
]

import hashlib
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from mindspore import Tensor
from PIL import Image

from ..dataset.batches import Batched
from ..imaging.images import image_to_unit
from ..models.inception import INPUT_SIZE, load_inception
from ..models.lpips import load_vgg16_features
from ..utils.errors import UserError
from ..utils.files import sha256_file
from ..utils.logging import get_logger
from ..utils.tensorfile import read_arrays, write_arrays

#: option ``fid_resizer`` to its description in the protocol
RESIZERS = {
    "bilinear": "bilinear without anti-aliasing, as pytorch-fid",
    "pillow": "Pillow bicubic with anti-aliasing, in floating point, channel by channel, as clean-fid",
}
_BATCH, _PIXELS_A_BATCH = 8, 1 << 20
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


class Features:
    """A network that gives each image one vector, with its protocol.

    Args:
        path: its weights.
        name: what files of kept features begin with.
        settings: what the features depend on besides weights and image, as part of a file name.
        protocol: what is true of all its features.
        folder: keeps features of images for the next time; None does not.
    """

    def __init__(self, path: str, name: str, settings: str, protocol: Mapping[str, object], folder: Path | None):
        digest = sha256_file(path)
        self.store = FeatureStore(folder, f"{name}_{digest[:16]}{settings}")
        self.protocol = {
            **protocol,
            "weights": Path(path).name,
            "weights_sha256": digest,
            "dtype": "float32 features, float64 statistics",
        }

    def features(self, images: np.ndarray) -> np.ndarray:
        """What :meth:`seen` gives, (N, ...), to (N, D)."""
        raise NotImplementedError

    def batch(self, shape: tuple[int, ...]) -> int:
        """Images that :meth:`features` takes at once, by the shape of one."""
        return _BATCH

    def seen(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 to what the network takes."""
        raise NotImplementedError

    def prepare(self, picture: np.ndarray) -> tuple[bytes, np.ndarray | None]:
        """An image's digest and the network's input, which is None if the features are known already."""
        seen = hashlib.sha256(repr(picture.shape).encode())
        seen.update(np.ascontiguousarray(picture).data)
        digest = seen.digest()
        return digest, None if self.store.get(digest) is not None else self.seen(picture)


class Inception(Features):
    """The network of FID and KID.

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
        protocol = {
            "feature_net": "Inception v3 (2015-12-05), 2048 features of the last pool",
            "resizer": f"to {INPUT_SIZE}x{INPUT_SIZE}, {RESIZERS[resizer]}",
        }
        super().__init__(path, "inception", f"_{resizer}", protocol, folder)

    def features(self, images: np.ndarray) -> np.ndarray:
        """(N, 3, H, W) float32, 0 to 255, to (N, 2048)."""
        return self._network(Tensor(images)).asnumpy()

    def seen(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 to (3, 299, 299)."""
        return to_inception(picture, self.resizer)


class VGG16(Features):
    """VGG16 in the place of Inception: images are not resized, and its features are of five scales.

    Args:
        path: weights, see :func:`src.models.lpips.load_vgg16_features`.
        folder: keeps features of images for the next time; None does not.

    Raises:
        UserError: the file is missing, damaged or of another network.
    """

    def __init__(self, path: str, folder: Path | None = None):
        self._network = load_vgg16_features(path)
        what = f"VGG16, {self._network.COUNT} means of the five maps of LPIPS, channels of a place with mean square 1"
        super().__init__(path, "vgg16", "", {"feature_net": what, "resizer": "none"}, folder)

    def features(self, images: np.ndarray) -> np.ndarray:
        """(N, 3, H, W) float32, -1 to 1, to (N, 1472)."""
        return self._network(Tensor(images)).asnumpy()

    def batch(self, shape: tuple[int, ...]) -> int:
        return max(1, min(_BATCH, _PIXELS_A_BATCH // (shape[1] * shape[2])))

    def seen(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 to (3, H, W) in [-1, 1]."""
        least = self._network.SMALLEST
        if min(picture.shape[:2]) < least:
            size = f"{picture.shape[1]}x{picture.shape[0]}"
            raise UserError(f"VGG16 needs sides of at least {least}, and there is an image of {size}: --metrics_size")
        return image_to_unit(picture)


class FeatureSet:
    """Features of a set of images, in the order in which they are added."""

    def __init__(self, network: Features):
        self._store = network.store
        self._batches = Batched(network.features, network.batch)
        self._digests: list[bytes] = []
        self._new: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._digests)

    def add(self, digest: bytes, image: np.ndarray | None) -> None:
        """Take what :meth:`Features.prepare` returned."""
        self._digests.append(digest)
        if image is not None and digest not in self._new:
            self._new[digest] = self._batches.add(image)

    def array(self) -> np.ndarray:
        """(N, D) float32."""
        results = self._batches.results()
        for digest, number in self._new.items():
            self._store.put(digest, results[number])
        return np.stack([self._store[digest] for digest in self._digests])
