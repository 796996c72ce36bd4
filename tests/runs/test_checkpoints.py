"""Checkpoints that survive kills, full disks, flipped bits and people."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from src.runs import manifest
from src.runs.checkpoints import CheckpointStore, Position
from src.utils.errors import UserError
from src.utils.tensorfile import read_metadata, write_arrays

CONFIG = {"netG": "global", "ngf": 8, "name": "ü"}


class Run:
    """A store whose checkpoints hold the number of their save."""

    def __init__(self, folder, **options):
        self.folder = folder
        self.warnings = []
        self.store = CheckpointStore(folder, warn=self.warnings.append, **options)

    def save(self, epoch, iteration=0, value=None, state=True, system="pix2pixHD"):
        value = epoch if value is None else value
        networks = {name: {"model.1.weight": np.full((4, 3), value, np.float32)} for name in "GD"}
        arrays = {"moment": np.full(50, value, np.float32), "step": np.int64(value)} if state else {}
        return self.store.save(Position(epoch, iteration), networks, arrays, CONFIG, system)

    def value(self, *args, **kwargs):
        checkpoint = self.store.load(*args, **kwargs)
        arrays = [array for network in checkpoint.networks.values() for array in network.values()]
        values = {float(value) for array in [*arrays, *checkpoint.state.values()] for value in np.ravel(array)}
        assert len(values) == 1
        return values.pop()

    def names(self):
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "checkpoints" / "run")


def flip(path, place=-5):
    """Change one bit of a file and nothing else about it."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


# ------------------------------------------------------------------ the plain way


def test_everything_comes_back(tmp_path):
    store = CheckpointStore(tmp_path)
    random = np.random.default_rng(0)
    networks = {
        "G": {"model.1.weight": random.normal(size=(4, 3, 7, 7)).astype(np.float32), "n": np.int32(3)},
        "D": {"scale0_layer0.0.weight": random.normal(size=(2, 2)).astype(np.float16)},
    }
    state = {
        "random": np.arange(9, dtype=np.uint8),
        "lr": np.float64(2e-4),
        "pool": np.zeros((0, 3), np.float32),
    }
    info = store.save(Position(3, 17), networks, state, CONFIG, "pix2pixHD")
    assert (info.tag, info.networks, info.verified) == ("3.17", ("G", "D"), True)
    read = CheckpointStore(tmp_path).load(system="pix2pixHD")
    assert read.position == Position(3, 17) and read.config == CONFIG and read.system == "pix2pixHD"
    assert read.verified and read.tag == "3.17"
    for name, arrays in {**networks, "state": state}.items():
        got = read.state if name == "state" else read.networks[name]
        assert got.keys() == arrays.keys()
        for key, array in arrays.items():
            np.testing.assert_array_equal(got[key], array)
            assert got[key].dtype == np.asarray(array).dtype and got[key].shape == np.shape(array)
    assert read.files["net_G"] == tmp_path / "3.17_net_G.safetensors"


def test_positions():
    order = [Position(), Position(1, 1), Position(1, 2), Position(1), Position(2, 1), Position(2)]
    keys = [position.progress for position in order]
    assert keys == sorted(keys) and len(set(keys)) == len(keys)
    assert [position.tag for position in order] == ["0", "1.1", "1.2", "1", "2.1", "2"]
    assert [position.completed_epochs for position in order] == [0, 0, 0, 1, 1, 2]


def test_names_and_pruning(run):
    run.store = CheckpointStore(run.folder, keep_last=2, keep_every=3)
    for epoch in range(1, 8):
        run.save(epoch, iteration=5)
        run.save(epoch)
    assert [info.tag for info in run.store.list()] == ["3", "6", "7.5", "7"]
    files = [f"{tag}_{role}.safetensors" for tag in ("3", "6", "7", "7.5") for role in ("net_D", "net_G", "state")]
    assert run.names() == sorted([*files, "latest_net_D.safetensors", "latest_net_G.safetensors", "manifest.json"])
    assert (run.folder / "latest_net_G.safetensors").samefile(run.folder / "7_net_G.safetensors")
    assert [run.value(tag) for tag in ("3", "6", "7.5", "latest", 7, Position(7, 5))] == [3, 6, 7, 7, 7, 7]
    assert run.warnings == []


