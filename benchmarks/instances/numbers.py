"""What the colours of cars say of styles: whether they differ, mean the same everywhere, and bring colours back."""

__all__ = ["errors_of", "figures", "styles_of"]

import numpy as np

from .streets import Street, Views


def figures(streets: list[Street], views: Views) -> dict[str, float]:
    """Both kinds of figures below: of each street's mean car in each style, and of every large car."""
    drawn = [[s.colours(image).mean(0) for image in images] for s, images in zip(streets, views.styles, strict=True)]

    def cars(images: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([s.colours(image) for s, image in zip(streets, images, strict=True)])

    real, encoded, plain = cars([street.photo for street in streets]), cars(views.encoded), cars(views.plain)
    sampled = np.stack([cars(images) for images in views.sampled])
    return styles_of(np.array(drawn)) | errors_of(real, encoded, sampled, plain)


def styles_of(colours: np.ndarray) -> dict[str, float]:
    """Whether styles are distinct, and whether the number of a style means the same in every scene.

    Args:
        colours: (S, K, 3) mean colours of the cars of S scenes, drawn in each of K styles; S and K are at least 2.

    Returns:
        ``scenes``, ``styles``: S and K.
        ``between``: variance over styles of their means over scenes, summed over channels.
        ``within``: variance over scenes of the colours of one style, summed over channels; the mean over styles.
        ``ratio``: between / within. Where styles do nothing but vary at random it is 1 / S in expectation.
        ``f``: S times that, the F statistic of one-way analysis of variance.
        ``own_share``: the fraction of all S K colours that are nearest to the mean of their own style, of K means. A
        scene has no part in the mean of the style that it is tested for.
        ``chance``: 1 / K.
    """
    scenes, styles, _ = colours.shape
    means = colours.mean(0)
    between = float(means.var(0, ddof=1).sum())
    within = float(colours.var(0, ddof=1).sum(-1).mean())
    candidates = np.broadcast_to(means, (scenes, styles, styles, 3)).copy()
    own = np.arange(styles)
    candidates[:, own, own] = (scenes * means - colours) / (scenes - 1)
    nearest = np.linalg.norm(colours[:, :, None] - candidates, axis=-1).argmin(-1)
    ratio = between / max(within, np.finfo(float).tiny)
    return {
        "scenes": scenes,
        "styles": styles,
        "between": between,
        "within": within,
        "ratio": ratio,
        "f": scenes * ratio,
        "own_share": float((nearest == own).mean()),
        "chance": 1 / styles,
    }


def errors_of(real: np.ndarray, encoded: np.ndarray, sampled: np.ndarray, plain: np.ndarray) -> dict[str, float]:
    """How far the colours of drawn cars are from those of the photos, as distances in RGB of 0..255.

    Args:
        real, encoded, plain: (N, 3) mean colours of N cars: in photos, drawn in the styles of the photos, and drawn
            by a network without styles.
        sampled: (D, N, 3), drawn in D draws of random styles.

    Returns:
        Means over cars, with ``_spread``, the standard deviation over cars: ``encoded``, ``sampled`` (of a car the mean
        of its draws), ``plain``; ``margin_sampled`` and ``margin_plain``, by which encoding is better, with
        ``_standard_error``. ``gain_sampled`` and ``gain_plain`` are these margins as fractions of the larger error.
    """

    def error(colours: np.ndarray) -> np.ndarray:
        return np.linalg.norm(colours - real, axis=-1)

    errors = {"encoded": error(encoded), "sampled": error(sampled).mean(0), "plain": error(plain)}
    errors |= {f"margin_{name}": errors[name] - errors["encoded"] for name in ("sampled", "plain")}
    found: dict[str, float] = {"cars": len(real)}
    for name, values in errors.items():
        found |= {name: float(values.mean()), f"{name}_spread": float(values.std(ddof=1))}
    for name in ("sampled", "plain"):
        found[f"margin_{name}_standard_error"] = found[f"margin_{name}_spread"] / len(real) ** 0.5
        found[f"gain_{name}"] = found[f"margin_{name}"] / found[name]
    return found
