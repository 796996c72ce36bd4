"""Conditions and pictures from every layout: what is paired with what, in which direction, and what is
refused."""

import gzip
import struct

import numpy as np
import pytest
from PIL import Image

from src.dataset.conditional import CONDITIONAL, ConditionalReader, ConditionalRequest
from src.dataset.id_maps import edges
from src.dataset.idx import read_idx
from src.imaging.palette import CITYSCAPES, colour_labels
from src.utils.errors import UserError
from tests.dataset.samples import options_of, save

OPTIONS = {"dataset": "cityscapes", "num_workers": 2, "batch_size": 2, "seed": 0, "serial_batches": True}


def reader(root, **changes):
    return ConditionalReader(*asked(root, **changes), "train")


def opened(root, phase="train", **changes):
    return CONDITIONAL.open(*asked(root, **changes), phase)


def asked(root, **changes):
    """The request of a tiny network and options of a run on ``root``; ``changes`` are fields or options."""
    fields = {"size", "condition_channels", "image_channels", "boundary"} & changes.keys()
    request = {"size": (16, 32)} | {name: changes.pop(name) for name in fields}
    return ConditionalRequest(**request), options_of("fullglow", root, **OPTIONS | changes)


def ids_of(index, height=32, width=64):
    rng = np.random.default_rng(index)
    return np.kron(rng.integers(7, 34, (height // 8, width // 8)), np.ones((8, 8))).astype(np.uint8)


def photo_of(index, height=32, width=64):
    return np.random.default_rng(100 + index).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.fixture
def cityscapes(tmp_path):
    for index, (city, phase) in enumerate([("ulm", "train"), ("bonn", "train"), ("jena", "val")]):
        stem = f"{city}_000000_{index:06d}"
        ids, colour = ids_of(index), colour_labels(ids_of(index), 35)
        alpha = np.full((*ids.shape, 1), 255, np.uint8)
        gt, photos = tmp_path / "gtFine" / phase / city, tmp_path / "leftImg8bit" / phase / city
        save(gt / f"{stem}_gtFine_color.png", np.concatenate([colour, alpha], 2))
        save(gt / f"{stem}_gtFine_instanceIds.png", ids.astype(np.uint16) * 1000)
        save(gt / f"{stem}_gtFine_labelIds.png", ids)
        save(photos / f"{stem}_leftImg8bit.png", photo_of(index))
    return tmp_path


def to_bytes(unit):
    return np.rint((unit.transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8)


def resized(array, size=(32, 16), how=Image.Resampling.BILINEAR):
    return np.array(Image.fromarray(array).resize(size, how))


def test_cityscapes_in_all_directions(cityscapes):
    names = [row.stem for row in reader(cityscapes).rows]
    assert names == ["bonn_000000_000001", "ulm_000000_000000"]
    label, photo = resized(colour_labels(ids_of(1), 35)), resized(photo_of(1))
    edge = resized(edges(ids_of(1)))
    sides = {"label2photo": (label, photo), "photo2label": (photo, label)}
    for direction, (condition, image) in sides.items():
        made = reader(cityscapes, mapping=direction, boundary=True)
        sample = made.sample(made.load(0), None)
        np.testing.assert_array_equal(to_bytes(sample["condition"]), condition)
        np.testing.assert_array_equal(to_bytes(sample["image"]), image)
        assert sample["boundary"].shape == (3, 16, 32)
        np.testing.assert_array_equal(np.rint(sample["boundary"][1] * 255), edge)
    made = reader(cityscapes, mapping="bmap2label")
    sample = made.sample(made.load(0), None)
    np.testing.assert_array_equal(to_bytes(sample["condition"]), np.repeat(edge[:, :, None], 3, 2))
    np.testing.assert_array_equal(to_bytes(sample["image"]), label)


def test_boundary_files_win_over_instances(cityscapes):
    folder = cityscapes / "gtFine" / "train"
    save(folder / "bonn" / "bonn_000000_000001_gtFine_boundary.png", np.full((32, 64), 255, np.uint8))
    made = reader(cityscapes, boundary=True)
    assert made.load(0)["boundary"].min() == 255
    np.testing.assert_array_equal(made.load(1)["boundary"], resized(edges(ids_of(0))))
    (folder / "ulm" / "ulm_000000_000000_gtFine_instanceIds.png").unlink()
    with pytest.raises(UserError, match="no boundary .*ulm_000000_000000"):
        reader(cityscapes, boundary=True)


def test_edges_mark_both_sides():
    ids = np.zeros((4, 5), np.int32)
    ids[:, 3:] = 7
    np.testing.assert_array_equal(edges(ids), np.tile(np.uint8([0, 0, 255, 255, 0]), (4, 1)))


def test_labels_without_blending(cityscapes):
    known = {row.colour for row in CITYSCAPES}
    for resize, blends in (("bilinear", True), ("nearest", False)):
        made = reader(cityscapes, label_resize=resize, size=(10, 22))
        colours = {tuple(c) for c in made.load(0)["condition"].reshape(-1, 3).tolist()}
        assert bool(colours - known) == blends


def test_training_and_evaluation_batches(cityscapes):
    data = opened(cityscapes)
    assert data.steps_per_epoch == 1
    for _, batches in data.epochs(1):
        batch = next(iter(batches))
        assert batch["condition"].shape == batch["image"].shape == (2, 3, 16, 32)
        made = data.reader
        for row, index in enumerate(batch["id"]):
            alone = made.sample(made.load(int(index)), None)
            np.testing.assert_array_equal(batch["image"][row], alone["image"])
    # the labels of the test set are not public
    data = opened(cityscapes, phase="test")
    assert [data.name(i) for i in range(data.num_samples)] == ["jena_000000_000002"]


def test_conditions_alone_are_enough_outside_training(cityscapes):
    (cityscapes / "leftImg8bit").rename(cityscapes / "elsewhere")
    data = opened(cityscapes, phase="val")
    assert data.columns == ("condition", "id")
    with pytest.raises(UserError, match="leftImg8bit"):
        opened(cityscapes)


def test_cityscapes_that_cannot_be_used(cityscapes):
    photo = cityscapes / "leftImg8bit" / "train" / "ulm" / "ulm_000000_000000_leftImg8bit.png"
    save(photo, photo_of(0, 16, 64))
    made = reader(cityscapes)
    with pytest.raises(UserError, match="different sizes: .*ulm.* 32x64, .* 16x64"):
        made.load(1)
    label = cityscapes / "gtFine" / "train" / "bonn" / "bonn_000000_000001_gtFine_color.png"
    strange = colour_labels(ids_of(1), 35)
    strange[:2, :3] = (1, 2, 3)
    save(label, strange)
    with pytest.raises(UserError, match=r"bonn.*1 colour that no Cityscapes class has: \(1, 2, 3\) in 6 pixels"):
        made.load(0)
    photo.unlink()
    with pytest.raises(UserError, match="no photo for 1 of 2 samples .*ulm_000000_000000"):
        reader(cityscapes)
    with pytest.raises(UserError, match="mapping map2photo is not one of label2photo"):
        reader(cityscapes, mapping="map2photo")
    with pytest.raises(UserError, match="does not exist"):
        reader(cityscapes / "nowhere")


def test_maps_have_the_photo_on_the_left(tmp_path):
    """map2photo conditions on the map, the right half, in training as everywhere else."""
    both = np.zeros((32, 64, 3), np.uint8)
    both[:, :32, 0], both[:, 32:, 2] = 250, 240
    save(tmp_path / "train" / "1.png", both)
    for direction, left in (("map2photo", "image"), ("photo2map", "condition")):
        made = reader(tmp_path, dataset="maps", mapping=direction, size=(16, 16))
        sample = made.load(0)
        right = {"image": "condition", "condition": "image"}[left]
        assert tuple(sample[left][8, 8]) == (250, 0, 0)
        assert tuple(sample[right][8, 8]) == (0, 0, 240)
    save(tmp_path / "train" / "1.png", both[:, :63])
    with pytest.raises(UserError, match="63 pixels wide"):
        made.load(0)


def write_idx(path, array, zipped=False):
    data = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(data) if zipped else data)
    return path


@pytest.fixture
def mnist(tmp_path):
    rng = np.random.default_rng(0)
    for prefix, zipped in (("train", False), ("t10k", True)):
        ending = ".gz" if zipped else ""
        digits = rng.integers(0, 256, (4, 28, 28)).astype(np.uint8)
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte{ending}", digits, zipped)
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte{ending}", np.uint8([3, 0, 9, 3]), zipped)
    return tmp_path


MNIST = {"dataset": "mnist", "mapping": "label2digit", "size": (24, 24), "condition_channels": 10, "image_channels": 1}


def test_mnist(mnist):
    data = opened(mnist, **MNIST)
    for _, batches in data.epochs(1):
        batch = next(iter(batches))
        assert batch["condition"].shape == (2, 10, 24, 24)
        assert batch["image"].shape == (2, 1, 24, 24)
        classes = [3, 0, 9, 3]
        for row, index in enumerate(batch["id"]):
            assert (batch["condition"][row].argmax(0) == classes[index]).all()
            assert batch["condition"][row].sum() == (1 - 9) * 24 * 24
            digit = read_idx(mnist / "train-images-idx3-ubyte")[index]
            np.testing.assert_array_equal(to_bytes(batch["image"][row])[:, :, 0], resized(digit, (24, 24)))
    data = opened(mnist, **MNIST, phase="test")
    assert data.num_samples == 4


def test_mnist_that_cannot_be_used(mnist):
    with pytest.raises(UserError, match="have 10 channels, and the network takes 3"):
        opened(mnist, **(MNIST | {"condition_channels": 3}))
    cut = mnist / "cut"
    cut.write_bytes((mnist / "train-images-idx3-ubyte").read_bytes()[:-5])
    with pytest.raises(UserError, match="3131 bytes where its header announces 4x28x28"):
        read_idx(cut)
    with pytest.raises(UserError, match="not an idx file of bytes"):
        read_idx(write_other(mnist))
    broken = mnist / "broken.gz"
    broken.write_bytes((mnist / "t10k-images-idx3-ubyte.gz").read_bytes()[:40])
    with pytest.raises(UserError, match="not a complete gzip file"):
        read_idx(broken)
    (mnist / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match="train-labels-idx1-ubyte"):
        opened(mnist, **MNIST)


def write_other(folder):
    """A file that has not been read before: what has been is remembered."""
    path = folder / "picture"
    path.write_bytes(b"\x89PNG and more")
    return path


def test_pairs_colour_their_label_ids(tmp_path):
    save(tmp_path / "train_label" / "a.png", ids_of(5))
    save(tmp_path / "train_img" / "a.png", photo_of(5))
    save(tmp_path / "train_inst" / "a.png", ids_of(5).astype(np.uint16) * 1000)
    made = reader(tmp_path, dataset="pairs", boundary=True, size=(32, 64))
    loaded = made.load(0)
    np.testing.assert_array_equal(loaded["condition"], colour_labels(ids_of(5), 35))
    np.testing.assert_array_equal(loaded["image"], photo_of(5))
    np.testing.assert_array_equal(loaded["boundary"], edges(ids_of(5)))
    made = reader(tmp_path, dataset="pairs", label_nc=20)
    with pytest.raises(UserError, match="not below label_nc 20"):
        made.load(0)
    save(tmp_path / "train_label" / "b.png", ids_of(6))
    with pytest.raises(UserError, match="do not pair by name"):
        reader(tmp_path, dataset="pairs")
    save(tmp_path / "train_A" / "a.png", photo_of(7))
    save(tmp_path / "train_B" / "a.png", photo_of(8))
    made = reader(tmp_path, dataset="pairs", label_nc=0, size=(32, 64))
    np.testing.assert_array_equal(made.load(0)["condition"], photo_of(7))


def test_maps_in_folders_have_names_of_their_own(tmp_path):
    for name in ("a/1.png", "b/1.png"):
        save(tmp_path / "train" / name, np.zeros((8, 16, 3), np.uint8))
    data = opened(tmp_path, dataset="maps", mapping="map2photo", size=(8, 8))
    assert [data.name(i) for i in range(2)] == ["a_1", "b_1"]
