"""Resizing against Pillow's own."""

import numpy as np
import pytest
from PIL import Image

from src.dataset.transforms import resize_ids, resize_photo


@pytest.mark.parametrize("size", [(10, 7), (64, 33), (31, 90)])
def test_resizing_is_pillows(size):
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(resize_photo(photo, size), expected)
    for channels in (1, 4):
        many = np.dstack([photo, photo])[:, :, :channels]
        grey = np.asarray(Image.fromarray(photo[:, :, 0]).resize(size, Image.Resampling.BICUBIC))
        resized = resize_photo(many, size)
        assert resized.shape == (size[1], size[0], channels)
        np.testing.assert_array_equal(resized[:, :, 0], grey)
    np.testing.assert_array_equal(resize_photo(photo[:, :, 0], size), grey)
    ids = rng.integers(0, 65536, (40, 30)).astype(np.uint16)
    expected = np.asarray(Image.fromarray(ids.astype(np.int32)).resize(size, Image.Resampling.NEAREST))
    resized = resize_ids(ids, size)
    assert resized.dtype == np.uint16
    np.testing.assert_array_equal(resized, expected)
    np.testing.assert_array_equal(resize_ids(np.dstack([ids, ids]), size)[:, :, 1], expected)
