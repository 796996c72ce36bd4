"""The objects and vehicles of a procedural street."""

__all__ = [
    "paint_car",
    "paint_cyclist",
    "paint_light",
    "paint_person",
    "paint_pole",
    "paint_sign",
    "paint_tree",
    "paint_truck",
]

import colorsys
from collections.abc import Sequence

import numpy as np

from .canvas import Canvas, Colour, Points

POLE, TRAFFIC_LIGHT, TRAFFIC_SIGN, VEGETATION = 17, 19, 20, 21
PERSON, RIDER, CAR, TRUCK, BUS, BICYCLE = 24, 25, 26, 27, 28, 33

_CAR_COLOURS = (
    (0.72, 0.74, 0.76), (0.12, 0.12, 0.14), (0.90, 0.90, 0.90), (0.55, 0.08, 0.08), (0.10, 0.20, 0.48),
    (0.34, 0.36, 0.38), (0.70, 0.62, 0.45), (0.08, 0.30, 0.20), (0.80, 0.50, 0.10), (0.25, 0.45, 0.62),
)  # fmt: skip
_BUS_COLOURS = ((0.85, 0.75, 0.15), (0.75, 0.12, 0.10), (0.90, 0.90, 0.90))
_CLOTHES = (
    (0.15, 0.17, 0.25), (0.55, 0.12, 0.14), (0.20, 0.35, 0.55), (0.75, 0.72, 0.66), (0.10, 0.10, 0.10),
    (0.30, 0.40, 0.22), (0.78, 0.55, 0.16), (0.45, 0.28, 0.45),
)  # fmt: skip
_SKIN = ((0.85, 0.66, 0.53), (0.62, 0.43, 0.32), (0.40, 0.27, 0.20))

# Rim and face of round, triangular, square and diamond signs.
_SIGN_COLOURS = (
    ((0.80, 0.08, 0.08), (0.95, 0.95, 0.93)),
    ((0.80, 0.08, 0.08), (0.95, 0.95, 0.93)),
    ((0.93, 0.93, 0.93), (0.10, 0.28, 0.66)),
    ((0.95, 0.95, 0.95), (0.95, 0.75, 0.08)),
)
_HAIR = ((0.10, 0.08, 0.06), (0.35, 0.22, 0.10), (0.60, 0.50, 0.30))


def _pick(rng: np.random.Generator, options: Sequence[Sequence[float]], jitter: float = 0.05) -> np.ndarray:
    colour = np.asarray(options[rng.integers(len(options))]) + rng.uniform(-jitter, jitter, 3)
    return np.clip(colour, 0.02, 0.98)


def _vivid(rng: np.random.Generator) -> np.ndarray:
    """Any hue. It takes as many random numbers as :func:`_pick`, so that the rest of the street stays the same."""
    kind, (shift, grey, bright) = rng.integers(len(_CAR_COLOURS)), rng.uniform(0, 1, 3)
    return np.array(colorsys.hsv_to_rgb((kind + shift) / len(_CAR_COLOURS), 0.95 - 0.4 * grey, 0.35 + 0.6 * bright))


def _upright(x0: float, x1: float, y0: float, y1: float, z: float) -> np.ndarray:
    """A rectangle that faces the camera."""
    return np.array([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)])


def _lengthwise(x: float, y0: float, y1: float, z0: float, z1: float) -> np.ndarray:
    """A rectangle that faces left or right."""
    return np.array([(x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)])


def _flat(x0: float, x1: float, y: float, z0: float, z1: float) -> np.ndarray:
    """A rectangle that faces up."""
    return np.array([(x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1)])


def _disc(x: float, y: float, z: float, radius: float) -> np.ndarray:
    """A wheel that faces left or right."""
    angles = np.linspace(0, 2 * np.pi, 17)[:-1]
    return np.stack([np.full(16, x), y + radius * np.sin(angles), z + radius * np.cos(angles)], 1)


def _shadow(canvas: Canvas, left: float, right: float, near: float, far: float, darkness: float = 0.45) -> None:
    margin = 0.12 * (right - left)
    shift = canvas.light.sun * -0.5 * canvas.light.strength
    ground = _flat(left - margin + min(shift, 0), right + margin + max(shift, 0), 0.0, near - margin, far)
    softness = max(0.6, 0.1 * canvas.camera.focal / max(near - canvas.camera.position, 1.0))
    canvas.tint_world(ground, (darkness,) * 3, softness)


