"""Records: lossless, checked, rebuilt when something changed, never half there."""

import os
import shutil
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from src.dataset import shards
from src.dataset.records import DEFAULT_FOLDER, open_records
from src.dataset.shards import pack, unpack
from src.utils.errors import UserError
from tests.dataset.samples import arrays, reader, save, write_dataset, write_sample

ROOT = Path(__file__).resolve().parents[2]


def build(root, records_dir="", **changes):
    return open_records(reader(root, **changes), root, records_dir, changes.get("record_shards", 0))


def stored(records):
    import mindspore.dataset as ds

    dataset = ds.MindDataset(list(records.files), columns_list=["id", *records.columns], shuffle=False)
    rows = dataset.create_tuple_iterator(num_epochs=1, output_numpy=True)
    return {int(row[0]): [unpack(blob.tobytes()) for blob in row[1:]] for row in rows}


def builds(root, records_dir=None):
    return sorted((records_dir or root / DEFAULT_FOLDER).glob("*/build-*"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(30, 50), (30, 50, 3), (1, 1), (30, 50, 4)])
@pytest.mark.parametrize("flat", [True, False])
def test_blobs_are_lossless_and_notice_every_changed_byte(dtype, shape, flat):
    rng = np.random.default_rng(0)
    array = np.full(shape, 129, dtype) if flat else rng.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    blob = pack(array)
    assert unpack(blob).dtype == dtype
    np.testing.assert_array_equal(unpack(blob), array)
    for position in range(0, len(blob), max(1, len(blob) // 50)):
        damaged = bytearray(blob)
        damaged[position] ^= 4
        with pytest.raises(ValueError, match="checksum"):
            unpack(bytes(damaged))


def test_id_maps_are_small():
    assert len(pack(np.full((512, 1024), 33001, np.uint16))) < 5000


@pytest.mark.parametrize("count", [0, 1, 3])
def test_records_hold_exactly_what_was_loaded(tmp_path, count):
    write_dataset(tmp_path, 5)
    records = build(tmp_path, record_shards=count)
    assert len(records.files) == max(1, count) and records.count == 5 and records.size == (16, 32)
    rows = reader(tmp_path)
    found = stored(records)
    assert sorted(found) == list(range(5))
    for index, values in found.items():
        for name, value in zip(records.columns, values, strict=True):
            np.testing.assert_array_equal(value, rows.load(index)[name], err_msg=name)
    assert max(values[1].max() for values in found.values()) >= 26000


def test_large_data_sets_are_written_piece_by_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_CHUNK_BYTES", 5000)
    write_dataset(tmp_path, 9)
    found = stored(build(tmp_path, record_shards=2))
    rows = reader(tmp_path)
    assert sorted(found) == list(range(9))
    for index, values in found.items():
        np.testing.assert_array_equal(values[2], rows.load(index)["image"])


def test_tiny_data_sets_make_small_files(tmp_path):
    assert build(write_dataset(tmp_path, 2)).samples_bytes < 4 << 20


def test_unchanged_data_is_not_built_again(tmp_path):
    write_dataset(tmp_path, 2)
    first = build(tmp_path)
    times = [os.stat(file).st_mtime_ns for file in first.files]
    assert build(tmp_path) == first
    assert [os.stat(file).st_mtime_ns for file in first.files] == times


def test_changed_sources_are_built_again_and_the_old_build_goes(tmp_path, capsys):
    write_dataset(tmp_path, 2)
    first = build(tmp_path)
    changed = arrays(7)["label"]
    save(tmp_path / "train_label" / "city_000001_000019_gtFine_labelIds.png", changed)
    os.utime(tmp_path / "train_label" / "city_000001_000019_gtFine_labelIds.png", ns=(1, 1))
    second = build(tmp_path)
    assert "1 source file changed (first: train_label/city_000001" in capsys.readouterr().out
    assert second != first and len(builds(tmp_path)) == 1
    np.testing.assert_array_equal(stored(second)[1][0], reader(tmp_path).load(1)["label"])
    write_sample(tmp_path, "train", 2)
    assert build(tmp_path).count == 3
    assert "3 source files changed" in capsys.readouterr().out


def test_other_settings_get_records_of_their_own(tmp_path, capsys):
    write_dataset(tmp_path, 2)
    first = build(tmp_path)
    second = build(tmp_path, load_size=64)
    assert "load_size 32 -> 64" in capsys.readouterr().out
    assert second.size == (32, 64)
    assert build(tmp_path) == first and build(tmp_path, load_size=64) == second
    # Options that records do not depend on share them.
    assert build(tmp_path, no_flip=True, seed=9, batch_size=2) == first


def test_data_sets_in_one_records_folder_do_not_mix(tmp_path):
    for k in range(2):
        write_sample(tmp_path / f"set{k}", "train", k)
    made = [build(tmp_path / f"set{k}", str(tmp_path / "records")) for k in range(2)]
    assert made[0].files != made[1].files
    assert not np.array_equal(stored(made[0])[0][2], stored(made[1])[0][2])


@pytest.mark.parametrize("damage", ["shard", "index", "cut", "pointer", "sources"])
def test_damaged_records_are_built_again(tmp_path, damage, capsys):
    write_dataset(tmp_path, 2)
    first = Path(build(tmp_path).files[0])
    if damage == "shard":
        first.unlink()
    elif damage == "index":
        first.with_name(first.name + ".db").unlink()
    elif damage == "cut":
        os.truncate(first, 1000)
    elif damage == "pointer":
        next((tmp_path / DEFAULT_FOLDER).glob("*.json")).write_text('{"build": 3')
    else:
        (first.parent / "sources.json").write_text("[]")
    capsys.readouterr()
    second = build(tmp_path)
    assert "building again" in capsys.readouterr().out
    assert len(stored(second)) == 2 and len(builds(tmp_path)) == 1


def test_unusable_files_are_all_named_and_nothing_is_kept(tmp_path):
    write_dataset(tmp_path, 6)
    label = arrays(1)["label"]
    label[0, 5] = 255
    save(tmp_path / "train_label" / "city_000001_000019_gtFine_labelIds.png", label)
    photo = tmp_path / "train_img" / "city_000003_000019_leftImg8bit.png"
    photo.write_bytes(photo.read_bytes()[:100])
    save(tmp_path / "train_inst" / "city_000005_000019_gtFine_instanceIds.png", arrays(5)["label"])
    with pytest.raises(UserError) as caught:
        build(tmp_path)
    message = str(caught.value)
    for words in ("3 problems", "label 255 in", "city_000001", "city_000003", "truncated", "city_000005", "8 bits"):
        assert words in message
    assert builds(tmp_path) == [] and list((tmp_path / DEFAULT_FOLDER).glob("*.json")) == []


def test_one_problem_is_told_alone_and_many_stop_early(tmp_path):
    write_dataset(tmp_path, 30)
    files = sorted((tmp_path / "train_img").iterdir())
    files[4].write_bytes(b"")
    with pytest.raises(UserError, match=r"^\S*city_000004_000019_leftImg8bit.png is empty"):
        build(tmp_path)
    for file in files:
        file.write_bytes(b"")
    with pytest.raises(UserError, match=r"20 problems with the data \(the search stopped there\)"):
        build(tmp_path)


def test_a_size_that_does_not_fit_is_told_once(tmp_path):
    write_dataset(tmp_path, 3)
    with pytest.raises(UserError, match=r"^\S*city_00000\d.* becomes 36x18 .*stride 4"):
        build(tmp_path, load_size=36)


def test_training_needs_one_size(tmp_path):
    write_dataset(tmp_path, 2)
    write_sample(tmp_path, "train", 2, width=64, height=64)
    with pytest.raises(UserError, match="city_000002_000019 is 32x32 but city_000000_000019 is 32x16"):
        build(tmp_path)
    assert build(tmp_path, resize_or_crop="resize_and_crop").size == (16, 16)
    assert build(tmp_path, resize_or_crop="crop").size == (16, 16)


def test_interrupted_builds_are_removed(tmp_path):
    write_dataset(tmp_path, 2)
    first = build(tmp_path)
    unfinished = Path(first.files[0]).parent.with_name("build-1-dead")
    shutil.copytree(Path(first.files[0]).parent, unfinished)
    os.utime(tmp_path / "train_img" / "city_000001_000019_leftImg8bit.png", ns=(1, 1))
    build(tmp_path)
    assert len(builds(tmp_path)) == 1 and not unfinished.exists()


def test_a_data_root_that_cannot_be_written_uses_the_cache(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = write_dataset(tmp_path / "data", 2)
    (root / DEFAULT_FOLDER).write_text("a file where the folder would go: works for root, too")
    records = build(root)
    assert Path(records.files[0]).is_relative_to(tmp_path / "cache")
    assert "records are kept in" in capsys.readouterr().out
    assert build(root) == records


def test_no_folder_for_records_at_all(tmp_path, monkeypatch):
    root = write_dataset(tmp_path / "data", 1)
    (root / DEFAULT_FOLDER).write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(root / DEFAULT_FOLDER))
    with pytest.raises(UserError, match="--records_dir"):
        build(root)
    with pytest.raises(UserError, match=DEFAULT_FOLDER):
        build(root, str(root / DEFAULT_FOLDER / "below_a_file"))


def test_processes_and_threads_that_start_together_build_once(tmp_path, capsys):
    write_dataset(tmp_path, 4)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: build(tmp_path), range(4)))
    assert len(set(made)) == 1 and len(builds(tmp_path)) == 1
    assert capsys.readouterr().out.count("for the first time") == 1


