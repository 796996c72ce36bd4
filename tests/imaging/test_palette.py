"""Label colours against the published Cityscapes and PASCAL VOC values."""

import numpy as np
import pytest

from src.imaging.palette import CITYSCAPES, IGNORED, bit_palette, colour_labels, colour_table, to_train_ids
from src.utils.errors import UserError

SCORED = [
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation",
    "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
]  # fmt: skip


def test_cityscapes_has_35_rows_with_the_published_colours():
    assert len(CITYSCAPES) == 35
    table = colour_table(35)
    published = {
        7: (128, 64, 128),
        8: (244, 35, 232),
        11: (70, 70, 70),
        21: (107, 142, 35),
        23: (70, 130, 180),
    }
    published |= {24: (220, 20, 60), 26: (0, 0, 142), 31: (0, 80, 100), 33: (119, 11, 32), 34: (0, 0, 142)}
    assert {i: tuple(int(c) for c in table[i]) for i in published} == published


def test_train_ids_name_the_19_scored_classes_in_order():
    named = {row.train_id: row.name for row in CITYSCAPES if row.train_id != IGNORED}
    assert [named[i] for i in range(19)] == SCORED
    assert to_train_ids(np.array([[0, 7], [33, 34]])).tolist() == [[255, 0], [18, 255]]
    assert to_train_ids(np.array([-1, 255, 1000])).tolist() == [255, 255, 255]


def test_bit_palette_starts_like_pascal_voc():
    voc = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128)]
    voc += [(128, 128, 128), (64, 0, 0), (192, 0, 0)]
    assert [tuple(int(c) for c in row) for row in bit_palette(10)] == voc
    assert len(np.unique(bit_palette(256), axis=0)) == 256


@pytest.mark.parametrize("label_nc", [1, 19, 35, 256])
def test_every_id_gets_its_row_of_the_table(label_nc):
    ids = np.arange(label_nc, dtype=np.int32).reshape(1, -1)
    image = colour_labels(ids, label_nc)
    assert image.dtype == np.uint8 and image.shape == (1, label_nc, 3)
    assert np.array_equal(image[0], colour_table(label_nc))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint16, np.int64])
def test_ids_outside_the_table_are_black(dtype):
    outside = [255] if np.dtype(dtype).kind == "u" else [255, -1]
    image = colour_labels(np.array([[*outside, 26]], dtype), 35)
    assert image[0, :-1].max() == 0 and tuple(image[0, -1]) == (0, 0, 142)


def test_the_shared_table_cannot_be_changed():
    with pytest.raises(ValueError):
        colour_table(35)[0] = 1


@pytest.mark.parametrize(
    "ids, label_nc", [(np.zeros((2, 2)), 35), (np.zeros((1, 2, 2), int), 35), (np.zeros((2, 2), int), 0)]
)
def test_wrong_input_is_named(ids, label_nc):
    with pytest.raises(UserError):
        colour_labels(ids, label_nc)