def test_only_what_is_asked_for_is_read(run):
    run.save(1)
    flip(run.folder / "1_net_D.safetensors")
    flip(run.folder / "1_state.safetensors")
    checkpoint = run.store.load(networks=["G"], with_state=False)
    assert list(checkpoint.networks) == ["G"] and checkpoint.state == {}
    assert checkpoint.verified and run.warnings == []
    with pytest.raises(UserError, match=r"holds no network E \(it holds G, D\)"):
        run.store.load(networks=["G", "E"])


def test_saving_a_position_again_supersedes_it(run):
    for value in (1, 2, 3):
        run.save(1, value=value)
        assert run.value() == run.value("1") == value
    assert [info.tag for info in run.store.list()] == ["1"]
    assert len(run.names()) == 6


def test_going_on_from_an_earlier_epoch(run):
    for epoch in (1, 2, 3):
        run.save(epoch)
    assert run.value("1") == 1
    run.save(2, value=20)
    assert run.value() == run.value("2") == 20
    assert run.value("3") == 3
    assert [info.tag for info in run.store.list()] == ["1", "3", "2"]


def test_description(run):
    assert "holds no checkpoint" in run.store.describe() and run.store.list() == []
    run.save(1)
    run.save(2, 5)
    lines = run.store.describe().splitlines()
    assert len(lines) == 3 and "2.5" in lines[2] and "G,D" in lines[2]


def test_headers_say_what_a_file_is(run):
    run.save(2, 5)
    metadata, shapes = read_metadata(run.folder / "2.5_net_G.safetensors")
    assert shapes == {"model.1.weight": (4, 3)}
    assert json.loads(metadata["config"]) == CONFIG
    expected = {"system": "pix2pixHD", "network": "G", "epoch": "2", "iteration": "5", "format_version": "1"}
    assert expected.items() <= metadata.items()


# ------------------------------------------------------------------ damage


@pytest.mark.parametrize("role", ["net_G", "net_D", "state"])
@pytest.mark.parametrize("place", [3, 30, -5], ids=["length", "header", "numbers"])
def test_a_flipped_bit_falls_back_to_the_newest_good_one(run, role, place):
    for epoch in (1, 2, 3):
        run.save(epoch)
    flip(run.folder / f"3_{role}.safetensors", place)
    assert run.value() == 2
    (warning,) = run.warnings
    assert f"3_{role}.safetensors does not match its checksum" in warning
    assert "going back to checkpoint 2" in warning
    with pytest.raises(UserError, match=rf"3_{role}.*checksum.*these exist: 1, 2"):
        run.store.load("3")


