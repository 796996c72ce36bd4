"""Stop requests by signal and file, and the watch over losses that are not finite."""

import json
import os
import signal
import subprocess
import sys

import pytest
from mindspore import Tensor

from src.training.guards import MAX_BAD_STEPS, FiniteWatch, StopRequest
from src.utils.errors import UserError


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_becomes_a_flag_and_the_second_stops_at_once(number):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert stop and stop.number == number
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_file_stops_workers_that_no_signal_reaches(tmp_path, monkeypatch):
    assert not StopRequest()
    monkeypatch.setenv("MINDI2I_STOP_FILE", str(tmp_path / "stop"))
    with StopRequest() as stop:
        assert not stop
        (tmp_path / "stop").touch()
        assert stop and stop.number == 0


def test_an_uncaught_second_signal_ends_the_process(tmp_path):
    code = (
        "import src, os, signal, time\n"
        "from src.training.guards import StopRequest\n"
        "with StopRequest():\n"
        "    print('ready', flush=True)\n"
        "    while True: time.sleep(0.05)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) != 0
    finally:
        process.kill()
        process.communicate()


def watched(tmp_path, steps, losses=(1.0, float("nan")), norms=(float("inf"), 2.0)):
    watch = FiniteWatch(tmp_path, ("G_GAN", "D_real"), ("G", "D"))
    for step in range(1, steps + 1):
        watch.remember(step, [f"scene_{step}", "other"], Tensor(list(losses)), Tensor(list(norms)))
    return watch


def test_nine_bad_steps_are_borne(tmp_path):
    watched(tmp_path, 20).check(MAX_BAD_STEPS - 1, 1.0, 20, True)
    assert not list(tmp_path.iterdir())


def test_ten_bad_steps_stop_the_run_with_a_dump(tmp_path):
    with pytest.raises(UserError) as stopped:
        watched(tmp_path, 25).check(MAX_BAD_STEPS + 2, 512.0, 25, True)
    message = str(stopped.value)
    assert message.startswith("12 steps in a row had no finite gradient (not finite: D_real, G)")
    path = tmp_path / "not_finite_step_25.json"
    assert str(path) in message and "--lr" in message
    dump = json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert dump["loss_scale"] == 512
    assert [entry["step"] for entry in dump["steps"]] == list(range(16, 26))
    assert dump["steps"][-1] == {
        "step": 25,
        "samples": ["scene_25", "other"],
        "losses": {"G_GAN": 1.0, "D_real": "nan"},
        "norms": {"G": "inf", "D": 2.0},
    }


def test_other_workers_stop_without_writing(tmp_path):
    with pytest.raises(UserError, match="12 steps in a row"):
        watched(tmp_path, 12).check(12, 1.0, 12, False)
    assert not list(tmp_path.iterdir())


def test_a_bad_gradient_behind_finite_numbers_is_still_said(tmp_path):
    with pytest.raises(UserError, match=r"\(not finite: a gradient\)"):
        watched(tmp_path, 10, (1.0, 1.0), (1.0, 1.0)).check(10, 1.0, 10, True)


@pytest.mark.parametrize("first_bad", range(1, 24))
def test_the_run_stops_at_the_tenth_bad_step_wherever_they_begin(tmp_path, first_bad):
    """The count is read now and then, and yet no run of bad steps is longer than ten."""
    watch, read = FiniteWatch(tmp_path, ("loss",), ("G",)), []
    with pytest.raises(UserError, match="^10 steps in a row"):
        for done in range(1, 60):
            watch.remember(done, ["x"], Tensor([1.0]), Tensor([1.0]))
            if watch.is_due(done):
                read.append(done)
                watch.check(max(0, done - first_bad + 1), 1.0, done, False)
    assert done == first_bad + MAX_BAD_STEPS - 1 and len(read) <= 6
