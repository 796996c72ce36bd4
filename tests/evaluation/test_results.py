"""A folder of results holds one evaluation: nothing of an earlier one stays, and nothing of others is touched."""

import json
import os

import pytest

from eval import main as evaluate
from src.evaluation.record import Results, read_record
from src.gallery.page import read_page
from src.utils.errors import UserError
from tests.metrics.stand_ins import blocks, write_pictures
from tests.saved_runs import save_run
from tests.tiny_runs import make_streets


def translated(run, data, **options):
    """Evaluate and return the folder of results."""
    options = {"load_ckpt": run, "name": "run", "data_root": data, "predict_dir": "results"} | options
    words = [f"--{key}={value}" for key, value in options.items()]
    assert evaluate([*words, "--device_target=CPU", "--mode=pynative"]) == 0
    return {path.name: path.read_bytes() for path in sorted(run.parent.glob("results/run/test_1/images/*"))}


def shown(tmp_path):
    return read_page(tmp_path / "results" / "run" / "test_1" / "gallery" / "index.html")["results"]


def test_fewer_images(tmp_path):
    run, data = save_run(tmp_path, "pix2pixHD"), make_streets(tmp_path / "data", train=1, test=3)
    assert len(translated(run, data)) == 3
    mine = tmp_path / "results" / "run" / "test_1" / "images" / "mine.png"
    mine.write_bytes(b"a painting")
    left = translated(run, data, how_many=1)
    assert left.keys() == {"scene_00000_synthesized_image.png", "mine.png"} and left["mine.png"] == b"a painting"
    assert shown(tmp_path).keys() == {"scene_00000"}
    images = {path.name for path in (mine.parents[1] / "gallery" / "images" / "results").iterdir()}
    assert images and all(name.startswith("scene_00000") for name in images)


def test_another_seed_and_other_data(tmp_path):
    run, data = save_run(tmp_path, "fullglow"), make_streets(tmp_path / "data", train=1, test=1)
    first = translated(run, data, how_many=1, n_samples=2)
    second = translated(run, data, how_many=1, seed=5)
    assert len(first) == 2 and len(second) == 1
    assert second["scene_00000_synthesized_image.png"] != first["scene_00000_synthesized_image.png"]
    for folder in ("test_label", "test_inst", "test_img"):
        os.rename(data / folder / "scene_00000.png", data / folder / "elsewhere.png")
    assert translated(run, data).keys() == {"elsewhere_synthesized_image.png"}
    assert shown(tmp_path).keys() == {"elsewhere"}


def test_files_beside_the_images(tmp_path):
    """Images side by side and the numbers of styles belong to the evaluation, too."""
    data = tmp_path / "data"
    for side in "AB":
        write_pictures(data / f"test{side}", {f"{side.lower()}{i}": blocks(i) for i in range(2)})
    run = save_run(tmp_path, "hierarchyflow", resize_or_crop="squash", crop_width=48, crop_height=32)
    assert len(translated(run, data)) == 2
    folder = tmp_path / "results" / "run" / "test_1"
    assert json.loads((folder / "look.json").read_text())["output"]["pictures"] == 2
    assert translated(run, data, how_many=1).keys() == {"a0_to_b0.png"}
    assert [path.name for path in (folder / "side_by_side").iterdir()] == ["a0_to_b0.png"]
    assert json.loads((folder / "look.json").read_text())["output"]["pictures"] == 1


# -- the journal -----------------------------------------------------------------------------------------------------


def write(results, *parts, data=b"x"):
    path = results.path(*parts)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def test_what_an_interrupted_evaluation_left_is_removed(tmp_path):
    results = Results(tmp_path)
    names = ["ü", "two\nlines", "-", "a" * 200, os.fsdecode(b"\xff")]
    files = [write(results, "images", f"{name}.png") for name in names]
    with open(tmp_path / "written.jsonl", "a") as journal:
        journal.write('"images/cut off')
    kept = tmp_path / "images" / "cut off.png"
    kept.touch()
    Results(tmp_path)
    assert not any(path.exists() for path in files)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["cut off.png", "images"]


