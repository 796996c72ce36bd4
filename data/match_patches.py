"""For every training image, the patches of real images that resemble its own: what ``--real_patches`` reads.

    python data/match_patches.py PAIRS REAL [--grid 4x8] [--phase train] [--vgg FILE]

PAIRS holds PHASE_B, the translations of data/pair_translations.py; REAL holds real images. Both are cut into patches by
a grid of rows and columns. PAIRS gets PHASE_real_GRID, where every patch of a translation is replaced by the real one
whose VGG19 features (relu4_1, means of quarters of the patch) point in the most similar direction. ``--vgg`` names
torchvision's vgg19-dcbb9e9d.pth; without it the features are random ones, which compare colours and textures only.
Nothing is overwritten.
"""

import argparse
import re
import sys
from functools import lru_cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import mindspore as ms
import numpy as np
from mindspore import Tensor

from src.dataset.folders import list_images
from src.imaging.images import image_to_unit, picture_info, read_image, write_png
from src.models.parameters import init_weights
from src.models.vgg import VGG19, load_vgg
from src.utils.errors import UserError, run_command
from src.utils.progress import track

# patches whose features are computed together
_BATCH = 32
# index of relu4_1 among VGG19's maps, which halves a patch three times; a quarter of it must stay
_MAP, _SMALLEST = 3, 16


def parse(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("pairs", type=Path, help="folder of the pairs")
    parser.add_argument("real", type=Path, help="folder of real images")
    parser.add_argument("--grid", default="4x8", help="rows and columns of patches in an image (default: 4x8)")
    parser.add_argument("--phase", default="train", help="part of the pairs (default: train)")
    parser.add_argument("--vgg", default="", help="VGG19 weights (default: random ones)")
    parser.add_argument("--most", type=int, default=20000, help="real patches to choose from (default: 20000)")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Index the real patches, then compose an image for each translation."""
    options = parse(argv)
    form = re.fullmatch(r"([1-9]\d?)x([1-9]\d?)", options.grid)
    if not form:
        raise UserError(f"--grid {options.grid} is no grid: rows and columns are two numbers, such as 4x8")
    grid = int(form[1]), int(form[2])
    folder, target = (options.pairs / f"{options.phase}_{name}" for name in ("B", f"real_{options.grid}"))
    if target.exists():
        raise UserError(f"{target} exists and nothing is overwritten: take it away to match again")
    translations, reals = list_images(folder), list_images(options.real)
    for place, listed in ((folder, translations), (options.real, reals)):
        if not listed:
            raise UserError(f"folder {place} holds no images")
    info = picture_info(translations[0])
    size = info.width // grid[1], info.height // grid[0]
    if min(size) < _SMALLEST:
        raise UserError(
            f"--grid {options.grid} cuts {translations[0]} into patches of {size[0]}x{size[1]}, and a side needs "
            f"{_SMALLEST} pixels: ask for fewer"
        )
    features = Features(options.vgg)

    @lru_cache(maxsize=64)
    def patches_of(file: Path) -> np.ndarray:
        return np.stack([resized(patch, size) for patch in patches(read_image(file), grid)])

    places: list[tuple[Path, int]] = []
    index = []
    for file in track(reals, "real images", total=len(reals)):
        places += [(file, i) for i in range(grid[0] * grid[1])]
        index.append(features(patches_of(file)))
        if len(places) >= options.most:
            break
    known = np.concatenate(index)
    for file in track(translations, "patches", total=len(translations)):
        image = read_image(file)
        own = patches(image, grid)
        chosen = [places[i] for i in (features(np.stack([resized(patch, size) for patch in own])) @ known.T).argmax(1)]
        for patch, (real, i) in zip(own, chosen, strict=True):
            patch[:] = resized(patches_of(real)[i], patch.shape[1::-1])
        write_png(target / f"{file.stem}.png", image)
    print(f"{len(translations)} images of patches from {len(known)} real ones in {target}")
    return 0


def patches(image: np.ndarray, grid: tuple[int, int]) -> list[np.ndarray]:
    """Views of the patches of ``image`` (H, W, 3) by rows and columns, row by row; sides differ by at most a pixel."""
    return [patch for row in np.array_split(image, grid[0], 0) for patch in np.array_split(row, grid[1], 1)]


def resized(patch: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A patch at another (width, height)."""
    return cv2.resize(patch, size, interpolation=cv2.INTER_AREA)


class Features:
    """Unit vectors of patches of one size: (N, height, width, 3) to (N, 2048)."""

    def __init__(self, weights: str):
        self.vgg = load_vgg(weights) if weights else VGG19()
        if not weights:
            # a gain that keeps the size of what passes a ReLU
            init_weights(self.vgg, "xavier", 2**0.5)
        self.vgg.set_train(False)

    def __call__(self, cut: np.ndarray) -> np.ndarray:
        found = []
        for begin in range(0, len(cut), _BATCH):
            batch = np.stack([image_to_unit(patch) for patch in cut[begin : begin + _BATCH]])
            maps = self.vgg(Tensor(batch))[_MAP].asnumpy()
            h, w = maps.shape[2] // 2, maps.shape[3] // 2
            quarters = maps[:, :, : 2 * h, : 2 * w].reshape(*maps.shape[:2], 2, h, 2, w).mean((3, 5))
            found.append(quarters.reshape(len(batch), -1))
        vectors = np.concatenate(found)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


if __name__ == "__main__":
    ms.set_context(mode=ms.PYNATIVE_MODE)
    run_command(main)
