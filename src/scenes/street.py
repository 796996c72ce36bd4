"""The street: its layout, sky, ground and houses; objects on it come from :mod:`src.scenes.objects`."""

__all__ = ["Street", "paint_street", "plan_street"]

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .canvas import NEAR, Canvas, Shading
from .objects import (
    paint_car,
    paint_cyclist,
    paint_light,
    paint_person,
    paint_pole,
    paint_sign,
    paint_tree,
    paint_truck,
)

EGO_VEHICLE, ROAD, SIDEWALK, BUILDING, VEGETATION, TERRAIN, SKY = 1, 7, 8, 11, 21, 22, 23
_FAR, _PASSED = 160.0, 2.0
# metres between the places of tall trees, and their size: crowns of both sides meet above the road
_AVENUE, _TALL = 5.0, 2.0
_WALLS = (
    (0.62, 0.52, 0.42), (0.72, 0.68, 0.60), (0.55, 0.34, 0.28), (0.58, 0.58, 0.58), (0.78, 0.72, 0.55),
    (0.45, 0.42, 0.40), (0.66, 0.50, 0.46), (0.50, 0.55, 0.58),
)  # fmt: skip
_ROOFS = ((0.42, 0.22, 0.17), (0.26, 0.26, 0.28), (0.34, 0.28, 0.24))


@dataclass(frozen=True)
class Street:
    """The layout across the street, in metres, the style of both sides, and how densely tall trees stand there."""

    road: tuple[float, float]
    pavement: tuple[float, float]
    walls: tuple[float, float]
    crossing: float
    foliage: np.ndarray
    grass: np.ndarray
    asphalt: np.ndarray
    paving: np.ndarray
    lane: float
    trees: float


def plan_street(rng: np.random.Generator, trees: float = 0.0) -> Street:
    """Draw a street: one in two has a crossing. ``trees``: see :func:`src.scenes.scenes.make_scene`."""
    left, right = -rng.uniform(4.2, 8.5), rng.uniform(2.6, 5.5)
    pavement = left - rng.uniform(1.6, 4.0), right + rng.uniform(1.6, 4.0)
    setback = [float(rng.choice([0.0, rng.uniform(2, 7)])) for _ in range(2)]
    walls = pavement[0] - setback[0], pavement[1] + setback[1]
    season = rng.uniform(0, 1)
    green = np.array([0.20, 0.34, 0.13]) * (1 - season) + np.array([0.40, 0.36, 0.12]) * season
    return Street(
        (left, right),
        pavement,
        walls,
        rng.uniform(18, 55) if rng.random() < 0.5 else -100.0,
        green + rng.uniform(-0.03, 0.03, 3),
        np.array([0.36, 0.44, 0.20]) + rng.uniform(-0.05, 0.05, 3),
        np.full(3, rng.uniform(0.30, 0.42)) + rng.uniform(-0.015, 0.015, 3),
        np.array([0.58, 0.56, 0.53]) + rng.uniform(-0.07, 0.07),
        rng.uniform(-1.8, -1.4),
        trees,
    )


def paint_street(canvas: Canvas, street: Street, zenith: np.ndarray, horizon: np.ndarray) -> None:
    """Paint everything, far to near, under a sky of these two colours."""
    _paint_sky(canvas, zenith, horizon)
    _paint_background(canvas, street)
    _paint_ground(canvas, street)
    for side in (0, 1):
        _paint_buildings(canvas, street, side)
    _paint_things(canvas, street)
    _paint_ego(canvas)


