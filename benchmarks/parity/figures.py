"""Final figures of a training, from what it makes of held-out images; neither side's own code computes them."""

__all__ = ["figures"]

import numpy as np

from src.metrics.style import StyleComparison, layout_kept

from .recipe import Arrays, Recipe

_WIDTHS = (16, 32, 64)


def figures(recipe: Recipe, held_out: Arrays, made: Arrays) -> dict[str, float]:
    """Means over all held-out images; ``made`` are arrays by name, in the order of the images.

    ``paired``: ``image``. ``feature matching`` is the mean absolute difference of the features of a fixed random patch
    discriminator, as pix2pixHD's loss has them of the trained one; ``PSNR`` is in dB of 255 levels. ``unpaired``: one
    image for each (``fake_B`` of A, and ``fake_A`` of B where both ways are trained), with the sliced Wasserstein
    distance to the target's style and the share of the layout that is kept (see :mod:`src.metrics.style`).
    ``images``: losses of batches, of which ``bits_per_dim`` is shown.
    """
    return {"paired": _paired, "unpaired": _unpaired, "images": _bits, "gaussian": _bits}[recipe.kind](held_out, made)


def _paired(held_out: Arrays, made: Arrays) -> dict[str, float]:
    wanted, got = held_out["image"], made["image"]
    errors = ((_grey_levels(got) - _grey_levels(wanted)) ** 2).mean((1, 2, 3))
    matching = [np.abs(a - b).mean() for a, b in zip(_features(got), _features(wanted), strict=True)]
    return {
        "feature matching": float(np.mean(matching)),
        "PSNR": float((10 * np.log10(255**2 / np.maximum(errors, 1e-6))).mean()),
    }


def _grey_levels(images: np.ndarray) -> np.ndarray:
    return np.rint((np.clip(images, -1, 1).astype(np.float64) + 1) * 127.5)


def _features(images: np.ndarray) -> list[np.ndarray]:
    rng, x, found = np.random.default_rng(0), images.astype(np.float64), []
    for width in _WIDTHS:
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (4, 4), (2, 3))[:, :, ::2, ::2]
        kernel = rng.normal(0, np.sqrt(2 / (16 * x.shape[1])), (width, x.shape[1], 4, 4))
        x = np.einsum("nchwij,ocij->nohw", windows, kernel, optimize=True)
        x = np.maximum(x, 0.2 * x)
        found.append(x)
    return found


def _bits(held_out: Arrays, made: Arrays) -> dict[str, float]:
    return {"bits_per_dim": float(made["bits_per_dim" if "bits_per_dim" in made else "bits"].mean())}


def _unpaired(held_out: Arrays, made: Arrays) -> dict[str, float]:
    found = {}
    for name, pictures in made.items():
        source, target = ("A", "B") if name == "fake_B" else ("B", "A")
        sets = StyleComparison()
        for wanted, picture in zip(held_out[target], pictures, strict=True):
            sets.add("target", wanted)
            sets.add("made", picture)
        found[f"{name} distance"] = float(sets.distance("made", "target") or 0.0)
        kept = [layout_kept(a, b) for a, b in zip(held_out[source], pictures, strict=True)]
        found[f"{name} layout"] = float(np.mean(kept))
    return found
