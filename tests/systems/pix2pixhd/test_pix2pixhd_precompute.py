"""Precomputation runs when its inputs changed, and never over what others made."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from src.evaluation.command import precompute
from src.runs.checkpoints import CheckpointStore, Position
from src.systems.pix2pixhd.system import Pix2PixHD
from src.systems.programs import PRECOMPUTE, read_command
from src.utils.errors import UserError
from tests.saved_runs import save_run
from tests.tiny_runs import make_streets


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A run with an encoder, its data, and what precomputation made of them."""
    folder = tmp_path_factory.mktemp("prepared")
    make_streets(folder / "data", train=3, test=1)
    save_run(folder, "feat", data_root=folder / "data")
    run(folder)
    return folder


@pytest.fixture
def home(prepared, tmp_path):
    """A copy to change, with the times of its files."""
    return shutil.copytree(prepared, tmp_path / "home")


def run(home, *options):
    words = [f"--load_ckpt={home / 'feat'}", f"--data_root={home / 'data'}", *options]
    _, command = read_command(PRECOMPUTE, [*words, "--device_target=CPU", "--mode=pynative"])
    return precompute(Pix2PixHD, command)


def clusters(home):
    return home / "feat" / "features_clustered_010.npy"


def made(home):
    """Content and time of everything that precomputation makes."""
    paths = [*home.glob("feat/features*"), *home.glob("data/train_feat/*")]
    assert len(paths) >= 4
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def test_nothing_is_made_twice(home, capsys):
    before = made(home)
    for options in ([], ["--only_clusters"], ["--seed=7"], ["--max_instances=128"]):
        assert run(home, *options) == 0
        said = capsys.readouterr().out
        assert "are up to date" in said and "encoding" not in said
    assert made(home) == before


def touch(path):
    os.utime(path, ns=(0, 0))


def train_on(home):
    """The checkpoint of a later epoch, with another encoder."""
    store = CheckpointStore(home / "feat")
    checkpoint = store.load()
    networks = {
        name: {key: 1.5 * array for key, array in arrays.items()} for name, arrays in checkpoint.networks.items()
    }
    store.save(Position(2), networks, {}, checkpoint.config, "pix2pixHD")


def convert_again(home):
    """The same weights, for networks with other layers."""
    store = CheckpointStore(home / "feat")
    checkpoint = store.load()
    store.save(Position(2), checkpoint.networks, {}, checkpoint.config | {"layers": "predecessor"}, "pix2pixHD")


@pytest.mark.parametrize(
    "change, options",
    [
        (train_on, []),
        (convert_again, []),
        (lambda home: touch(home / "data/train_img/scene_00001.png"), []),
        (lambda home: None, ["--precision=fp16"]),
        (lambda home: None, ["--load_size=32"]),
        (lambda home: [path.unlink() for path in home.glob("data/train_*/scene_00002.png")], []),
    ],
    ids=["checkpoint", "layers", "file", "precision", "size", "fewer files"],
)
def test_everything_is_made_again_when_an_input_changed(home, capsys, change, options):
    before = made(home)
    change(home)
    assert run(home, *options) == 0
    assert "encoding" in capsys.readouterr().out
    after = made(home)
    assert all(after[path][1] != before[path][1] for path in after)
    assert run(home, *options) == 0
    assert made(home) == after


def test_other_clusters_need_no_encoding(home, capsys):
    before = made(home)
    assert run(home, "--n_clusters=1") == 0
    assert "encoding" not in capsys.readouterr().out
    changed = {path.name for path, state in made(home).items() if state != before[path]}
    assert changed == {clusters(home).name, f"{clusters(home).name}.json"}


def test_clusters_follow_their_own_seed(home):
    """A style is named by its number: another --seed may not give it another meaning."""
    tables = {}
    for options in (["--cluster_seed=0"], ["--seed=5"], ["--cluster_seed=5"]):
        clusters(home).unlink()
        assert run(home, "--n_clusters=2", *options) == 0
        tables[options[0]] = clusters(home).read_bytes()
    assert tables["--seed=5"] == tables["--cluster_seed=0"] != tables["--cluster_seed=5"]