def paint_car(canvas: Canvas, x: float, z: float, towards: bool) -> None:
    """A car whose middle is at ``x`` and whose near end is at ``z``; ``towards`` shows its front."""
    rng, light = canvas.rng, canvas.light
    paint = _vivid(rng) if canvas.colourful else _pick(rng, _CAR_COLOURS)
    width, length = rng.uniform(1.7, 1.9), rng.uniform(3.8, 4.8)
    waist, roof, floor = rng.uniform(0.82, 0.95), rng.uniform(1.38, 1.6), 0.22
    left, right, far = x - width / 2, x + width / 2, z + length
    instance = canvas.new_thing(CAR)
    _shadow(canvas, left, right, z, far)
    inner = 0.14 * width
    bonnet = rng.uniform(0.9, 1.3) if towards else rng.uniform(0.15, 0.7)
    boot = rng.uniform(0.2, 0.7) if towards else rng.uniform(0.9, 1.3)
    visible = "right" if x < 0 else "left"
    side = right if visible == "right" else left
    facing = 1.0 if visible == "right" else -1.0

    def fill(points: Points, shade: float) -> None:
        canvas.fill_world(points, CAR, np.clip(paint * shade, 0, 1), instance, z + 0.5 * length)

    fill(_flat(left, right, waist, z, far), light.top)
    low, high = (left + inner * 0.3, right - inner * 0.3), (left + inner, right - inner)
    cabin_near, cabin_far = z + bonnet, far - boot
    top_near, top_far = cabin_near + 0.45, cabin_far - 0.35
    glass = np.array([0.16, 0.20, 0.25]) + 0.10 * np.asarray(light.haze)
    fill(_flat(*high, roof, top_near, top_far), light.top)
    k = 1 if visible == "right" else 0
    window = [(low[k], waist, cabin_near), (high[k], roof, top_near), (high[k], roof, top_far),
              (low[k], waist, cabin_far)]  # fmt: skip
    fill(window, light.side(facing))
    canvas.tint_world(_inset(window, 0.16), glass * light.side(facing))
    screen = [(low[0], waist, cabin_near), (low[1], waist, cabin_near), (high[1], roof, top_near),
              (high[0], roof, top_near)]  # fmt: skip
    fill(screen, light.front)
    canvas.tint_world(_inset(screen, 0.1), glass * (1.25 if towards else 1.0))
    fill(_lengthwise(side, floor, waist, z, far), light.side(facing))
    for at in (z + 0.18 * length, z + 0.80 * length):
        canvas.fill_world(_disc(side, 0.32, at, 0.32), CAR, (0.07, 0.07, 0.08), instance)
        canvas.tint_world(_disc(side, 0.32, at, 0.16), (0.45, 0.46, 0.48))
    fill(_upright(left, right, floor, waist, z), light.front)
    _car_face(canvas, left, right, floor, waist, z, towards)


def _car_face(canvas: Canvas, left: float, right: float, floor: float, waist: float, z: float, towards: bool) -> None:
    width, height = right - left, waist - floor

    def patch(x0: float, x1: float, y0: float, y1: float, colour: Colour) -> None:
        rectangle = left + x0 * width, left + x1 * width, floor + y0 * height, floor + y1 * height
        canvas.tint_world(_upright(*rectangle, z), colour)

    patch(0.0, 1.0, -0.12, 0.16, (0.10, 0.10, 0.11))
    lamp = (0.95, 0.95, 0.85) if towards else (0.75, 0.05, 0.05)
    patch(0.04, 0.20, 0.60, 0.82, lamp)
    patch(0.80, 0.96, 0.60, 0.82, lamp)
    if towards:
        patch(0.25, 0.75, 0.50, 0.75, (0.13, 0.13, 0.14))
    patch(0.36, 0.64, 0.24, 0.42, (0.92, 0.92, 0.88))


def _inset(points: Points, share: float) -> np.ndarray:
    points = np.asarray(points, np.float64)
    return points + (points.mean(0) - points) * share


