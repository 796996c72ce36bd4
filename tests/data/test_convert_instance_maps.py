"""Coloured instance maps become 16-bit ids, as the message about them says."""

import re
import shlex

import numpy as np
import pytest
from PIL import Image

from data import convert_instance_maps
from src.imaging.images import read_instances
from src.utils.errors import UserError


def save(path, ids):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack([ids % 256, ids // 256 % 256, ids // 65536], 2).astype(np.uint8)).save(path)


def test_the_advice_for_coloured_maps_works(tmp_path):
    small = np.array([[0, 7, 26001], [26001, 300, 65535]])
    large = np.array([[0, 4_000_000, 70_000], [70_000, 16_777_215, 5]])
    folder = tmp_path / "a set" / "train_inst"
    save(folder / "city" / "small.png", small)
    save(folder / "large.png", large)
    with pytest.raises(UserError, match="large.png is a colour image") as caught:
        read_instances(folder / "large.png")
    command = re.search(r"python data/convert_instance_maps.py (.*) NEW_FOLDER, and", str(caught.value))
    new = tmp_path / "new"
    assert convert_instance_maps.main([*shlex.split(command[1]), str(new)]) == 0
    np.testing.assert_array_equal(read_instances(new / "city" / "small.png"), small)
    np.testing.assert_array_equal(read_instances(new / "large.png"), [[0, 3, 2], [2, 4, 1]])
    with pytest.raises(UserError, match="new exists, and nothing is overwritten"):
        convert_instance_maps.main([str(folder), str(new)])


def test_maps_that_cannot_be_converted_leave_nothing_behind(tmp_path):
    save(tmp_path / "in" / "a.png", np.array([[1, 2]]))
    Image.new("RGB", (4, 4)).save(tmp_path / "in" / "b.jpg")
    with pytest.raises(UserError, match="b.jpg is a JPEG"):
        convert_instance_maps.main([str(tmp_path / "in"), str(tmp_path / "out")])
    (tmp_path / "in" / "b.jpg").rename(tmp_path / "in" / "b.png")
    save(tmp_path / "in" / "a.bmp", np.array([[1, 2]]))
    with pytest.raises(UserError, match="a.png has the name of another map but for its suffix"):
        convert_instance_maps.main([str(tmp_path / "in"), str(tmp_path / "out")])
    with pytest.raises(UserError, match="empty does not exist"):
        convert_instance_maps.main([str(tmp_path / "empty"), str(tmp_path / "out")])
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
