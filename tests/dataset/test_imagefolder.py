"""Square pictures from folders: phases, fits, flips, records, and bad input."""

import numpy as np
import pytest
from PIL import Image

from src.dataset.imagefolder import IMAGES, ImagesRequest, image_rows, to_square
from src.utils.errors import UserError
from tests.dataset.samples import options_of


def options(root, **changes):
    return options_of("hflow", root, **{"held_out": 3, "batch_size": 2, "seed": 0, "num_workers": 1} | changes)


def opened(config, phase):
    return IMAGES.open(ImagesRequest(16), config, phase)


def write(path, size=(16, 16), seed=0, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"RGB": 3, "RGBA": 4}.get(mode)
    shape = (size[1], size[0], channels) if channels else (size[1], size[0])
    values = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    Image.fromarray(values, mode).save(path)
    return values


@pytest.fixture
def folder(tmp_path):
    for i in range(10):
        write(tmp_path / "set" / f"part{i % 2}" / f"{i}.png", seed=i)
    return tmp_path / "set"


def test_phases_share_the_pictures_and_the_last_are_held_out(folder):
    train, test = (image_rows(folder, phase, 3) for phase in ("train", "test"))
    assert len(train) == 7 and len(test) == 3
    assert [row.stem for row in test] == ["part1_5", "part1_7", "part1_9"]
    assert not {row.stem for row in train} & {row.stem for row in test}
    assert len(image_rows(folder, "train", 0)) == 10 and len(image_rows(folder, "test", 0)) == 10


def test_evaluation_needs_nothing_left_for_training(tmp_path):
    write(tmp_path / "a.png")
    assert [row.stem for row in image_rows(tmp_path, "test", 2)] == ["a"]
    # the advice works
    with pytest.raises(UserError, match="pass a smaller --held_out, such as 0"):
        image_rows(tmp_path, "train", 1)
    assert len(image_rows(tmp_path, "train", 0)) == 1
    write(tmp_path / "b.png")
    with pytest.raises(UserError, match="such as 1"):
        image_rows(tmp_path, "train", 2)
    assert len(image_rows(tmp_path, "train", 1)) == 1


def test_a_folder_of_the_phase_is_the_phase(tmp_path):
    for i in range(4):
        write(tmp_path / "train_img" / f"{i}.png", seed=i)
    write(tmp_path / "test_img" / "9.png")
    assert len(image_rows(tmp_path, "train", 3)) == 4
    assert [row.stem for row in image_rows(tmp_path, "test", 3)] == ["9"]


def test_fits():
    wide = np.zeros((10, 20, 3), np.uint8)
    wide[:, :5] = 255
    assert to_square(wide, 10, "squash")[:, 0].min() > 240
    cropped = to_square(wide, 10, "crop")
    np.testing.assert_array_equal(cropped, wide[:, 5:15])
    assert to_square(np.zeros((7, 3, 3), np.uint8), 16, "crop").shape == (16, 16, 3)
    resized = np.asarray(Image.fromarray(wide).resize((8, 8), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(to_square(wide, 8, "squash"), resized)


def test_training_reads_records_and_mirrors(folder):
    data = opened(options(folder), "train")
    assert (data.num_samples, data.steps_per_epoch) == (7, 3)
    mirrored = 0
    for epoch, batches in data.epochs(4):
        seen = []
        for batch in batches:
            assert batch["image"].shape == (2, 3, 16, 16) and batch["image"].dtype == np.float32
            for index, image in zip(batch["id"], batch["image"], strict=True):
                seen.append(int(index))
                source = np.asarray(Image.open(data.files(index)["image"])).transpose(2, 0, 1) / 127.5 - 1
                flipped = np.abs(image - source).max() > 1e-6
                np.testing.assert_allclose(image[:, :, ::-1] if flipped else image, source, atol=1e-6)
                mirrored += flipped
        assert len(set(seen)) == 6, epoch
    assert 4 < mirrored < 20


def test_evaluation_reads_each_file_once_and_whole(folder):
    data = opened(options(folder), "test")
    batches = [batch for _, epoch in data.epochs(1) for batch in epoch]
    assert [data.name(int(batch["id"][0])) for batch in batches] == ["part1_5", "part1_7", "part1_9"]
    values = np.asarray(Image.open(folder / "part1" / "7.png")).transpose(2, 0, 1)
    np.testing.assert_allclose(batches[1]["image"][0], values / 127.5 - 1, atol=1e-6)


def test_other_kinds_of_pictures_are_converted(tmp_path):
    write(tmp_path / "a.png", (20, 10), mode="L")
    write(tmp_path / "b.png", (16, 16), mode="RGBA")
    Image.fromarray(np.full((16, 16), 40000, np.uint16)).save(tmp_path / "c.png")
    data = opened(options(tmp_path, held_out=0), "test")
    images = [batch["image"][0] for _, epoch in data.epochs(1) for batch in epoch]
    assert all(image.shape == (3, 16, 16) for image in images)
    np.testing.assert_allclose(images[2], 2 * 40000 / 65535 - 1, atol=5e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data_root": "nowhere"}, "nowhere does not exist"),
        ({"held_out": 10}, "held_out 10 leaves nothing"),
        ({"batch_size": 8}, "fewer than one batch"),
    ],
)
def test_bad_options(folder, changes, message):
    with pytest.raises(UserError, match=message):
        opened(options(folder, **changes), "train")


def test_a_folder_without_pictures(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(UserError, match="holds no images"):
        opened(options(tmp_path), "train")


def test_a_damaged_picture_is_named(folder):
    path = folder / "part0" / "2.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match="2.png is damaged"):
        opened(options(folder), "train")


def test_equal_names_are_told_apart(tmp_path):
    for name in ("a/x.png", "a/x.jpg", "a_y.png", "a/y.png", "shot.0001.png", "b/c_leftImg8bit.png"):
        write(tmp_path / name)
    names = [row.stem for row in image_rows(tmp_path, "train", 0)]
    assert names == ["a_x_jpg", "a_x_png", "a_y_png", "a_y_png_2", "b_c_leftImg8bit", "shot.0001"]


def test_folders_behind_links_are_read(folder, tmp_path):
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    write(tmp_path / "elsewhere" / "z.webp")
    assert len(image_rows(folder, "train", 0)) == 11
