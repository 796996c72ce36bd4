"""Two workers: equal parameters, equal to one worker with both batches, stopping, resuming, and dying."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from src.options.owner import ROOT
from src.runs.checkpoint_reader import CheckpointReader
from src.runs.log import read_log
from tests.tiny_runs import make_streets, options_of
from tests.training import two_workers

SCRIPT = ROOT / "scripts" / "distribute_train_512p.sh"
STEPS = 4


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_streets(tmp_path_factory.mktemp("streets"), train=6, test=0)


def environment(logs):
    return os.environ | {"PYTHON": sys.executable, "DEVICE_TARGET": "CPU", "LOG_DIR": str(logs)}


# -- equal steps -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def together(tmp_path_factory, data):
    """The folder in which two workers wrote what became of every system."""
    out = tmp_path_factory.mktemp("together")
    program = 'source scripts/common.sh; launch 2 tests/training/two_workers.py "$@"'
    words = options_of(data_root=data, instance_feat=True, serial_batches=True, no_flip=True, run_distribute=True)
    done = subprocess.run(
        ["bash", "-c", program, "launch", str(out), *words],
        cwd=ROOT, env=environment(out / "log"), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_workers_see_different_samples_and_one_workers_wish_reaches_all(together):
    first, second = (np.load(together / f"data_{rank}.npz") for rank in (0, 1))
    assert first["samples"].tolist() == [[0, 0], [0, 2], [0, 4], [1, 0], [1, 2], [1, 4]]
    assert second["samples"].tolist() == [[0, 1], [0, 3], [0, 5], [1, 1], [1, 3], [1, 5]]
    assert first["said"].tolist() == second["said"].tolist() == [False, True]


@pytest.fixture(scope="module", params=two_workers.SYSTEMS)
def one_system(request):
    """The name of a system, and what one worker makes of both workers' samples."""
    return request.param, two_workers.run(request.param, "pynative", 0, 1)


@pytest.mark.parametrize("kind", ["pynative", "graph"])
def test_two_workers_are_equal_to_the_bit_and_equal_one_with_all_samples(together, one_system, kind):
    """And a step that is bad on one of them changes nothing on both."""
    name, alone = one_system
    first, second = (dict(np.load(together / f"{name}_{kind}_{rank}.npz")) for rank in (0, 1))
    assert first.keys() == second.keys() and first.keys() > alone.keys()
    assert not [key for key in first if first[key].tobytes() != second[key].tobytes()]
    assert first["bad.bad_steps"] == 1 and not np.isfinite(first["bad.norms"]).all()
    kept = [key for key in first if key.startswith("bad.") and key.count(".") > 1 and "moving_" not in key]
    assert not [key for key in kept if (first[key] != first[key.replace("bad", "step0")]).any()] and len(kept) > 30
    for when in ("step0", "step1"):
        np.testing.assert_allclose(first[f"{when}.losses"], alone[f"{when}.losses"], rtol=1e-5)
        np.testing.assert_allclose(first[f"{when}.norms"], alone[f"{when}.norms"], rtol=1e-4)
        moments = [key for key in alone if key.startswith(f"{when}.moment2.")]
        largest = max(alone[key].max() for key in moments)
        for key in moments:
            # the gradient of a bias in front of a norm is rounding, which Adam makes whole steps of
            certain = alone[key] > 1e-6 * largest
            weight = key.replace(".moment2.", ".")
            found, wanted = first[weight][certain], alone[weight][certain]
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6, err_msg=weight)


# -- the script --------------------------------------------------------------------------------------------------


