"""Real patches that resemble those of an image, by their features."""

import numpy as np
import pytest
from PIL import Image

from data import match_patches
from src.imaging.images import read_image
from src.utils.errors import UserError

NOISE = np.random.default_rng(7)


def texture(seed, side=32):
    """A square of one colour with some noise; equal seeds look alike."""
    colour = np.random.default_rng(seed).integers(40, 216, 3)
    noise = NOISE.integers(-12, 13, (side, side, 3))
    return np.clip(colour + noise, 0, 255).astype(np.uint8)


def save(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate([np.concatenate(row, 1) for row in rows], 0)).save(path)


def test_patches_are_replaced_by_the_real_ones_that_look_like_them(tmp_path):
    save(tmp_path / "pairs" / "train_B" / "a.png", [[texture(0), texture(1), texture(2)], [texture(3)] * 3])
    save(tmp_path / "real" / "x.png", [[texture(2, 48), texture(3, 48), texture(4, 48)]] * 2)
    save(tmp_path / "real" / "y.png", [[texture(0, 32), texture(1, 32), texture(5, 32)]] * 2)
    command = [str(tmp_path / "pairs"), str(tmp_path / "real"), "--grid", "2x3"]
    assert match_patches.main(command) == 0
    made = match_patches.patches(read_image(tmp_path / "pairs" / "train_real_2x3" / "a.png"), (2, 3))
    x, y = (match_patches.patches(read_image(tmp_path / "real" / f"{name}.png"), (2, 3)) for name in "xy")
    x = [match_patches.resized(patch, (32, 32)) for patch in x]
    # patches of one colour are alike up to their noise
    for got, choices in zip(made, [y[::3], y[1::3], x[::3], *[x[1::3]] * 3], strict=True):
        assert any((got == choice).all() for choice in choices)
    with pytest.raises(UserError, match="train_real_2x3 exists and nothing is overwritten"):
        match_patches.main(command)


@pytest.mark.parametrize(
    "grid, message", [("0x3", "--grid 0x3 is no grid"), ("2x9", "into patches of 7x32, and a side needs 16")]
)
def test_grids_that_do_not_fit_are_explained(tmp_path, grid, message):
    for name in ("pairs/train_B", "real"):
        save(tmp_path / name / "a.png", [[texture(0, 64)]])
    with pytest.raises(UserError, match=message):
        match_patches.main([str(tmp_path / "pairs"), str(tmp_path / "real"), "--grid", grid])