def paint_truck(canvas: Canvas, x: float, z: float, towards: bool) -> None:
    """A truck or a bus whose near end is at ``z``."""
    rng, light = canvas.rng, canvas.light
    label = (TRUCK, BUS)[int(rng.integers(2))]
    paint = _pick(rng, _CAR_COLOURS if label == TRUCK else _BUS_COLOURS)
    width, length, roof = 2.5, rng.uniform(7, 11), rng.uniform(3.0, 3.4)
    left, right, far = x - width / 2, x + width / 2, z + length
    instance = canvas.new_thing(label)
    _shadow(canvas, left, right, z, far)
    side, facing = (right, 1.0) if x < 0 else (left, -1.0)
    for face, shade in (
        (_lengthwise(side, 0.35, roof, z, far), light.side(facing)),
        (_upright(left, right, 0.35, roof, z), light.front),
    ):
        canvas.fill_world(face, label, np.clip(paint * shade, 0, 1), instance, z + 2)
    glass = (0.15, 0.19, 0.24)
    if label == BUS:
        for start in np.arange(z + 0.6, far - 1.2, 1.5):
            canvas.tint_world(_lengthwise(side, 1.5, 2.6, start, start + 1.2), glass)
    for at in (z + 1.2, far - 1.6):
        canvas.fill_world(_disc(side, 0.48, at, 0.48), label, (0.07, 0.07, 0.08), instance)
    if towards or label == BUS:
        canvas.tint_world(_upright(left + 0.2, right - 0.2, 1.4, 2.7, z), glass)
    lamp = (0.95, 0.95, 0.85) if towards else (0.75, 0.05, 0.05)
    for start in (left + 0.1, right - 0.5):
        canvas.tint_world(_upright(start, start + 0.4, 0.6, 0.85, z), lamp)


def paint_person(canvas: Canvas, x: float, z: float) -> None:
    """A pedestrian who stands at ``x``, ``z``."""
    rng = canvas.rng
    height = rng.uniform(1.55, 1.9)
    _shadow(canvas, x - 0.25, x + 0.25, z, z + 0.4, 0.6)
    _figure(canvas, x, z, 0.0, height, PERSON, canvas.new_thing(PERSON), stride=rng.uniform(0.03, 0.22))


def _figure(
    canvas: Canvas, x: float, z: float, base: float, height: float, label: int, instance: int, stride: float
) -> None:
    rng, front = canvas.rng, canvas.light.front
    shirt, trousers = _pick(rng, _CLOTHES) * front, _pick(rng, _CLOTHES[:5]) * front
    skin = _pick(rng, _SKIN, 0.03) * front
    hip, shoulder = base + 0.48 * height, base + 0.82 * height
    wide = 0.13 * height

    def part(corners: Sequence[tuple[float, float]], colour: Colour) -> None:
        canvas.fill_world([(x + dx, y, z) for dx, y in corners], label, colour, instance, z)

    for sign in (-1, 1):
        leg = [(0.02, hip), (0.1, hip), (stride + 0.1, base), (stride - 0.01, base)]
        swing = wide + stride / 3
        arm = [(wide, shoulder), (wide + 0.09, shoulder - 0.06), (swing + 0.1, hip), (swing + 0.01, hip)]
        part([(sign * dx, y) for dx, y in leg], trousers)
        part([(sign * dx, y) for dx, y in arm], shirt * 0.85)
    part([(-wide, hip - 0.02), (wide, hip - 0.02), (wide * 1.15, shoulder), (0.05, shoulder + 0.05),
          (-0.05, shoulder + 0.05), (-wide * 1.15, shoulder)], shirt)  # fmt: skip
    head = canvas.camera.project(np.array([[x, base + 0.93 * height, z]]))[0]
    distance = float(canvas.camera.distance(z))
    size = canvas.camera.focal * 0.075 * height / distance
    canvas.ellipse(head, (size * 0.8, size), label, skin, distance, instance)
    hair = np.array([(-0.8, -0.1), (-0.5, -0.95), (0.5, -0.95), (0.8, -0.1)]) * size + head
    canvas.tint(hair, _pick(rng, _HAIR) * front)


def paint_cyclist(canvas: Canvas, x: float, z: float) -> None:
    """A bicycle seen from its end, with a rider."""
    bicycle = canvas.new_thing(BICYCLE)
    _shadow(canvas, x - 0.2, x + 0.2, z, z + 1.5, 0.6)
    _figure(canvas, x, z + 0.3, 0.35, 1.4, RIDER, canvas.new_thing(RIDER), stride=0.04)
    metal = _pick(canvas.rng, ((0.12, 0.12, 0.13), (0.6, 0.1, 0.1), (0.2, 0.3, 0.6)))
    for x0, x1, y0, y1 in ((-0.035, 0.035, 0.0, 0.68), (-0.3, 0.3, 0.98, 1.06), (-0.05, 0.05, 0.62, 1.0)):
        colour = metal if y0 else (0.06, 0.06, 0.06)
        canvas.fill_world(_upright(x + x0, x + x1, y0, y1, z), BICYCLE, colour, bicycle, z)


