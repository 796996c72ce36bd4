"""Run folders belong to one run, and to one process at a time."""

import signal
import subprocess
import sys
import textwrap
import time

import pytest

from src.runs.folder import claim_run_folder
from src.utils.errors import UserError


def test_a_folder_with_a_run_is_refused(tmp_path):
    folder = tmp_path / "checkpoints" / "run"
    with claim_run_folder(folder, {"netG": "global"}):
        pass
    with claim_run_folder(folder, {"netG": "local"}):  # the first one stopped before it had anything to lose
        pass
    (folder / "log.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match=r"already holds a run \(log.jsonl\): pass --continue_train True .* --name"):
        claim_run_folder(folder, {"netG": "local"})
    claim_run_folder(folder, {"netG": "local"}, continue_run=True).release()
    with pytest.raises(UserError, match="netG was 'local', is 'global'"):
        claim_run_folder(folder, {"netG": "global"}, continue_run=True)


def test_the_run_of_another_system_is_named(tmp_path):
    claim_run_folder(tmp_path, {"model": "pix2pixHD", "netG": "global"}).release()
    (tmp_path / "log.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match="holds a run of pix2pixHD, not of cyclegan: pass another --name"):
        claim_run_folder(tmp_path, {"model": "cyclegan", "n_blocks": 9}, True)


def test_a_run_that_does_not_name_its_system_goes_on(tmp_path):
    claim_run_folder(tmp_path, {"n_blocks": 9}).release()
    (tmp_path / "log.jsonl").write_text("{}\n")
    claim_run_folder(tmp_path, {"model": "cyclegan", "n_blocks": 9}, True, {"model": ""}).release()


def test_what_a_run_of_an_earlier_version_does_not_name_was_the_default(tmp_path):
    claim_run_folder(tmp_path, {"netG": "local"}).release()
    (tmp_path / "log.jsonl").write_text("{}\n")
    defaults = {"netG": "global", "layers": "published", "lr": 0.1}
    claim_run_folder(tmp_path, {"netG": "local", "layers": "published"}, True, defaults).release()
    with pytest.raises(UserError, match="layers was 'published', is 'other'"):
        claim_run_folder(tmp_path, {"netG": "local", "layers": "other"}, True, defaults)


@pytest.mark.parametrize("name", ["manifest.json", "latest_net_G.safetensors"])
def test_checkpoints_make_a_run(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError, match=name):
        claim_run_folder(tmp_path, {})
    (tmp_path / name).write_bytes(b"")
    claim_run_folder(tmp_path, {}).release()


def test_a_folder_in_use_is_refused_until_its_process_dies(tmp_path):
    code = """
        import time
        from src.runs.folder import claim_run_folder
        lock = claim_run_folder(".", {})
        print("claimed", flush=True)
        time.sleep(60)
        """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "claimed\n"
        with pytest.raises(UserError, match=rf"in use by process {process.pid} on .* another --name"):
            claim_run_folder(tmp_path, {}, continue_run=True)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    time.sleep(0.01)
    claim_run_folder(tmp_path, {}).release()


def test_a_lock_that_is_a_link_is_not_written_through(tmp_path):
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".run.lock").symlink_to(tmp_path / "mine")
    with pytest.raises(UserError, match=r"cannot write .*\.run\.lock: it is a link"):
        claim_run_folder(tmp_path / "run", {})
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_a_start_that_failed_leaves_no_folder(tmp_path):
    folder = tmp_path / "checkpoints" / "run"
    lock = claim_run_folder(folder, {})
    (folder / "config.yaml").write_text("model: x")
    lock.withdraw()
    assert not folder.exists() and folder.parent.is_dir()


@pytest.mark.parametrize("name", ["log.jsonl", "notes.txt"])
def test_what_is_in_a_folder_is_kept(tmp_path, name):
    folder = tmp_path / "run"
    lock = claim_run_folder(folder, {})
    (folder / name).write_text("x")
    lock.withdraw()
    assert (folder / name).read_text() == "x"


def test_a_folder_that_was_there_before_stays(tmp_path):
    claim_run_folder(tmp_path, {}).withdraw()
    assert tmp_path.is_dir()