def test_truncated_missing_and_emptied_files(run):
    for epoch in (1, 2, 3):
        run.save(epoch)
    path = run.folder / "3_net_G.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    (run.folder / "2_state.safetensors").unlink()
    assert run.value() == 1
    assert "3_net_G.safetensors has" in run.warnings[0] and "2_state.safetensors is missing" in run.warnings[0]
    (run.folder / "1_net_D.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=r"no usable checkpoint: .*3_net_G.*2_state.*1_net_D.*restore it"):
        run.store.load()


def test_every_flipped_bit_of_the_manifest_is_survived(run):
    for epoch in (1, 2):
        run.save(epoch)
    path = run.folder / "manifest.json"
    whole = path.read_bytes()
    for place in range(0, len(whole), 23):
        path.write_bytes(whole)
        flip(path, place)
        run.warnings.clear()
        assert run.value() == 2
        assert any("manifest.json" in warning and "nothing can be verified" in warning for warning in run.warnings)


def test_a_damaged_manifest_is_kept_and_rebuilt_by_the_next_save(run):
    for epoch in (1, 2, 3):
        run.save(epoch)
    (run.folder / "1_net_D.safetensors").unlink()  # half a checkpoint is not taken over
    (run.folder / "manifest.json").write_text("{ not JSON")
    run.save(4)
    assert "kept as manifest.broken-1.json" in run.warnings[0]
    assert (run.folder / "manifest.broken-1.json").read_text() == "{ not JSON"
    run.warnings.clear()
    assert [run.value(tag) for tag in ("2", "3", "4", "latest")] == [2, 3, 4, 4]
    assert run.warnings == []
    flip(run.folder / "4_net_G.safetensors")
    assert run.value() == 3


def test_a_manifest_cannot_name_files_elsewhere(run, tmp_path):
    run.save(1)
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    manifest.Manifest([], ["../../victim"]).write(run.folder)
    run.save(2)
    assert victim.read_bytes() == b"mine"


def test_nonfinite_weights_are_refused_on_request(tmp_path):
    run = Run(tmp_path, refuse_nonfinite=True)
    run.save(1)
    with pytest.raises(UserError, match=r"network G holds 12 NaN or infinite values in model\.1\.weight: nothing"):
        run.save(2, value=np.nan, state=False)
    assert [info.tag for info in run.store.list()] == ["1"]
    Run(tmp_path).save(2, value=np.inf, state=False)
    assert run.value() == 1
    assert "2_net_G.safetensors: network G holds 12 NaN" in run.warnings[0]


def test_nonfinite_weights_are_told_otherwise(tmp_path):
    """They are saved and read as they are, so that nothing is lost, and each time that is said."""
    run = Run(tmp_path)
    run.save(1)
    assert run.warnings == []
    run.save(2, value=np.nan, state=False)
    said = "network G holds 12 NaN or infinite values in model.1.weight"
    assert run.warnings[0].endswith(f"{said}: it is saved as it is")
    run.warnings.clear()
    assert np.isnan(run.store.load().networks["G"]["model.1.weight"]).all()
    assert run.warnings[0].endswith(f"2_net_G.safetensors: {said}: its results are useless")


# ------------------------------------------------------------------ people


def test_clear_errors(run, tmp_path):
    with pytest.raises(UserError, match=r"there is no run .*run; .* holds no run: check the name and the folder"):
        run.store.load()
    run.folder.mkdir(parents=True)
    with pytest.raises(UserError, match="holds no checkpoint 'latest': it holds none at all"):
        run.store.load()
    (run.folder / "config.yaml").write_text("name: run")
    with pytest.raises(UserError, match="ended before the first was saved; --continue_train True begins it again"):
        run.store.load()
    run.save(1)
    run.save(2, 30)
    with pytest.raises(UserError, match=r"holds no checkpoint '7': these exist: 1, 2\.30, latest"):
        run.store.load("7")
    with pytest.raises(UserError, match=r"is of the system pix2pixHD, not cyclegan: pass the --config_path"):
        run.store.load(system="cyclegan")
    with pytest.raises(UserError, match="keep_last 0"):
        CheckpointStore(tmp_path, keep_last=0)


def test_a_newer_format_is_refused(run):
    run.save(1)
    earlier, manifest.FORMAT_VERSION = manifest.FORMAT_VERSION, 2
    try:
        manifest.Manifest().write(run.folder)
    finally:
        manifest.FORMAT_VERSION = earlier
    with pytest.raises(UserError, match="format version 2, this program reads up to 1: use the version that wrote"):
        run.store.load()


def test_copied_files_without_a_manifest(run, tmp_path):
    run.save(5)
    copy = Run(tmp_path / "copy")
    copy.folder.mkdir()
    shutil.copy(run.folder / "latest_net_G.safetensors", copy.folder)
    checkpoint = copy.store.load(networks=["G"], with_state=False)
    assert checkpoint.position == Position(5) and checkpoint.config == CONFIG and not checkpoint.verified
    assert "without verification" in copy.warnings[0]
    for path in run.folder.glob("5_*"):
        shutil.copy(path, copy.folder)
    assert copy.value() == copy.value("5") == 5
    assert copy.store.load().state["step"] == 5
    (copy.folder / "5_net_D.safetensors").unlink()
    assert copy.store.load(with_state=False).tag == "latest"
    with pytest.raises(UserError, match=r"5_net_D\.safetensors is missing"):
        copy.store.load("5")


def test_converted_weights_stay_when_training_goes_on_from_them(run):
    run.folder.mkdir(parents=True)
    for name in ("latest_net_G", "latest_net_D", "200_net_G"):
        write_arrays(run.folder / f"{name}.safetensors", {"w": np.full(3, 77, np.float32)}, {"system": "pix2pixHD"})
    assert run.store.load(with_state=False).tag == "latest"
    assert run.value("200") == 77
    run.save(1)
    run.save(200)
    assert run.value() == 200
    assert run.value("initial") == 77
    assert run.folder.joinpath("200_net_G.safetensors").stat().st_size < 200
    assert run.folder.joinpath("200-2_net_G.safetensors").exists()


# ------------------------------------------------------------------ kills and disks


def command(script, folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    result = subprocess.run(
        [sys.executable, *script, *arguments], cwd=folder, capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_kills_at_random_moments_never_cost_a_checkpoint(tmp_path):
    script = Path(__file__).with_name("killed_saves.py")
    report = json.loads(command([script], tmp_path, "random", "run", "60"))
    assert report["violations"] == []
    assert report["kills"] == 60 and report["in_progress"] >= 15
    last = report["last"]
    roles = ("net_D", "net_G", "state")
    expected = [f"{step}_{role}.safetensors" for step in (last - 1, last) for role in roles]
    published = ["latest_net_D.safetensors", "latest_net_G.safetensors", "manifest.json"]
    assert report["files"] == sorted([*expected, *published])


def test_a_kill_before_any_file_operation_never_costs_a_checkpoint(tmp_path):
    report = json.loads(command([Path(__file__).with_name("killed_saves.py")], tmp_path, "steps", "."))
    assert report["violations"] == []
    assert report["kills"] > 60


FAILING_SAVE = """
    import numpy as np
    from src.runs.checkpoints import CheckpointStore, Position
    from src.utils.errors import UserError
    store = CheckpointStore("run")

    def save(epoch):
        networks = {"G": {"w": np.full(300_000, epoch, np.float32)}}
        store.save(Position(epoch), networks, {"m": np.full(600_000, epoch, np.float32)}, {}, "test")
        return int(store.load().state["m"][0])

    assert save(1) == 1
    PREPARE
    try:
        save(2)
    except UserError as error:
        print(error)
    assert store.load().state["m"][0] == 1
    assert not list(store.folder.glob("*2_*"))
    REPAIR
    print([info.tag for info in store.list()])
    """


def test_full_disk(tmp_path):
    """A limit on file sizes fails a write in the middle, as a full disk does, and needs no privileges."""
    code = textwrap.dedent(FAILING_SAVE).replace(
        "PREPARE",
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))",
    )
    infinity = "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))"
    lines = command(["-c", code.replace("REPAIR", f"{infinity}; save(2)")], tmp_path).splitlines()
    assert lines[0].startswith("cannot write run/2_state.safetensors: the file is larger than the limit")
    assert lines[0].endswith("earlier files are untouched")
    assert lines[1] == "['1', '2']"
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    files = [f"{epoch}_{role}.safetensors" for epoch in (1, 2) for role in ("net_G", "state")]
    assert names == [*files, "latest_net_G.safetensors", "manifest.json"]


def test_read_only_folder(tmp_path):
    """Root may write anywhere, so the process becomes nobody first."""
    prepare = """
    import os
    os.chmod(".", 0o755)  # or else nobody could not even look for the folder
    os.chmod("run", 0o555)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    """
    code = textwrap.dedent(FAILING_SAVE.replace("    PREPARE", prepare.strip("\n")).replace("REPAIR", ""))
    lines = command(["-c", code], tmp_path).splitlines()
    assert lines[0].startswith("cannot write run/manifest.json: permission denied: change the permissions of run")
    assert lines[1] == "['1']"
