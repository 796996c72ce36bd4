"""Drives through procedural streets: consecutive frames with exact optical flow and occlusions.

Only the camera moves, straight ahead, past a street that stands still. So what is seen at distance z and offset p from
the vanishing point was at p z / (z + step) one frame before.
"""

__all__ = ["STEP", "Frame", "make_drive", "write_drives"]

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ..imaging.flow import warp, write_flow
from ..imaging.images import write_png
from ..utils.errors import UserError
from .canvas import Canvas
from .scenes import Scene, check_scene, expose, phase_number, start, targets_of, write_all
from .street import paint_street, plan_street

#: metres between two frames: 22 km/h at 20 frames per second
STEP = 0.3
_SAME_DISTANCE = 0.01
# the street ends, and with it what the camera drives past
_MOST_FRAMES = 300


class Frame(NamedTuple):
    """One frame: its ``scene``, the ``flow`` (H, W, 2) back to the frame before, in pixels, and where it is ``known``.

    ``flow`` and ``known`` are None for the first frame.
    """

    scene: Scene
    flow: np.ndarray | None
    known: np.ndarray | None


class _View(NamedTuple):
    """What the frame before shows: the inverse of its distances (H, W), and what is seen, 0 where it is mixed."""

    nearness: np.ndarray
    things: np.ndarray


def make_drive(
    seed: int | list[int], width: int, height: int, frames: int, style: str = "photo", trees: float = 0.0
) -> Iterator[Frame]:
    """Draw the ``frames`` of one drive; the street is that of :func:`make_scene`, and so are the other arguments.

    Flow is unknown where something else, or a mixture at an edge, was seen before.

    Raises:
        UserError: as :func:`make_scene`.
    """
    check_scene(width, height, style, trees)
    earlier = None
    for number in range(frames):
        rng = np.random.default_rng(seed)
        canvas, zenith, horizon = start(rng, 2 * width, 2 * height, style)
        canvas.camera = replace(canvas.camera, position=number * STEP)
        paint_street(canvas, plan_street(rng, trees), zenith, horizon)
        # one exposure a drive, new grain in each frame
        base = [seed] if isinstance(seed, int) else list(seed)
        exposure, grain = np.random.default_rng([*base, 1]), np.random.default_rng([*base, 2, number])
        photo = expose(canvas, style, (width, height), exposure, grain)
        view = _view(canvas)
        scene = Scene(canvas.label[::2, ::2].copy(), canvas.instance[::2, ::2].copy(), photo)
        yield Frame(scene, *_flow(canvas, view, earlier)) if earlier else Frame(scene, None, None)
        earlier = view


def _view(canvas: Canvas) -> _View:
    # each pixel is the mean of four, and edges between things differ among them
    four = [canvas.instance[y::2, x::2].astype(np.float32) for y in (0, 1) for x in (0, 1)]
    pure = (four[0] == four[1]) & (four[0] == four[2]) & (four[0] == four[3])
    near = 1.0 / canvas.distance
    return _View(cv2.resize(near, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.where(pure, four[0], 0))


def _flow(canvas: Canvas, view: _View, earlier: _View) -> tuple[np.ndarray, np.ndarray]:
    camera, (height, width) = canvas.camera, view.things.shape
    # the middle of four pixels of the canvas
    x, y = (2 * np.arange(width) + 0.5 - camera.centre_x) / 2, (2 * np.arange(height) + 0.5 - camera.horizon) / 2
    offset = np.stack(np.meshgrid(x, y), 2)
    expected = view.nearness / (1.0 + STEP * view.nearness)
    flow = (-STEP * expected[:, :, None] * offset).astype(np.float32)
    # nearness is linear across a flat thing, so interpolating it is exact
    known = np.abs(warp(earlier.nearness, flow) - expected) <= _SAME_DISTANCE * expected
    columns, rows = flow[:, :, 0] + np.arange(width), flow[:, :, 1] + np.arange(height)[:, None]
    known &= (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1) & (view.things > 0)
    for row in (np.floor(rows), np.ceil(rows)):
        for column in (np.floor(columns), np.ceil(columns)):
            seen = earlier.things[row.astype(int).clip(0, height - 1), column.astype(int).clip(0, width - 1)]
            known &= seen == view.things
    return flow, known


def write_drives(
    folder: str | Path,
    phase: str,
    count: int,
    frames: int,
    width: int,
    height: int,
    seed: int = 0,
    style: str = "photo",
    workers: int = 1,
    trees: float = 0.0,
) -> None:
    """Write ``count`` drives of ``frames`` frames as :func:`write_scenes` does, and their flow into ``{phase}_flow``.

    A flow has the name of the frame that it leads back from; first frames have none.

    Raises:
        UserError: as :func:`write_scenes`; fewer than two frames, or more than the street is long.
    """
    if not 2 <= frames <= _MOST_FRAMES:
        raise UserError(f"drives of {frames} frames cannot be made: use 2 to {_MOST_FRAMES}")
    targets = targets_of(Path(folder), phase) | {"flow": Path(folder, f"{phase}_flow")}
    draw = partial(_write_drive, targets, [seed, phase_number(phase)], width, height, frames, style, trees)
    write_all(targets.values(), draw, count, f"{phase} drives", workers)


def _write_drive(
    targets: Mapping[str, Path],
    seed: list[int],
    width: int,
    height: int,
    frames: int,
    style: str,
    trees: float,
    k: int,
) -> None:
    for number, frame in enumerate(make_drive([*seed, k], width, height, frames, style, trees)):
        name = f"drive_{k:05d}_{number:04d}.png"
        for target, array in zip(targets.values(), frame.scene, strict=False):
            write_png(target / name, array)
        if frame.flow is not None and frame.known is not None:
            write_flow(targets["flow"] / name, frame.flow, frame.known)