def _paint_sky(canvas: Canvas, zenith: np.ndarray, horizon: np.ndarray) -> None:
    strength = canvas.light.strength

    def colour(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        up = np.clip((canvas.camera.horizon - y) / max(canvas.camera.horizon, 1), 0, 1)[:, None]
        # Clouds lie on a plane far above the street, so they crowd towards the horizon.
        z = 900 / np.maximum(canvas.camera.horizon - y + 0.05 * canvas.height, 1) * canvas.camera.focal / 100
        cloud = canvas.noise((x - canvas.camera.centre_x) * z / canvas.camera.focal, z, 60.0)
        cover = np.clip(0.3 + cloud - 0.25 * strength, 0, 0.85)[:, None]
        blue = zenith * up**0.7 + horizon * (1 - up**0.7)
        return blue * (1 - cover) + (0.55 + 0.40 * horizon) * cover

    everywhere = np.ones((canvas.height, canvas.width), bool)
    canvas.fill_mask(everywhere, (0, 0), SKY, colour, 1000.0, distance=np.inf)


def _paint_background(canvas: Canvas, street: Street) -> None:
    """A ragged line of distant trees or roofs at the end of the street."""
    rng, camera = canvas.rng, canvas.camera
    for label, tall in ((BUILDING, rng.uniform(8, 20)), (VEGETATION, rng.uniform(4, 11))):
        xs = np.linspace(-0.2 * canvas.width, 1.2 * canvas.width, 90)
        steps = rng.uniform(0.25, 1, 90)
        if label == BUILDING:
            steps = np.repeat(steps[::6], 6)[:90]
        ys = camera.horizon - camera.focal * tall * steps / _FAR
        outline = np.stack([np.append(xs, [xs[-1], xs[0]]), np.append(ys, [camera.horizon + 2] * 2)], 1)
        base = street.foliage * 1.1 if label == VEGETATION else np.array(_WALLS[rng.integers(len(_WALLS))])

        def colour(x: np.ndarray, y: np.ndarray, base: np.ndarray = base) -> np.ndarray:
            grain = canvas.noise(x, y, 0.12 * canvas.width) * 0.25
            return np.clip(base * (0.8 + grain)[:, None], 0, 1)

        canvas.fill(outline, label, colour, _FAR, distance=np.inf)


def _paint_ground(canvas: Canvas, street: Street) -> None:
    top = int(np.ceil(canvas.camera.horizon))
    rows, columns = np.mgrid[top : canvas.height, : canvas.width].astype(np.float32)
    x, z = canvas.camera.on_ground(columns, rows)
    across = np.abs(z - street.crossing - 4) < 4.5
    road = ((x > street.road[0]) & (x < street.road[1])) | across
    paved = (x > street.pavement[0]) & (x < street.pavement[1]) & ~road
    for mask, label, paint in (
        (~road & ~paved, TERRAIN, lambda x, z: _grass(canvas, street, x, z)),
        (paved, SIDEWALK, lambda x, z: _paving(canvas, street, x, z)),
        (road, ROAD, lambda x, z: _asphalt(canvas, street, x, z)),
    ):

        def colour(columns: np.ndarray, rows: np.ndarray, paint: Shading = paint) -> np.ndarray:
            return paint(*canvas.camera.on_ground(columns, rows))

        def distance(columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
            return canvas.camera.on_ground(columns, rows)[1] - canvas.camera.position

        canvas.fill_mask(mask, (0, top), label, colour, distance)


def _grass(canvas: Canvas, street: Street, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    grain = 0.22 * canvas.noise(x, z, 9.0) + 0.14 * canvas.noise(x, z, 1.7) * np.exp(-z / 25)
    return np.clip(street.grass * canvas.light.top * (1 + grain)[:, None], 0, 1)


def _paving(canvas: Canvas, street: Street, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    near = np.exp(-z / 18)
    joints = ((np.mod(x, 0.6) < 0.04) | (np.mod(z, 0.6) < 0.04)) * 0.20 * near
    slabs = canvas.noise(np.floor(x / 0.6) * 7.7, np.floor(z / 0.6) * 7.7, 60.0) * 0.10 * near
    kerb = (np.abs(x - street.road[0]) < 0.22) | (np.abs(x - street.road[1]) < 0.22)
    shade = canvas.light.top * (1 + slabs - joints + 0.10 * canvas.noise(x, z, 14.0) + 0.22 * kerb)
    return np.clip(street.paving * shade[:, None], 0, 1)


def _asphalt(canvas: Canvas, street: Street, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    near = np.exp(-z / 15)
    patches = np.clip(canvas.noise(x * 2.0, z * 0.5, 30.0), -0.6, 0.6)
    grain = 0.13 * patches + 0.16 * near * canvas.noise(x, z, 1.3)
    wheels = -0.06 * np.exp(-((np.abs(x - 0.1) - 0.75) ** 2) / 0.06)
    colour = street.asphalt * canvas.light.top * (1 + grain + wheels)[:, None]
    crossing = np.abs(z - street.crossing - 4) < 4.5
    left, right = street.road
    dashes = (np.abs(x - street.lane) < 0.08) & (np.mod(z, 6.0) < 3.2)
    edges = (np.abs(x - left - 0.35) < 0.07) | (np.abs(x - right + 0.35) < 0.07)
    zebra = (np.abs(z - street.crossing + 2.6) < 1.5) & (np.mod(x, 1.0) < 0.5) & (x > left) & (x < right)
    marked = ((dashes | edges) & ~crossing) | zebra
    worn = np.clip(0.85 + 0.35 * canvas.noise(x, z, 2.5), 0.4, 1)[:, None]
    paint = 0.80 * canvas.light.top * worn + colour * (1 - worn)
    return np.clip(np.where(marked[:, None], paint, colour), 0, 1)


def _paint_buildings(canvas: Canvas, street: Street, side: int) -> None:
    """A row of houses along one side, far to near, with gaps where the grass and the sky show."""
    rng = canvas.rng
    sign = (-1, 1)[side]
    gaps = rng.choice([0.1, 0.35, 0.75], p=[0.55, 0.30, 0.15])
    houses, z = [], rng.uniform(-8, 2)
    while z < _FAR:
        length = rng.uniform(8, 24)
        if abs(z + length / 2 - street.crossing - 4) < length / 2 + 5:
            z = max(z, street.crossing) + 10.0
            continue
        if rng.random() > gaps:
            houses.append((max(z, NEAR), z + length))
            z += length
        else:
            z += rng.uniform(5, 14)
    for near, far in reversed(houses):
        if far > NEAR + 1:
            recess = rng.choice([0.0, rng.uniform(0, 1.5)])
            _paint_house(canvas, street.walls[side] + sign * recess, near, far, sign)


def _paint_house(canvas: Canvas, wall: float, near: float, far: float, sign: int) -> None:
    rng, light, camera = canvas.rng, canvas.light, canvas.camera
    floors = int(rng.integers(2, 7))
    storey = rng.uniform(2.9, 3.5)
    height = floors * storey + 0.6
    base = np.clip(np.array(_WALLS[rng.integers(len(_WALLS))]) + rng.uniform(-0.08, 0.08, 3), 0.1, 0.95)
    roof = np.array(_ROOFS[rng.integers(len(_ROOFS))])
    pitch = rng.choice([0.0, rng.uniform(2.5, 4.0)])
    bay, glazed, origin = rng.uniform(1.8, 3.2), rng.uniform(0.35, 0.6), rng.uniform(0, 3)
    shop = rng.random() < 0.5
    back = wall + sign * 14.0

    def facade(along: np.ndarray, up: np.ndarray, shade: float) -> np.ndarray:
        column, row = np.floor((along + origin) / bay), np.floor(up / storey)
        u, v = np.mod(along + origin, bay) / bay, np.mod(up, storey) / storey
        ground = row < 1
        wide = np.where(ground & shop, 0.86, glazed)
        window = (np.abs(u - 0.5) < wide / 2) & (np.abs(v - 0.52) < np.where(ground & shop, 0.40, 0.30))
        frame = (np.abs(u - 0.5) < wide / 2 + 0.05) & (np.abs(v - 0.52) < 0.36) & ~window
        window &= up < height - 0.5
        frame &= up < height - 0.5
        # One brightness a window: some show the sky, some a dark room, a few a curtain or a lamp.
        hashed = np.mod(np.abs(np.sin(column * 12.9898 + row * 78.233 + origin) * 43758.5453), 1)
        pane = np.array([0.14, 0.17, 0.21]) + hashed[:, None] * 0.28 * np.asarray(light.haze)
        pane = np.where((hashed > 0.9)[:, None], np.array([0.75, 0.66, 0.48]), pane)
        grain = 0.12 * canvas.noise(along, up, 11.0) + 0.07 * canvas.noise(along * 2, up * 6, 7.0)
        dirt = -0.12 * np.exp(-np.maximum(up, 0) / 1.2)
        cornice = 0.12 * ((up > height - 0.5) | (np.abs(up - storey) < 0.12))
        colour = base * (1 + grain + dirt + cornice)[:, None]
        colour = np.where(frame[:, None], colour * 1.18, colour)
        return np.clip(np.where(window[:, None], pane, colour) * shade, 0, 1)

    def along_street(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        z, up = camera.on_side(x, y, wall)
        return facade(np.clip(z, 0, 2 * _FAR), up, light.side(-sign))

    def towards_camera(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        across, up = camera.on_front(x, y, near)
        return facade(across, up, light.front)

    if pitch:
        slope = [(wall, height, near), (wall, height, far), (wall + sign * 3, height + pitch, far),
                 (wall + sign * 3, height + pitch, near)]  # fmt: skip
        canvas.fill_world(slope, BUILDING, np.clip(roof * light.top, 0, 1), depth=far)
    front = [(wall, 0, near), (back, 0, near), (back, height, near), (wall, height, near)]
    if pitch:
        front.insert(3, (wall + sign * 3, height + pitch, near))
        front.insert(3, (back, height + pitch, near))
    canvas.fill_world(front, BUILDING, towards_camera)
    side = [(wall, 0, near), (wall, 0, far), (wall, height, far), (wall, height, near)]

    def distance(columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        z = camera.on_side(columns.astype(np.float32), rows.astype(np.float32), wall)[0]
        return np.clip(z, near, far) - camera.position

    canvas.fill_world(side, BUILDING, along_street, depth=distance)


def _paint_things(canvas: Canvas, street: Street) -> None:
    """Trees, posts, vehicles and people, far to near."""
    rng = canvas.rng
    things: list[tuple[float, int, Callable[..., None], tuple]] = []

    def add(z: float, paint: Callable[..., None], *arguments: Any) -> None:
        things.append((float(z), len(things), paint, arguments))

    for side, sign in ((0, -1), (1, 1)):
        kerb, inner, wall = street.road[side], street.pavement[side], street.walls[side]
        green = rng.choice([0, 1, 2], p=[0.45, 0.35, 0.2])
        for z in np.arange(rng.uniform(7, 14), 110, rng.uniform(7, 13)):
            if green == 1 or (green == 2 and rng.random() < 0.4):
                place = kerb + sign * 0.8 if rng.random() < 0.7 else (inner + wall) / 2
                add(z + rng.uniform(-1, 1), paint_tree, place, street.foliage * rng.uniform(0.85, 1.15))
        for z in np.arange(rng.uniform(9, 20), 100, rng.uniform(16, 26)):
            add(z, paint_pole, kerb + sign * 0.45, rng.uniform(5.5, 7.5), True)
        for z in rng.uniform(8, 60, rng.integers(0, 4)):
            add(z, paint_sign, kerb + sign * rng.uniform(0.4, 0.9))
        if street.crossing > 0:
            add(street.crossing - 1.2, paint_light, kerb + sign * 0.5)
        parked, z = rng.random() < 0.6, rng.uniform(6, 16)
        while parked and z < 75:
            if rng.random() < 0.75 and abs(z + 2 - street.crossing - 2) > 8:
                add(z, paint_car, kerb - sign * 1.05, bool(sign < 0 and rng.random() < 0.7))
            z += rng.uniform(5.4, 8.5)
        for z in rng.uniform(7, 50, rng.integers(0, 6)):
            add(z, paint_person, rng.uniform(min(kerb + sign * 0.6, inner), max(kerb + sign * 0.6, inner)))
    lanes = [(0.2, False)] + ([(street.road[0] / 2 - 0.6, True)] if street.road[0] < -5 else [])
    for x, towards in lanes:
        z = rng.uniform(9, 30)
        while z < 110:
            paint = paint_truck if rng.random() < 0.12 and z > 14 else paint_car
            add(z, paint, x + rng.uniform(-0.3, 0.3), towards)
            z += rng.uniform(9, 45)
    if rng.random() < 0.4:
        add(rng.uniform(8, 25), paint_cyclist, street.road[1] - rng.uniform(0.6, 1.2))
    if street.crossing > 0:
        for _ in range(rng.integers(0, 4)):
            add(street.crossing - 2.6, paint_person, rng.uniform(*street.road))
    # drawn last, so that streets without them are the same
    for side, sign in ((0, -1), (1, 1)) if street.trees else ():
        for z in np.arange(8.0, 120, _AVENUE):
            if rng.random() < street.trees:
                place, tint = street.road[side] + sign * rng.uniform(0.5, 1.5), rng.uniform(0.85, 1.15)
                add(z + rng.uniform(-2, 2), paint_tree, place, street.foliage * tint, _TALL)
    for z, _, paint, arguments in sorted(things, key=lambda thing: (-thing[0], thing[1])):
        # those that the camera has passed are the nearest, so the others are drawn as before
        if z - canvas.camera.position < _PASSED:
            break
        paint(canvas, arguments[0], z, *arguments[1:])


def _paint_ego(canvas: Canvas) -> None:
    """The bonnet of the camera's own car."""
    width, height = canvas.width, canvas.height

    def colour(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        shine = 0.10 * np.exp(-(((x / width - 0.5) / 0.16) ** 2))
        shine = shine + 0.12 * np.clip(1 - (y / height - 0.90) / 0.10, 0, 1)
        return np.array([0.10, 0.11, 0.13]) + shine[:, None] * np.asarray(canvas.light.haze)

    canvas.ellipse(
        (width / 2, height * 1.08), (0.62 * width, 0.155 * height), EGO_VEHICLE, colour, 1.5, distance=np.inf
    )
