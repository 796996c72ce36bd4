"""Street scenes, drawn: a label map in Cityscapes ids and a picture that follows it."""

import numpy as np

COLOURS = {7: (88, 88, 92), 8: (150, 140, 135), 11: (142, 120, 100), 21: (70, 98, 52)}
COLOURS |= {23: (176, 198, 222), 24: (60, 60, 90), 26: (120, 30, 36)}


def street(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ids, uint8 (H, W), and a picture, uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    horizon, vanishing = rng.uniform(0.4, 0.5), rng.uniform(0.4, 0.6)
    ids = np.where(y > horizon, 8, 23).astype(np.uint8)
    ids[(y > horizon) & (abs(x - vanishing) < 0.05 + 0.8 * (y - horizon))] = 7
    left = 0.0
    while left < 1:
        right = left + rng.uniform(0.06, 0.18)
        if abs((left + right) / 2 - vanishing) > 0.12:
            top = horizon * rng.uniform(0.2, 0.8)
            ids[(x >= left) & (x < right) & (y > top) & (y <= horizon + 0.03)] = rng.choice([11, 11, 21])
        left = right
    for _ in range(rng.integers(1, 5)):
        cx, cy, size = rng.random(), horizon + rng.uniform(0.1, 0.4), rng.uniform(0.04, 0.14)
        ids[(abs(x - cx) < size) & (abs(y - cy) < 0.7 * size)] = 26
    for _ in range(rng.integers(0, 4)):
        ids[(abs(x - rng.random()) < 0.012) & (abs(y - horizon - 0.08) < 0.12)] = 24
    table = np.zeros((256, 3))
    for label, colour in COLOURS.items():
        table[label] = colour
    picture = table[ids] + 20 * np.sin(9 * x)[..., None] + rng.normal(0, 5, (height, width, 1))
    return ids, picture.clip(0, 255).astype(np.uint8)
