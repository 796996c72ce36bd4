"""A camera over a street and a canvas that paints label, instance, colour and depth together.

World coordinates are metres: X to the right, Y up from the road, Z away from the camera. Colours are RGB in 0..1.
"""

__all__ = ["Camera", "Canvas", "Light", "fractal_noise"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

# functions of coordinates in pixels (x, y) or, on the ground, in metres (x, z)
Shading = Callable[[np.ndarray, np.ndarray], np.ndarray]
Colour = Sequence[float] | np.ndarray | Shading
Depth = float | Shading
Points = np.ndarray | Sequence[tuple[float, float, float]]
NEAR = 0.9
_SUBPIXEL_BITS = 4
_NOISE_SIZE = 256


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along Z.

    ``focal``, ``centre_x`` and ``horizon`` are pixels, ``height`` is metres above the road, ``position`` metres along
    the street.
    """

    focal: float
    centre_x: float
    horizon: float
    height: float
    position: float = 0.0

    def distance(self, z: np.ndarray | float) -> np.ndarray:
        """Metres along Z from the camera to world Z, at least those to the near plane."""
        return np.maximum(z - self.position, NEAR)

    def project(self, points: np.ndarray) -> np.ndarray:
        """World points ``(N, 3)`` to pixels ``(N, 2)``; points that are too near are moved onto the near plane."""
        z = self.distance(points[:, 2])
        x = self.centre_x + self.focal * points[:, 0] / z
        y = self.horizon + self.focal * (self.height - points[:, 1]) / z
        return np.stack([x, y], axis=1)

    def on_ground(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World X and Z of the ground seen at pixels."""
        z = self.focal * self.height / np.maximum(y - self.horizon, 0.25)
        return (x - self.centre_x) * z / self.focal, z + self.position

    def on_side(self, x: np.ndarray, y: np.ndarray, side: float) -> tuple[np.ndarray, np.ndarray]:
        """World Z and Y of the plane X = ``side`` seen at pixels."""
        offset = x - self.centre_x
        z = self.focal * side / np.where(np.abs(offset) < 0.25, np.copysign(0.25, side), offset)
        return z + self.position, self.height - (y - self.horizon) * z / self.focal

    def on_front(self, x: np.ndarray, y: np.ndarray, z: float) -> tuple[np.ndarray, np.ndarray]:
        """World X and Y of the plane Z = ``z`` seen at pixels."""
        z = z - self.position
        return (x - self.centre_x) * z / self.focal, self.height - (y - self.horizon) * z / self.focal

    def on_plane(self, x: np.ndarray, y: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Metres along Z to the plane of a polygon of world points ``(N, 3)`` seen at pixels, within the polygon's."""
        middle = points.mean(0)
        sides = points - middle
        normal = np.cross(sides, np.roll(sides, -1, 0)).sum(0)
        rays = np.stack([(x - self.centre_x) / self.focal, (self.horizon - y) / self.focal, np.ones_like(x)], -1)
        steepness = rays @ normal
        along = normal @ (middle - (0.0, self.height, self.position)) / np.where(steepness == 0, 1e-12, steepness)
        ends = self.distance(points[:, 2])
        return np.clip(along, ends.min(), ends.max())


@dataclass(frozen=True)
class Light:
    """Sun and air.

    ``sun`` is -1 (from the left) to 1, ``strength`` 0 (overcast) to 1, ``visibility`` metres.
    """

    sun: float
    strength: float
    visibility: float
    tint: tuple[float, float, float]
    haze: tuple[float, float, float]

    def side(self, facing: float) -> float:
        """Brightness of a wall that faces left (-1) or right (1)."""
        return 0.8 + 0.3 * self.strength * facing * self.sun

    @property
    def front(self) -> float:
        """Brightness of a wall that faces the camera."""
        return 0.82 - 0.06 * self.strength

    @property
    def top(self) -> float:
        """Brightness of a surface that faces the sky."""
        return 0.95 + 0.12 * self.strength


def fractal_noise(rng: np.random.Generator, octaves: int = 5) -> np.ndarray:
    """A ``(256, 256)`` float32 noise texture that tiles, about -1 to 1, with detail at ``octaves`` scales."""
    total = np.zeros((_NOISE_SIZE, _NOISE_SIZE), np.float32)
    for octave in range(octaves):
        cells = 4 << octave
        grid = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
        wrapped = np.pad(grid, 2, mode="wrap")
        scale = _NOISE_SIZE // cells
        large = cv2.resize(wrapped, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        total += large[2 * scale : 2 * scale + _NOISE_SIZE, 2 * scale : 2 * scale + _NOISE_SIZE] * 0.6**octave
    return total / 1.6


class Canvas:
    """A canvas that is painted from far to near: later shapes hide earlier ones.

    Attributes:
        label: ``(H, W)`` uint8 class ids.
        instance: ``(H, W)`` uint16 instance ids.
        colour: ``(H, W, 3)`` float32.
        depth: ``(H, W)`` float32 metres, one number for most shapes, which is enough for haze.
        distance: ``(H, W)`` float32 metres along Z to what is seen, exact; infinite for what moves with the camera.
    """

    def __init__(self, width: int, height: int, camera: Camera, light: Light, rng: np.random.Generator):
        self.width, self.height, self.camera, self.light, self.rng = width, height, camera, light, rng
        self.label = np.zeros((height, width), np.uint8)
        self.instance = np.zeros((height, width), np.uint16)
        self.colour = np.zeros((height, width, 3), np.float32)
        self.depth = np.full((height, width), 1000, np.float32)
        self.distance = np.full((height, width), np.inf, np.float32)
        #: cars have any colour, not one of those that are common
        self.colourful = False
        self._noise = fractal_noise(rng)
        self._counts: dict[int, int] = {}

    def noise(self, u: np.ndarray, v: np.ndarray, scale: float) -> np.ndarray:
        """Noise at world coordinates; ``scale`` is metres a tile, and the sampling is too coarse far away."""
        columns = np.asarray(u / scale * _NOISE_SIZE).astype(np.int64) % _NOISE_SIZE
        rows = np.asarray(v / scale * _NOISE_SIZE).astype(np.int64) % _NOISE_SIZE
        return self._noise[rows, columns]

    def flatten_noise(self, factor: float) -> None:
        """Scale every texture's contrast."""
        self._noise = self._noise * np.float32(factor)

    def new_thing(self, label: int) -> int:
        """The id of the next instance of a countable class: ``label * 1000 + k``."""
        number = self._counts.get(label, 0)
        self._counts[label] = number + 1
        return label * 1000 + number

    def fill(
        self,
        points: np.ndarray,
        label: int,
        colour: Colour,
        depth: Depth,
        instance: int | None = None,
        distance: Depth | None = None,
    ) -> None:
        """Fill a polygon of pixels ``(N, 2)``.

        ``colour`` is RGB or a function of pixel coordinates (x, y); ``depth`` and ``distance`` (see the attributes) are
        metres from the camera or such a function; ``distance`` defaults to ``depth``, ``instance`` to the label.
        """
        mask, (left, top) = self._polygon(points, 0, 1)
        if mask.size:
            self.fill_mask(mask.astype(bool), (left, top), label, colour, depth, instance, distance)

    def _polygon(self, points: np.ndarray, before: int, after: int) -> tuple[np.ndarray, tuple[int, int]]:
        """The mask of a polygon (uint8; 1 inside) in its bounding box, and the box's left and top.

        The box has ``before`` more pixels at its left and top, ``after`` at its right and bottom, and ends at the
        canvas; a polygon outside of it has an empty mask.
        """
        low = np.clip(np.floor(points.min(0)).astype(int) - before, 0, [self.width, self.height])
        high = np.clip(np.ceil(points.max(0)).astype(int) + after, 0, [self.width, self.height])
        mask = np.zeros((high - low)[::-1], np.uint8)
        if mask.size:
            fixed = np.rint(np.clip(points - low, -1e5, 1e5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
            cv2.fillPoly(mask, [fixed], (1,), shift=_SUBPIXEL_BITS)
        return mask, (int(low[0]), int(low[1]))

    def fill_mask(
        self,
        mask: np.ndarray,
        corner: tuple[int, int],
        label: int,
        colour: Colour,
        depth: Depth,
        instance: int | None = None,
        distance: Depth | None = None,
    ) -> None:
        """As :meth:`fill`, for the pixels of a mask whose upper left pixel is ``corner`` (x, y)."""
        x, y = corner
        rows, columns = np.nonzero(mask)
        if not len(rows):
            return
        rows, columns = rows + y, columns + x
        if callable(colour):
            values = colour(columns.astype(np.float32), rows.astype(np.float32))
        else:
            values = np.asarray(colour, np.float32)
        self.label[rows, columns] = label
        self.instance[rows, columns] = label if instance is None else instance
        self.colour[rows, columns] = values
        self.depth[rows, columns] = depth(columns, rows) if callable(depth) else depth
        distance = depth if distance is None else distance
        self.distance[rows, columns] = distance(columns, rows) if callable(distance) else distance

    def fill_world(
        self, points: Points, label: int, colour: Colour, instance: int | None = None, depth: Depth | None = None
    ) -> None:
        """Fill a polygon of world points ``(N, 3)``; its depth is that of its middle unless given as world Z."""
        points = np.asarray(points, np.float64)
        if depth is None:
            depth = float(self.camera.distance(points[:, 2]).mean())
        elif not callable(depth):
            depth = depth - self.camera.position

        def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            return self.camera.on_plane(x, y, points)

        self.fill(self.camera.project(points), label, colour, depth, instance, distance)

    def ellipse(
        self,
        centre: Sequence[float] | np.ndarray,
        radii: tuple[float, float],
        label: int,
        colour: Colour,
        depth: Depth,
        instance: int | None = None,
        distance: Depth | None = None,
    ) -> None:
        """Fill an ellipse; ``centre`` and ``radii`` in pixels, the rest as :meth:`fill`."""
        angles = np.linspace(0, 2 * np.pi, 25)[:-1]
        points = np.stack([np.cos(angles) * radii[0] + centre[0], np.sin(angles) * radii[1] + centre[1]], 1)
        self.fill(points, label, colour, depth, instance, distance)

    def tint(self, points: np.ndarray, colour: Colour, softness: float = 0.0) -> None:
        """Colour a polygon of pixels without changing its label: windows, lights, markings, shadows.

        With ``softness`` (pixels) the polygon darkens by ``colour`` (a factor) with a soft edge.
        """
        margin = int(3 * softness) + 1
        mask, (left, top) = self._polygon(points, margin, margin)
        if not mask.size:
            return
        window = self.colour[top : top + mask.shape[0], left : left + mask.shape[1]]
        if softness:
            soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), softness)[:, :, None]
            window *= 1 - soft + soft * np.asarray(colour, np.float32)
            return
        rows, columns = np.nonzero(mask)
        values = colour
        if callable(colour):
            values = colour((columns + left).astype(np.float32), (rows + top).astype(np.float32))
        window[rows, columns] = values

    def tint_world(self, points: Points, colour: Colour, softness: float = 0.0) -> None:
        """As :meth:`tint`, for world points ``(N, 3)``."""
        self.tint(self.camera.project(np.asarray(points, np.float64)), colour, softness)