class Job:
    """A running script, with everything it said, and the processes that belong to it."""

    def __init__(self, folder, data, *options):
        self.logs = folder / "logs"
        self.mark = f"MINDI2I_STOP_FILE={self.logs}/stop".encode()
        words = options_of(save_ckpt_dir=folder, niter=200, print_freq=1, display_freq=1000, keep_last=9)
        # MindSpore's scheduler gives up a worker that has said nothing for as many seconds; it waits 30 by default
        settings = environment(self.logs) | {"MS_NODE_TIMEOUT": "10"}
        self.process = subprocess.Popen(
            ["bash", str(SCRIPT), "2", str(data), *words, *options],
            cwd=folder, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.said = ""

    def wait_for(self, text):
        for line in self.process.stdout:
            self.said += line
            if text in line:
                return
        pytest.fail(f"{text} was never said:\n{self.said}")

    def finish(self, seconds):
        """Wait for the end; the status."""
        self.said += self.process.communicate(timeout=seconds)[0]
        return self.process.returncode

    def processes(self, variable=b""):
        """Ids of this job's living processes, those with ``variable`` in their environment."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if self.mark in words and (not variable or variable in words) and int(folder.name) != os.getpid():
                found.append(int(folder.name))
        return found

    def end(self):
        """Leave nothing behind, whatever the test found."""
        self.process.kill()
        for number in self.processes():
            os.kill(number, signal.SIGKILL)


def test_stopping_saves_and_leaves_no_process_and_a_killed_worker_ends_the_run(data, tmp_path):
    job = Job(tmp_path, data)
    try:
        job.wait_for("saved checkpoint 1 ")
        workers = [n for n in job.processes(b"MS_ROLE=MS_WORKER") if b"train.py" in command_line(n)]
        assert len(workers) == 2
        job.process.send_signal(signal.SIGTERM)
        assert job.finish(90) == 143
        assert not job.processes()
    finally:
        job.end()
    assert re.search(r"stopped after step (\d+)0; --continue_train True", job.said)
    folder = tmp_path / "label2city_512p"
    saved = CheckpointReader(folder).load()
    stopped = saved.state["run.step"].item()
    assert stopped % 10 == 0
    # the first worker alone wrote, once for every step
    assert [record["step"] for record in read_log(folder / "log.jsonl")] == list(range(1, stopped + 1))

    job = Job(tmp_path, data, "--continue_train")
    try:
        job.wait_for(f"(step {stopped})")
        job.wait_for("saved checkpoint ")
        second = [n for n in job.processes(b"RANK_ID=1") if b"train.py" in command_line(n)]
        assert len(second) == 1
        os.kill(second[0], signal.SIGKILL)
        killed = time.monotonic()
        assert job.finish(90) not in (0, 143)
        assert time.monotonic() - killed < 60
        assert not job.processes()
    finally:
        job.end()
    assert f"Worker process {second[0]} exit with exception. Error code: -9" in job.said
    assert "the run ended with status 1; the last errors of the logs in" in job.said
    assert CheckpointReader(folder).load().state["run.step"].item() > stopped


def command_line(number):
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return b""


def test_the_workers_last_error_is_on_the_console_once(data, tmp_path):
    """Options that no network is found to contradict before the workers have built it."""
    job = Job(tmp_path, data, "--load_size", "70")
    try:
        assert job.finish(60) == 1
        assert not job.processes()
    finally:
        job.end()
    _, _, summary = job.said.partition("the last errors of the logs")
    assert summary.count("the network's stride 4 must divide both sides") == 1


@pytest.mark.parametrize("words", [[], ["0"], ["two"], ["--niter", "3"]])
def test_the_number_of_devices_is_needed(words):
    done = subprocess.run(["bash", SCRIPT, *words], capture_output=True, text=True, env=environment("logs"))
    assert done.returncode == 1
    assert done.stderr.startswith("usage: bash scripts/distribute_train_512p.sh DEVICES [DATA_ROOT] [--key value ...]")


def test_workers_need_their_launcher(data):
    words = [sys.executable, ROOT / "train.py", "--data_root", data, "--run_distribute", "--device_target", "CPU"]
    words += ["--no_vgg_loss", "True"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2
    assert "run_distribute is for workers that msrun starts: use scripts/distribute_train_*.sh N" in done.stderr
