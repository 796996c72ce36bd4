"""Procedural street scenes: label maps with the Cityscapes ids, 16-bit instance maps and stylised photos.

They replace a licensed data set in tests, the quick start and demonstrations: every class has its own style, cars
differ in colour (so that instance features can be learned), and perspective, haze and light are the same for the
whole image.
"""

__all__ = [
    "STYLES",
    "Scene",
    "check_scene",
    "expose",
    "make_scene",
    "phase_number",
    "start",
    "targets_of",
    "write_all",
    "write_scenes",
]

import multiprocessing
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ..imaging.images import write_png
from ..utils.errors import UserError
from ..utils.progress import track
from .canvas import Camera, Canvas, Light
from .street import SKY, paint_street, plan_street

STYLES = ("photo", "simulated", "colourful")


class Scene(NamedTuple):
    """One image: ``label`` (H, W) uint8, ``instance`` (H, W) uint16, ``photo`` (H, W, 3) uint8."""

    label: np.ndarray
    instance: np.ndarray
    photo: np.ndarray


# Zenith, horizon and the sun's tint for a clear, an overcast and an evening sky.
_SKIES = (
    ((0.30, 0.52, 0.82), (0.74, 0.84, 0.92), (1.02, 1.00, 0.96), 1.0),
    ((0.62, 0.66, 0.70), (0.82, 0.84, 0.85), (0.96, 0.98, 1.00), 0.1),
    ((0.42, 0.48, 0.68), (0.95, 0.80, 0.64), (1.06, 0.98, 0.88), 0.7),
)


def make_scene(seed: int | list[int], width: int, height: int, style: str = "photo", trees: float = 0.0) -> Scene:
    """Draw one street.

    Args:
        seed: determines everything but the size; the styles of one seed show the same street.
        width, height: size in pixels, at least 32 each.
        style: ``photo``; ``simulated``: flat, saturated and clean like a rendered game; ``colourful``: a photo in which
            cars have any hue, so that styles of instances are seen at once.
        trees: 0 to 1, how many places along both kerbs have a tall tree; at 1 hardly any sky is seen.

    Raises:
        UserError: unknown style, a size below 32, or ``trees`` out of range.
    """
    check_scene(width, height, style, trees)
    # Painted twice as large and averaged: label edges stay hard, photo edges become soft like a lens's.
    canvas, zenith, horizon = start(np.random.default_rng(seed), 2 * width, 2 * height, style)
    paint_street(canvas, plan_street(canvas.rng, trees), zenith, horizon)
    photo = expose(canvas, style, (width, height), canvas.rng, canvas.rng)
    return Scene(canvas.label[::2, ::2].copy(), canvas.instance[::2, ::2].copy(), photo)


def check_scene(width: int, height: int, style: str, trees: float = 0.0) -> None:
    """Raise ``UserError`` for an unknown style, a size below 32, or ``trees`` outside 0 to 1."""
    if style not in STYLES:
        raise UserError(f"style {style} is unknown: use one of {', '.join(STYLES)}")
    if min(width, height) < 32:
        raise UserError(f"street scenes of {width}x{height} show nothing: use at least 32x32")
    if not 0 <= trees <= 1:
        raise UserError(f"trees {trees} is not from 0, streets as they are, to 1, a tall tree at every place")


def start(rng: np.random.Generator, width: int, height: int, style: str) -> tuple[Canvas, np.ndarray, np.ndarray]:
    """An empty canvas with its camera and light, and the colours of the sky at the zenith and the horizon."""
    focal = 1.05 * max(width, 2 * height) * rng.uniform(0.95, 1.05)
    camera = Camera(focal, width * rng.uniform(0.42, 0.58), height * rng.uniform(0.38, 0.46), rng.uniform(1.25, 1.5))
    zenith, horizon, tint, strength = _SKIES[rng.choice(3, p=(0.5, 0.35, 0.15))]
    light = Light(rng.uniform(-1, 1), strength, rng.uniform(90, 260), tint, horizon)
    canvas = Canvas(width, height, camera, light, rng)
    if style == "simulated":
        canvas.flatten_noise(0.35)
    canvas.colourful = style == "colourful"
    return canvas, np.array(zenith), np.array(horizon)


