"""Paired samples: columns, checks, one crop and flip for all, instance ids."""

import numpy as np
import pytest
from PIL import Image

from src.utils.errors import UserError
from tests.dataset.samples import arrays, digest_of, reader, save, write_dataset


def test_training_columns_shapes_and_ranges(tmp_path):
    made = reader(write_dataset(tmp_path, 2))
    assert made.columns == ("label", "inst", "image")
    sample = made.sample(made.load(0), np.random.default_rng(0))
    assert {name: (array.shape, array.dtype) for name, array in sample.items()} == {
        "label": ((1, 16, 32), np.int32),
        "inst": ((1, 16, 32), np.int32),
        "image": ((3, 16, 32), np.float32),
    }
    assert -1 <= sample["image"].min() < -0.5 and 0.5 < sample["image"].max() <= 1


def test_stored_arrays_are_the_resized_files(tmp_path):
    loaded = reader(write_dataset(tmp_path, 1)).load(0)
    source = arrays(0)
    for name, key, method in (("label", "label", 0), ("inst", "inst", 0), ("image", "img", 3)):
        picture = Image.fromarray(source[key].astype(np.int32) if name == "inst" else source[key])
        np.testing.assert_array_equal(loaded[name], np.asarray(picture.resize((32, 16), method)), err_msg=name)
    assert loaded["inst"].dtype == np.uint16 and loaded["inst"].max() >= 26000


def test_one_crop_and_flip_for_all_columns(tmp_path):
    x, y = np.meshgrid(np.arange(64, dtype=np.uint8), np.arange(32, dtype=np.uint8))
    save(tmp_path / "train_label" / "a.png", x)
    save(tmp_path / "train_inst" / "a.png", x.astype(np.uint16) * 1000)
    save(tmp_path / "train_img" / "a.png", np.dstack([x, y, x]))
    save(tmp_path / "train_feat" / "a.png", np.dstack([x, y, x]))
    made = reader(tmp_path, resize_or_crop="crop", label_nc=64, max_instances=64, feature_channels=3)
    seen = set()
    for k in range(40):
        sample = made.sample(made.load(0), np.random.default_rng(k))
        label = sample["label"][0]
        assert label.shape == (16, 16)
        for name in ("image", "feat"):
            picture = np.rint((sample[name] + 1) * 127.5).astype(int)
            np.testing.assert_array_equal(picture[0], label, err_msg=name)
            assert (np.diff(picture[1], axis=0) == 1).all()
        # Relabelled in ascending order of the ids, which are 1000 times the column here.
        np.testing.assert_array_equal(sample["inst"][0], label - label.min())
        seen.add((int(label.min()), bool(label[0, 0] > label[0, 1])))
    assert {flip for _, flip in seen} == {True, False} and len({left for left, _ in seen}) > 10


def test_no_flip_and_evaluation_do_not_flip(tmp_path):
    write_dataset(tmp_path, 1)
    made = reader(tmp_path, no_flip=True)
    plain = made.sample(made.load(0), None)
    for k in range(8):
        again = made.sample(made.load(0), np.random.default_rng(k))
        np.testing.assert_array_equal(again["label"], plain["label"])


def test_instances_are_relabelled_in_order_with_their_ids(tmp_path):
    made = reader(write_dataset(tmp_path, 1), training=False)
    loaded = made.load(0)
    sample = made.sample(loaded, None)
    ids, expected = np.unique(loaded["inst"], return_inverse=True)
    np.testing.assert_array_equal(sample["inst"][0], expected.reshape(loaded["inst"].shape))
    assert sample["inst_id"].shape == (32,)
    np.testing.assert_array_equal(sample["inst_id"][: len(ids)], ids)
    assert (sample["inst_id"][len(ids) :] == -1).all()