def test_an_earlier_versions_record_is_understood(tmp_path):
    """It kept no journal; its record names the images."""
    old = {"fingerprint": "f", "outputs": {"fake": {"0": "images/a.png"}}}
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").touch()
    (tmp_path / "translated.json").write_text(json.dumps(old))
    Results(tmp_path)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_links_lead_nowhere(tmp_path):
    """Neither the journal nor what it names is followed out of the folder."""
    outside, folder = tmp_path / "outside", tmp_path / "results"
    (outside / "deep").mkdir(parents=True)
    for path in (outside / "thesis", outside / "deep" / "thesis"):
        path.write_text("mine")
    folder.mkdir()
    (folder / "away").symlink_to(outside)
    names = ["away/thesis", "away/deep/thesis", "../outside/thesis", str(outside / "thesis"), "", ".", "\0", "\ud800"]
    (folder / "written.jsonl").write_text("".join(json.dumps(name) + "\n" for name in [*names, "x" * 5000]))
    Results(folder)
    assert (outside / "thesis").read_text() == (outside / "deep" / "thesis").read_text() == "mine"
    (folder / "written.jsonl").symlink_to(outside / "thesis")
    os.unlink(folder / "away")
    results = Results(folder)
    (folder / "written.jsonl").symlink_to(outside / "thesis")
    with pytest.raises(UserError, match="written.jsonl: it is a link"):
        results.path("images", "a.png")
    assert (outside / "thesis").read_text() == "mine"
    os.unlink(folder / "written.jsonl")
    (folder / "images").symlink_to(outside)
    with pytest.raises(UserError, match="images: it is a link"):
        results.path("images", "a.png")


def test_a_folder_that_is_a_link_is_the_users(tmp_path):
    (tmp_path / "large disk").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "large disk")
    path = write(Results(tmp_path / "results"), "images", "a.png")
    Results(tmp_path / "results")
    assert not path.exists()


@pytest.mark.parametrize(
    "record",
    [
        b"", b"[]", b"{}", b'{"outputs": 3}', b'{"fingerprint": "f", "outputs": {"fake": {"a": "images/a.png"}}}',
        b'{"fingerprint": "f", "outputs": {"fake": {"0": 7}}}', b"[" * 100_000, b"9" * 5000,
        b'{"fingerprint": "f", "outputs": {"fake": {"0": "../a.png"}}}', b'{"fingerprint": "f", "outputs": {"f": []}}',
        b'{"fingerprint": "f", "outputs": {"fake": {"' + b"1" * 5000 + b'": "images/a.png"}}}',
    ],
)  # fmt: skip
def test_records_that_are_none(tmp_path, record):
    (tmp_path / "folder" / "gallery").mkdir(parents=True)
    (tmp_path / "folder" / "gallery" / "index.html").touch()
    (tmp_path / "a.png").write_bytes(b"mine")
    (tmp_path / "folder" / "translated.json").write_bytes(record)
    assert read_record(tmp_path / "folder", "f") is None
    Results(tmp_path / "folder")
    assert (tmp_path / "a.png").read_bytes() == b"mine"


def test_pipes_are_not_waited_for(tmp_path):
    for name in ("translated.json", "written.jsonl"):
        os.mkfifo(tmp_path / name)
    assert read_record(tmp_path, "f") is None
    assert write(Results(tmp_path), "a").is_file()


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "results").touch()
    with pytest.raises(UserError, match="cannot create .*results"):
        Results(tmp_path / "results")
    (tmp_path / "folder" / "translated.json").mkdir(parents=True)
    with pytest.raises(UserError, match="cannot delete .*translated.json: it is a folder"):
        Results(tmp_path / "folder")


def test_a_run_that_cannot_translate_leaves_earlier_results_alone(tmp_path):
    run, data = save_run(tmp_path, "feat"), make_streets(tmp_path / "streets", train=1, test=1)
    words = [f"--load_ckpt={run}", f"--data_root={data}", f"--predict_dir={tmp_path}", "--device_target=CPU"]
    assert evaluate([*words, "--mode=pynative", "--use_encoded_image=True"]) == 0
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    with pytest.raises(UserError, match=rf"needs the clusters {run}/features_clustered_010.npy, and there is no such"):
        evaluate([*words, "--mode=pynative"])
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before
