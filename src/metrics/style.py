"""Metrics for translations without a true image: distance to the target style, and layout kept from the source."""

__all__ = ["StyleComparison", "StyleDistances", "layout_kept", "side_by_side"]

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..dataset.transforms import resize_photo
from ..utils.files import atomic_write
from ..utils.text import counted

_PATCH = 5
_PATCHES_A_PICTURE = 256
_PROJECTIONS = 128
_QUANTILES = 512
_WINDOW = 8


def layout_kept(source: np.ndarray, output: np.ndarray) -> float:
    """Agreement of the edges of (C, H, W) images of one size, from 0 (unrelated) to 1 (in the same places).

    Mean over windows of 8x8 pixels of the absolute correlation of their greys, weighted with the source's contrast: new
    colours, brightness and contrast do not lower it, moved or lost edges do. It is the structure term of SSIM (Wang et
    al. 2004) without its sign.
    """
    a, b = (_windows(picture.mean(0)) for picture in (source, output))
    a, b = (w - w.mean(1, keepdims=True) for w in (a, b))
    spread_a, spread_b = (np.sqrt((w * w).mean(1)) for w in (a, b))
    correlation = np.abs((a * b).mean(1)) / np.maximum(spread_a * spread_b, 1e-8)
    return float((correlation * spread_a).sum() / max(spread_a.sum(), 1e-8))


def _windows(grey: np.ndarray) -> np.ndarray:
    half = _WINDOW // 2
    shifted = grey[half:, half:] if min(grey.shape) >= _WINDOW + half else grey
    # two grids, so that no edge hides between windows
    return np.concatenate([_grid(grey), _grid(shifted)])


def _grid(grey: np.ndarray) -> np.ndarray:
    h, w = (side // _WINDOW * _WINDOW for side in grey.shape)
    blocks = grey[:h, :w].reshape(h // _WINDOW, _WINDOW, w // _WINDOW, _WINDOW)
    return blocks.transpose(0, 2, 1, 3).reshape(-1, _WINDOW * _WINDOW).astype(np.float64)


class StyleComparison:
    """Distances between sets of images by the colours and textures of small patches.

    The distance is the sliced Wasserstein distance of 5x5 patches at full and half resolution (Rabin et al. 2011;
    Karras et al. 2018, section 5): 0 for sets of one style, in units of the [-1, 1] scale. No network and no weights
    are needed.
    """

    def __init__(self, seed: int = 0):
        self._rng = np.random.default_rng(seed)
        self._patches: dict[str, list[np.ndarray]] = defaultdict(list)

    def add(self, name: str, picture: np.ndarray) -> None:
        """Add a (C, H, W) image in [-1, 1] to the set ``name``; sides below 10 pixels are left out."""
        c, h, w = picture.shape
        if min(h, w) < 2 * _PATCH:
            return
        half = picture[:, : h // 2 * 2, : w // 2 * 2].reshape(c, h // 2, 2, w // 2, 2).mean((2, 4))
        self._patches[name].append(np.stack([self._draw(level) for level in (picture, half)]))

    def _draw(self, picture: np.ndarray) -> np.ndarray:
        _, h, w = picture.shape
        ys = self._rng.integers(0, h - _PATCH + 1, _PATCHES_A_PICTURE)
        xs = self._rng.integers(0, w - _PATCH + 1, _PATCHES_A_PICTURE)
        patches = [picture[:, y : y + _PATCH, x : x + _PATCH].ravel() for y, x in zip(ys, xs, strict=True)]
        return np.array(patches, np.float32)

    def distance(self, a: str, b: str) -> float | None:
        """Distance between two sets; None if one of them is empty."""
        if not (self._patches[a] and self._patches[b]):
            return None
        total = 0.0
        for level in range(2):
            first, second = (np.concatenate([p[level] for p in self._patches[name]]) for name in (a, b))
            directions = np.random.default_rng(0).standard_normal((first.shape[1], _PROJECTIONS))
            directions /= np.sqrt((directions**2).sum(0))
            shares = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
            quantiles = (np.quantile(patches @ directions, shares, axis=0) for patches in (first, second))
            total += float(np.abs(np.subtract(*quantiles)).mean()) / _PATCH
        return total / 2


class StyleDistances:
    """The numbers of a whole evaluation.

    Args:
        made_from: name of each output to the column it is made from and the column whose style it should take.
    """

    def __init__(self, made_from: Mapping[str, tuple[str, str]]):
        self._made_from = made_from
        self._sets = StyleComparison()
        self._layouts: dict[str, list[float]] = defaultdict(list)

    def add(self, batch: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Add the first sample of a batch and return its numbers."""
        if not self._made_from:
            return {}
        # in a fixed order, because all sets draw their patches from one stream
        for column in dict.fromkeys(c for pair in self._made_from.values() for c in pair if c in batch):
            self._sets.add(column, batch[column][0])
        numbers = {}
        for name, (source, _) in self._made_from.items():
            if name in outputs and source in batch:
                self._sets.add(name, outputs[name][0])
                numbers[f"{name} layout"] = layout_kept(batch[source][0], outputs[name][0])
                self._layouts[name].append(numbers[f"{name} layout"])
        return numbers

    def report(self, path: Path, say: Callable[[str], None]) -> None:
        """Print one line an output and keep the numbers, if there are any, in the JSON file ``path``."""
        numbers = {}
        for name, layouts in self._layouts.items():
            source, target = self._made_from[name]
            after, before = self._sets.distance(name, target), self._sets.distance(source, target)
            numbers[name] = {"pictures": len(layouts), "layout": float(np.mean(layouts))}
            line = f"{name}: layout of {source} kept {numbers[name]['layout']:.3f} of 1"
            if after is not None and before is not None:
                numbers[name] |= {"distance": after, "distance_of_source": before}
                line += f", distance to the style of {target} {after:.4f} (before translation {before:.4f})"
            say(f"{line}, {counted(len(layouts), 'image')}")
        if numbers:
            atomic_write(path, json.dumps(numbers, indent=1) + "\n")


def side_by_side(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """(H, W, 3) uint8 images of any size as one, all as high as the first."""
    height = pictures[0].shape[0]
    sizes = [(max(1, round(p.shape[1] * height / p.shape[0])), height) for p in pictures]
    return np.concatenate([resize_photo(p, size) for p, size in zip(pictures, sizes, strict=True)], axis=1)