def expose(
    canvas: Canvas,
    style: str,
    size: tuple[int, int],
    exposure: np.random.Generator,
    film: np.random.Generator,
) -> np.ndarray:
    """From painted colours to a photo of ``size`` = (width, height): haze with distance, the light's tint, lens, grain.

    The brightness of the photo is drawn from ``exposure``, its grain from ``film``.
    """
    light = canvas.light
    clear = np.exp(-canvas.depth / light.visibility)[:, :, None]
    clear[canvas.label == SKY] = 1
    colour = canvas.colour * clear + np.asarray(light.haze, np.float32) * (1 - clear)
    colour = colour * np.asarray(light.tint)
    colour = cv2.resize(colour.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    grain = film.normal(0, 1, (size[1], size[0], 1)).astype(np.float32)
    rows, columns = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j]
    vignette = (1 - 0.10 * (rows**2 + columns**2))[:, :, None]
    gain = exposure.uniform(0.92, 1.08)
    if style == "simulated":
        grey = colour.mean(axis=2, keepdims=True)
        colour = (grey + 1.45 * (colour - grey)) * np.array([0.97, 1.03, 1.10])
        colour = 0.5 + 1.18 * (colour - 0.48)
        shine = cv2.GaussianBlur(np.clip(colour - 0.7, 0, 1).astype(np.float32), (0, 0), size[1] / 60)
        colour = colour + 0.35 * shine
    else:
        colour = colour * vignette * gain + 0.012 * grain
    return np.rint(np.clip(colour, 0, 1) * 255).astype(np.uint8)


def write_scenes(
    folder: str | Path,
    phase: str,
    count: int,
    width: int,
    height: int,
    seed: int = 0,
    style: str = "photo",
    workers: int = 1,
    trees: float = 0.0,
) -> None:
    """Write ``count`` scenes into ``{phase}_label``, ``{phase}_inst`` and ``{phase}_img`` below ``folder``.

    Scene k of a phase depends on (seed, phase, k) alone. ``workers`` processes draw at the same time. ``style`` and
    ``trees``: see :func:`make_scene`.

    Raises:
        UserError: one of these folders has content, the disk full, or as :func:`make_scene`.
    """
    targets = targets_of(Path(folder), phase)
    draw = partial(_write_scene, targets, [seed, phase_number(phase)], width, height, style, trees)
    write_all(targets.values(), draw, count, f"{phase} scenes", workers)


def write_all(targets: Iterable[Path], draw: Callable[[int], None], count: int, what: str, workers: int) -> None:
    """Call ``draw`` with the numbers below ``count``, in ``workers`` processes, to fill the folders ``targets``.

    Raises:
        UserError: one of the folders has content; what ``draw`` raises.
    """
    for target in targets:
        if target.exists() and any(target.iterdir()):
            raise UserError(f"{target} is not empty and nothing is overwritten: choose another folder")
    if workers <= 1:
        for _ in track(map(draw, range(count)), what, total=count, unit="scenes"):
            pass
        return
    # New interpreters, because forking a process that holds MindSpore's threads may hang.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        for _ in track(pool.map(draw, range(count)), what, total=count, unit="scenes"):
            pass


def phase_number(phase: str) -> int:
    """A number that only this phase has, for seeds."""
    return int.from_bytes(phase.encode(), "little")


def targets_of(folder: Path, phase: str) -> dict[str, Path]:
    """The folders of a phase's label maps, instance maps and photos, in the order of :class:`Scene`."""
    return {name: folder / f"{phase}_{name}" for name in ("label", "inst", "img")}


def _write_scene(
    targets: Mapping[str, Path], seed: list[int], width: int, height: int, style: str, trees: float, k: int
) -> None:
    scene = make_scene([*seed, k], width, height, style, trees)
    for target, array in zip(targets.values(), scene, strict=True):
        write_png(target / f"scene_{k:05d}.png", array)
