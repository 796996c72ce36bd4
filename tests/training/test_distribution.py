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
def steps(tmp_path_factory, data):
    """``arrays[worker][k]`` after step k of two workers, and under ``alone`` of one with both of their batches."""
    out = {name: tmp_path_factory.mktemp(name) for name in ("together", "alone")}
    options = [*options_of(data_root=data, instance_feat=True, serial_batches=True, no_flip=True, mode=None)]
    program = 'source scripts/common.sh; launch 2 tests/training/two_workers.py "$@"'
    words = [str(out["together"]), str(STEPS), "--run_distribute=True", "--mode=graph", *options]
    done = subprocess.run(
        ["bash", "-c", program, "launch", *words],
        cwd=ROOT, env=environment(out["together"] / "log"), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    two_workers.main([str(out["alone"]), str(STEPS), "--batch_size=2", "--mode=pynative", *options])

    def read(folder, worker):
        return [dict(np.load(folder / f"worker{worker}_step{k}.npz")) for k in range(1, STEPS + 1)]

    return {0: read(out["together"], 0), 1: read(out["together"], 1), "alone": read(out["alone"], 0)}


def test_workers_see_different_samples(steps):
    assert [step["ids"].tolist() for step in steps[0]] == [[0], [2], [4], [0]]
    assert [step["ids"].tolist() for step in steps[1]] == [[1], [3], [5], [1]]
    assert [step["ids"].tolist() for step in steps["alone"]] == [[0, 1], [2, 3], [4, 5], [0, 1]]
    assert [int(step["epoch"]) for step in steps[0]] == [0, 0, 0, 1]


def test_workers_start_from_the_first_ones_weights(steps):
    assert (steps[0][0]["before"] != steps[1][0]["before"]).all()


def test_workers_are_equal_to_the_bit_after_every_step(steps):
    own = {"ids", "before"}
    for first, second in zip(steps[0], steps[1], strict=True):
        assert first.keys() == second.keys() and len(first) > 60
        assert not [name for name in first.keys() - own if first[name].tobytes() != second[name].tobytes()]


def test_two_workers_equal_one_with_both_batches(steps):
    # the gradient of a bias in front of a norm is rounding, which Adam makes whole steps of
    last = ("G.model.18.bias", "E.model.17.bias", "D.scale0_layer0.0.bias", "D.scale0_layer4.0.bias")
    for together, alone in zip(steps[0], steps["alone"], strict=True):
        weights = [n for n in together if re.match(r"[GDE]\.", n) and (n.endswith("weight") or n in last)]
        assert len(weights) == 23
        for name in weights:
            np.testing.assert_allclose(together[name], alone[name], rtol=0, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(together["losses"], alone["losses"], rtol=1e-5)
        np.testing.assert_allclose(together["norms"], alone["norms"], rtol=1e-4)
    moved = [np.abs(steps[0][-1][name] - steps[0][0][name]).max() for name in weights]
    assert min(moved) > 1e-4


def test_one_workers_wish_reaches_all(steps):
    assert steps[0][0]["said"].tolist() == steps[1][0]["said"].tolist() == [False, True]


# -- the script --------------------------------------------------------------------------------------------------


class Job:
    """A running script, with everything it said, and the processes that belong to it."""

    def __init__(self, folder, data, *options):
        self.logs = folder / "logs"
        self.mark = f"MINDI2I_STOP_FILE={self.logs}/stop".encode()
        words = options_of(save_ckpt_dir=folder, niter=200, print_freq=1, display_freq=1000, keep_last=9)
        self.process = subprocess.Popen(
            ["bash", str(SCRIPT), "2", str(data), *words, *options],
            cwd=folder, env=environment(self.logs), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
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