def test_a_missing_result_is_made(home, capsys):
    before = made(home)
    (home / "data/train_feat/scene_00001.png").unlink()
    assert run(home) == 0
    assert "encoding" in capsys.readouterr().out
    again = made(home)
    # the mark names the folder that the run is in now
    assert all(again[path][0] == before[path][0] for path in before if path.name != "precomputed.json")
    clusters(home).unlink()
    assert run(home) == 0
    assert "encoding" not in capsys.readouterr().out and clusters(home).read_bytes() == before[clusters(home)][0]


def test_an_interruption_is_made_good(home):
    touch(home / "data/train_img/scene_00001.png")
    path = home / "data/train_feat/scene_00001.png"
    content = path.read_bytes()
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match=r"scene_00001\.png"):
        run(home)
    path.rmdir()
    path.write_bytes(content)
    before = path.stat().st_mtime_ns
    assert run(home) == 0
    assert path.stat().st_mtime_ns != before
    mark = json.loads((home / "data/train_feat/precomputed.json").read_text())
    assert mark.items() > {"run": str(home / "feat"), "checkpoint": "1", "feat_num": 3}.items()


def test_clusters_of_others_are_kept(home, capsys):
    table = np.array([[7, 0.1, 0.2, 0.3]])
    np.save(clusters(home), table)
    assert run(home, "--n_clusters=2") == 0
    assert "was not made here, or was changed, and is kept: move it away" in capsys.readouterr().out
    np.testing.assert_array_equal(np.load(clusters(home)), table)
    # without a record a file counts as someone's own
    clusters(home).with_name(f"{clusters(home).name}.json").unlink()
    assert run(home) == 0
    np.testing.assert_array_equal(np.load(clusters(home)), table)


@pytest.mark.parametrize("record", ["", "[]", "{", "[" * 5000, '{"made_from": 3}', "\xff"])
def test_records_that_cannot_be_read_are_none(home, record):
    before = clusters(home).read_bytes()
    clusters(home).with_name(f"{clusters(home).name}.json").write_text(record, encoding="latin-1")
    (home / "data/train_feat/precomputed.json").write_text(record, encoding="latin-1")
    assert run(home, "--n_clusters=1") == 0
    assert clusters(home).read_bytes() == before


def test_maps_lie_as_their_label_maps_where_names_repeat(home):
    """Two cities have a file of one name: neither map overwrites the other."""
    for name in ("label", "inst", "img"):
        folder = home / f"data/train_{name}"
        for city, scene in (("bonn", 0), ("aachen", 1)):
            (folder / city).mkdir()
            (folder / f"scene_0000{scene}.png").rename(folder / city / "000.png")
    shutil.rmtree(home / "data/train_feat")
    assert run(home) == 0
    found = sorted(str(path.relative_to(home / "data/train_feat")) for path in home.rglob("data/train_feat/**/*.png"))
    assert found == ["aachen/000.png", "bonn/000.png", "scene_00002.png"]
    sizes = [np.array(Image.open(home / "data/train_feat" / name)).reshape(-1, 3) for name in found[:2]]
    assert len(np.unique(sizes[0], axis=0)) > 1 and (sizes[0] != sizes[1]).any()


def test_folders_and_runs_that_cannot_be_used(home):
    shutil.rmtree(home / "data/train_feat")
    (home / "data/train_feat").mkdir()
    (home / "data/train_feat/mine.png").touch()
    with pytest.raises(UserError, match="train_feat holds files that were not made here"):
        run(home)
    save_run(home, "pix2pixHD", data_root=home / "data")
    with pytest.raises(UserError, match="pix2pixHD has no trained encoder: train it first"):
        run(home, f"--load_ckpt={home / 'pix2pixHD'}")