def run(code, *arguments):
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    write_dataset(tmp_path, 3)
    code = """
        import resource, signal, sys
        import src
        from src.dataset.records import open_records
        from src.utils.errors import UserError
        from tests.dataset.samples import reader
        import mindspore.mindrecord
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        try:
            open_records(reader(sys.argv[1]), sys.argv[1])
        except UserError as error:
            print("caught:", error)
    """
    done = run(code, tmp_path)
    assert "caught:" in done.stdout and DEFAULT_FOLDER in done.stdout, done.stdout + done.stderr
    assert builds(tmp_path) == [] and list((tmp_path / DEFAULT_FOLDER).glob("*.json")) == []


def test_a_killed_build_holds_no_lock(tmp_path):
    write_dataset(tmp_path, 3)
    code = """
        import os, signal, sys
        import src
        from src.dataset.paired import PairedReader
        from src.dataset.records import open_records
        from tests.dataset.samples import asked

        class Dying(PairedReader):
            def load(self, index):
                if index == 2:
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().load(index)

        open_records(Dying(*asked(sys.argv[1]), "train", True), sys.argv[1])
    """
    assert run(code, tmp_path).returncode == -9
    assert len(builds(tmp_path)) == 1
    assert build(tmp_path).count == 3
    assert len(builds(tmp_path)) == 1


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "paired-train-8805ba9bae59"),
        ({"resize_or_crop": "scale_width_and_crop"}, "paired-train-bd371f44b7a5"),
        ({"resize_or_crop": "crop", "instances": False}, "paired-train-d6af5626dfd4"),
        ({"resize_or_crop": "none"}, "paired-train-4d22567801f0"),
        ({"resize_or_crop": "resize_and_crop"}, "paired-train-1db552d72b30"),
    ],
)
def test_records_of_earlier_versions_are_found_again(tmp_path, changes, name):
    assert Path(build(write_dataset(tmp_path, 2), **changes).files[0]).parent.parent.name == name


def test_files_whose_names_are_not_utf8_are_built_once(tmp_path, capsys):
    write_dataset(tmp_path, 2)
    for file in [file for kind in ("label", "inst", "img") for file in (tmp_path / f"train_{kind}").iterdir()]:
        os.rename(file, os.fsencode(file).replace(b"city_000001", b"stra\xdfe"))
    first = build(tmp_path)
    assert build(tmp_path) == first and first.count == 2
    os.utime(os.fsencode(tmp_path / "train_img") + b"/stra\xdfe_000019_leftImg8bit.png", ns=(1, 1))
    build(tmp_path)
    assert "1 source file changed (first: train_img/stra\\udcdfe" in capsys.readouterr().out