def test_images_to_images(tmp_path):
    images = {"label_nc": 0, "instances": False, "input_channels": 1, "output_channels": 4}
    rng = np.random.default_rng(0)
    grey, colour = rng.integers(0, 256, (32, 64), dtype=np.uint8), rng.integers(0, 256, (32, 64, 4), dtype=np.uint8)
    save(tmp_path / "train_A" / "a.png", grey)
    save(tmp_path / "train_B" / "a.png", colour)
    made = reader(tmp_path, **images, resize_or_crop="none", no_flip=True)
    assert made.columns == ("label", "image")
    sample = made.sample(made.load(0), np.random.default_rng(0))
    assert sample["label"].shape == (1, 32, 64) and sample["label"].dtype == np.float32
    np.testing.assert_allclose(sample["label"][0], grey / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(sample["image"], colour.transpose(2, 0, 1) / 127.5 - 1, atol=1e-6)
    assert reader(tmp_path, **images, load_size=32).load(0)["label"].shape == (16, 32)


@pytest.mark.parametrize(
    ("phase", "root", "words"),
    [
        ("val", "", "val_label does not exist.*--phase"),
        ("train", "nowhere", "nowhere does not exist.*create_street_scenes.py"),
    ],
)
def test_missing_folders(tmp_path, phase, root, words):
    with pytest.raises(UserError, match=words):
        reader(write_dataset(tmp_path, 1) / root, phase=phase)
    with pytest.raises(UserError, match="train_feat does not exist: compute it"):
        reader(tmp_path, feature_channels=3, ways_out={"feat": "compute it"})


def test_photos_are_optional_in_evaluation(tmp_path):
    write_dataset(tmp_path, 2, "test")
    assert reader(tmp_path, False, "test").columns == ("label", "inst", "image", "inst_id")
    next((tmp_path / "test_img").iterdir()).unlink()
    assert reader(tmp_path, False, "test").columns == ("label", "inst", "inst_id")
    with pytest.raises(UserError, match="test_img lacks 1"):
        reader(tmp_path, False, "test", needs_image=True)
    assert reader(tmp_path, False, "test", instances=False).columns == ("label",)


@pytest.mark.parametrize("value", [35, 200, 255])
def test_labels_out_of_range_name_the_file_and_the_value(tmp_path, value):
    label = arrays(0)["label"]
    label[3, 3] = value
    write_dataset(tmp_path, 1)
    save(tmp_path / "train_label" / "city_000000_000019_gtFine_labelIds.png", label)
    with pytest.raises(UserError, match=f"label {value} in .*city_000000.* label_nc 35.*--label_nc {value + 1}"):
        reader(tmp_path).load(0)
    with pytest.raises(UserError, match=f"label {value}"):
        reader(tmp_path, False).inspect(0)
    assert reader(tmp_path, label_nc=value + 1).load(0)["label"].max() <= value


def test_too_many_instances_name_the_file(tmp_path):
    write_dataset(tmp_path, 1)
    with pytest.raises(UserError, match=r"instanceIds.png holds \d+ instances.*max_instances 3.*--max_instances"):
        reader(tmp_path, max_instances=3).load(0)
    with pytest.raises(UserError, match="max_instances 3"):
        reader(tmp_path, False, max_instances=3).inspect(0)


def test_eight_bit_instances_need_permission(tmp_path):
    write_dataset(tmp_path, 1)
    save(tmp_path / "train_inst" / "city_000000_000019_gtFine_instanceIds.png", arrays(0)["label"])
    with pytest.raises(UserError, match="8 bits"):
        reader(tmp_path).load(0)
    assert reader(tmp_path, allow_8bit_instances=True).load(0)["inst"].dtype == np.uint16


def test_files_of_one_sample_must_agree_in_shape(tmp_path):
    write_dataset(tmp_path, 1)
    save(tmp_path / "train_img" / "city_000000_000019_leftImg8bit.png", np.zeros((40, 64, 3), np.uint8))
    with pytest.raises(UserError, match="leftImg8bit.png .64x40. becomes 32x20.*one shape"):
        reader(tmp_path).load(0)
    # Half the resolution and the same shape is fine: both are scaled to one width.
    save(tmp_path / "train_img" / "city_000000_000019_leftImg8bit.png", np.zeros((64, 128, 3), np.uint8))
    assert reader(tmp_path).load(0)["image"].shape == (16, 32, 3)


def test_feature_maps_of_another_resolution_follow_the_label_map(tmp_path):
    write_dataset(tmp_path, 1)
    feat = np.random.default_rng(0).integers(0, 256, (16, 32, 3), dtype=np.uint8)
    save(tmp_path / "train_feat" / "city_000000_000019_gtFine_labelIds.png", feat)
    made = reader(tmp_path, feature_channels=3, resize_or_crop="none")
    np.testing.assert_array_equal(made.load(0)["feat"], feat.repeat(2, axis=0).repeat(2, axis=1))


def test_training_sizes_must_fit_the_network_and_evaluation_takes_any(tmp_path):
    write_dataset(tmp_path, 1)
    with pytest.raises(UserError, match="stride 8.*--resize_or_crop none"):
        reader(tmp_path, load_size=40, stride=8).load(0)
    assert reader(tmp_path, False, load_size=40, stride=8).load(0)["label"].shape == (20, 40)
    odd = tmp_path / "odd"
    write_dataset(odd, 1, width=56, height=20)
    assert reader(odd, True, resize_or_crop="none", stride=16).load(0)["label"].shape == (16, 64)
    assert reader(odd, False, resize_or_crop="none", stride=16).load(0)["label"].shape == (20, 56)


def test_max_dataset_size_takes_the_first(tmp_path):
    write_dataset(tmp_path, 4)
    assert [row.stem[5:11] for row in reader(tmp_path, max_dataset_size=2).rows] == ["000000", "000001"]
    assert len(reader(tmp_path, max_dataset_size=9).rows) == 4


def test_samples_are_those_of_earlier_versions(tmp_path):
    """The digest was computed by version 1."""
    assert digest_of(reader(write_dataset(tmp_path, 2), resize_or_crop="crop")) == "b93a26e570a26599"
