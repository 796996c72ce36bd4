"""The order of samples, resuming, sharding, and what happens when records rot."""

import os
import random
from pathlib import Path

import numpy as np
import pytest

from src.dataset.pipeline import Pipeline
from src.dataset.records import open_records
from src.dataset.shards import pack
from src.utils.errors import UserError
from tests.dataset.samples import opened, reader, write_dataset, write_sample


@pytest.fixture(scope="module")
def eleven(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("eleven"), 11)


def batches(pipeline, epochs, first_step=0):
    found = []
    for epoch, part in pipeline.epochs(epochs, first_step):
        found += [(epoch, batch) for batch in part]
    return found


def ids(found):
    return [batch["id"].tolist() for _, batch in found]


def assert_equal(left, right):
    assert len(left) == len(right)
    for (epoch, batch), (other_epoch, other) in zip(left, right, strict=True):
        assert epoch == other_epoch and batch.keys() == other.keys()
        for name in batch:
            np.testing.assert_array_equal(batch[name], other[name], err_msg=f"{name} in epoch {epoch}")


def test_batches_have_the_promised_columns(eleven):
    pipeline = opened(eleven, "train", batch_size=2)
    assert pipeline.num_samples == 11 and pipeline.steps_per_epoch == 5 and pipeline.size == (16, 32)
    found = batches(pipeline, 1)
    assert [epoch for epoch, _ in found] == [0] * 5
    batch = found[0][1]
    assert tuple(batch) == pipeline.columns == ("label", "inst", "image", "id")
    assert batch["image"].shape == (2, 3, 16, 32) and batch["inst"].shape == (2, 1, 16, 32)
    assert batch["id"].shape == (2,) and batch["id"].dtype == np.int32
    assert pipeline.name(batch["id"][0]) == f"city_{batch['id'][0]:06d}_000019"
    assert pipeline.files(0)["image"].name == "city_000000_000019_leftImg8bit.png"


def test_same_seed_same_batches_whatever_the_threads(eleven):
    first = batches(opened(eleven, "train", resize_or_crop="crop", num_workers=1), 2)
    second = batches(opened(eleven, "train", resize_or_crop="crop", num_workers=5), 2)
    assert_equal(first, second)
    other = batches(opened(eleven, "train", resize_or_crop="crop", seed=4), 2)
    assert ids(first) != ids(other)


def test_epochs_differ_in_order_and_augmentation(eleven):
    found = batches(opened(eleven, "train", resize_or_crop="crop"), 3)
    orders = [[batch["id"][0] for epoch, batch in found if epoch == k] for k in range(3)]
    assert all(sorted(order) == list(range(11)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    views = {k: [batch["image"] for _, batch in found if batch["id"][0] == k] for k in range(11)}
    assert any(not np.array_equal(view[0], view[1]) for view in views.values())


def test_seeds_do_not_repeat_each_other_an_epoch_later(eleven):
    orders = {}
    for seed in (0, 1, 2):
        found = ids(batches(opened(eleven, "train", seed=seed), 3))
        orders[seed] = [found[:11], found[11:22], found[22:]]
    every = [str(order) for three in orders.values() for order in three]
    assert len(set(every)) == 9


def test_serial_batches_keep_the_order(eleven):
    found = batches(opened(eleven, "train", serial_batches=True, batch_size=3), 2)
    assert ids(found) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]] * 2


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("world", [1, 2])
def test_resuming_delivers_the_same_batches(eleven, batch_size, world):
    changes = {"batch_size": batch_size, "resize_or_crop": "crop"}
    whole = batches(opened(eleven, "train", 0, world, **changes), 3)
    pipeline = opened(eleven, "train", 0, world, **changes)
    steps = pipeline.steps_per_epoch
    assert len(whole) == 3 * steps
    for first_step in (1, steps - 1, steps, steps + 2, 2 * steps, 3 * steps - 1, 3 * steps):
        assert_equal(batches(pipeline, 3, first_step), whole[first_step:])
    # A run that is extended goes on as if it had been planned longer.
    assert_equal(batches(pipeline, 2), whole[: 2 * steps])


def test_leaving_an_epoch_early_goes_on_with_the_next(eleven):
    pipeline = opened(eleven, "train")
    whole = batches(pipeline, 2)
    seen = []
    for _, part in pipeline.epochs(2):
        seen.append(next(part)["id"].tolist())
    assert seen == [ids(whole)[0], ids(whole)[11]]


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_the_samples_and_take_equally_many_steps(eleven, world):
    parts = [opened(eleven, "train", rank, world) for rank in range(world)]
    assert len({part.steps_per_epoch for part in parts}) == 1
    found = [[batch["id"][0] for _, batch in batches(part, 1)] for part in parts]
    every = sum(found, [])
    assert set(every) == set(range(11))
    assert len(every) - 11 < world  # uneven shares are filled up with less than one sample a rank