def paint_pole(canvas: Canvas, x: float, z: float, height: float, lamp: bool) -> None:
    """A post, with a street lamp that reaches over the road if ``lamp``."""
    grey = np.array([0.38, 0.39, 0.40]) * canvas.light.front
    canvas.fill_world(_upright(x - 0.07, x + 0.07, 0, height, z), POLE, grey)
    if lamp:
        reach = 1.6 if x < 0 else -1.6
        arm = [
            (x, height - 0.12, z),
            (x, height, z),
            (x + reach, height + 0.25, z),
            (x + reach, height + 0.1, z),
        ]
        canvas.fill_world(arm, POLE, grey)
        head = [(x + reach * 0.8, height + 0.05, z), (x + reach * 1.3, height + 0.15, z),
                (x + reach * 1.3, height + 0.3, z), (x + reach * 0.8, height + 0.3, z)]  # fmt: skip
        canvas.fill_world(head, POLE, grey * 1.5)


def paint_sign(canvas: Canvas, x: float, z: float) -> None:
    """A traffic sign on a post: round, triangular, square or a priority diamond."""
    rng = canvas.rng
    height = rng.uniform(2.3, 2.9)
    paint_pole(canvas, x, z, height, lamp=False)
    kind = int(rng.integers(4))
    sides, turn = ((20, 0.0), (3, np.pi / 2), (4, np.pi / 4), (4, 0.0))[kind]
    angles = np.arange(sides) * 2 * np.pi / sides + turn
    circle = np.stack([np.cos(angles), np.sin(angles), np.zeros(sides)], 1)
    rim, face = _SIGN_COLOURS[kind]
    centre = np.array([x, height, z - 0.05])
    canvas.fill_world(circle * 0.42 + centre, TRAFFIC_SIGN, rim)
    canvas.tint_world(circle * 0.29 + centre, face)


def paint_light(canvas: Canvas, x: float, z: float) -> None:
    """A traffic light with one lamp on."""
    paint_pole(canvas, x, z, 3.4, lamp=False)
    canvas.fill_world(_upright(x - 0.2, x + 0.2, 2.6, 3.6, z - 0.05), TRAFFIC_LIGHT, (0.06, 0.07, 0.06))
    lit = int(canvas.rng.integers(3))
    for k, colour in enumerate(((0.15, 0.95, 0.45), (1.0, 0.75, 0.1), (1.0, 0.12, 0.1))):
        centre = canvas.camera.project(np.array([[x, 2.78 + 0.32 * k, z - 0.05]]))[0]
        radius = canvas.camera.focal * 0.12 / float(canvas.camera.distance(z))
        angles = np.linspace(0, 2 * np.pi, 13)[:-1]
        disc = np.stack([np.cos(angles), np.sin(angles)], 1) * radius + centre
        canvas.tint(disc, colour if k == lit else np.asarray(colour) * 0.22)


def paint_tree(canvas: Canvas, x: float, z: float, foliage: np.ndarray, size: float = 1.0) -> None:
    """A tree with a noisy crown of colour ``foliage``, ``size`` times as large as usual."""
    rng, light = canvas.rng, canvas.light
    height, radius = rng.uniform(5, 9) * size, rng.uniform(1.5, 2.8) * size
    bark = np.array([0.27, 0.21, 0.16]) * light.front
    canvas.fill_world(_upright(x - 0.14, x + 0.14, 0, height, z), VEGETATION, bark)
    angles = np.linspace(0, 2 * np.pi, 49)[:-1]
    ripple = sum(rng.uniform(0.04, 0.12) * np.sin(k * angles + rng.uniform(0, 6.28)) for k in (2, 3, 5, 9, 14))
    crown = np.stack([np.cos(angles) * radius * (1 + ripple) + x,
                      np.sin(angles) * radius * 1.15 * (1 + ripple) + height, np.full(48, z)], 1)  # fmt: skip
    shift = rng.uniform(0, 50)

    def leaves(columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        u, v = canvas.camera.on_front(columns, rows, z)
        clumps = canvas.noise(u + shift, v, 5.0) + 0.6 * canvas.noise(u, v + shift, 1.6)
        lit = 0.75 + 0.16 * np.clip((v - height) / radius + 0.6 * light.sun * (u - x) / radius, -1.2, 1.2)
        return np.clip(foliage * (lit + 0.38 * clumps)[:, None], 0.01, 1)

    canvas.fill_world(crown, VEGETATION, leaves)