def test_too_few_samples_for_the_workers(eleven):
    with pytest.raises(UserError, match="11 samples on 3 workers: fewer than one batch of 5.*--batch_size"):
        opened(eleven, "train", 0, 3, batch_size=5)


def test_global_random_state_is_left_alone(eleven):
    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.rand()
    random.seed(1)
    np.random.seed(1)
    batches(opened(eleven, "train"), 1)
    assert (random.random(), np.random.rand()) == expected


def test_evaluation_reads_every_file_once_in_order_whatever_its_size(tmp_path):
    for index in range(7):
        write_sample(tmp_path, "test", index, width=64 + 8 * index, height=32 + 4 * (index % 3))
    changes = {"resize_or_crop": "none", "batch_size": 4, "stride": 16}
    for world in (1, 3):
        parts = [opened(tmp_path, "test", rank, world, **changes) for rank in range(world)]
        found = [batches(part, 1) for part in parts]
        assert [len(part) for part in found] == [part.steps_per_epoch for part in parts]
        assert sorted(sum((ids(part) for part in found), [])) == [[k] for k in range(7)]
        assert all(ids(part) == sorted(ids(part)) for part in found)
        for _, batch in sum(found, []):
            k = batch["id"][0]
            assert batch["image"].shape == (1, 3, 32 + 4 * (k % 3), 64 + 8 * k)
    assert not (tmp_path / ".mindi2i_records").exists()


def test_training_files_can_be_read_without_augmentation(eleven):
    pipeline = opened(eleven, "train", training=False, resize_or_crop="crop")
    found = batches(pipeline, 1)
    assert ids(found) == [[k] for k in range(11)]
    assert found[0][1]["label"].shape == (1, 1, 32, 64) and "inst_id" in found[0][1]


def test_evaluation_checks_files_before_the_first_batch(tmp_path):
    write_dataset(tmp_path, 4, "test")
    for name in ("test_img/city_000001_000019_leftImg8bit.png", "test_label/city_000003_000019_gtFine_labelIds.png"):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="2 problems(.|\n)*city_000001(.|\n)*city_000003"):
        opened(tmp_path, "test")


def damage(pipeline, index, column="image"):
    """Change one byte of a stored blob."""
    blob = pack(pipeline.reader.load(index)[column])
    for file in pipeline.records.files:
        data = Path(file).read_bytes()
        position = data.find(blob)
        if position >= 0:
            changed = bytearray(data)
            changed[position + len(blob) // 2] ^= 1
            Path(file).write_bytes(changed)
            return
    raise AssertionError("the blob is not in the records")


def tolerant(root, tolerance=0.5, **changes):
    rows = reader(root, **changes)
    return Pipeline(rows, open_records(rows, root), batch_size=2, seed=1, tolerance=tolerance)


def test_a_rotten_sample_is_counted_and_read_from_its_files(tmp_path, capsys):
    write_dataset(tmp_path, 6)
    pipeline = tolerant(tmp_path)
    whole = batches(pipeline, 2)
    damage(pipeline, 2)
    assert_equal(batches(pipeline, 2), whole)
    assert list(pipeline.problems) == [2] and "city_000002" in pipeline.problems[2]
    assert capsys.readouterr().err.count("is damaged") == 1


def test_where_the_files_are_gone_too_the_next_sample_takes_the_place(tmp_path):
    write_dataset(tmp_path, 6)
    pipeline = tolerant(tmp_path)
    damage(pipeline, 5, "label")
    os.unlink(pipeline.files(5)["image"])
    pipeline.files(0)["image"].write_bytes(b"rotten")
    found = batches(pipeline, 1)
    assert sorted(sum(ids(found), [])) == [0, 1, 1, 2, 3, 4]
    assert len(pipeline.problems) == 1


def test_too_much_rot_ends_the_run(tmp_path):
    write_dataset(tmp_path, 6)
    pipeline = tolerant(tmp_path, tolerance=0.2)
    damage(pipeline, 1)
    batches(pipeline, 1)
    damage(pipeline, 4)
    with pytest.raises(UserError, match="2 of 6 stored samples damaged, more than 20%.*delete"):
        batches(pipeline, 1)


def test_records_that_are_cut_during_training_are_named(tmp_path):
    write_dataset(tmp_path, 6)
    pipeline = tolerant(tmp_path)
    os.truncate(pipeline.records.files[0], 2000)
    with pytest.raises(UserError, match="records in .* cannot be read"):
        batches(pipeline, 1)
