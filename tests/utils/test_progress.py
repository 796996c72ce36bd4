"""Progress in a terminal (a real pseudo-terminal) and in a file."""

import contextlib
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time

import pytest

from src.utils import progress
from src.utils.progress import Progress, compiling, track, write_line


def run_in_terminal(code: str, columns: int) -> str:
    """Run Python code with its standard streams on a pseudo-terminal; return what the terminal received."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    environment = os.environ | {"TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=follower, stdout=follower, stderr=follower, env=environment
    )
    os.close(follower)
    received = []

    def drain():
        try:
            while data := os.read(leader, 65536):
                received.append(data)
        except OSError:
            pass

    reader = threading.Thread(target=drain)
    reader.start()
    assert process.wait(60) == 0
    reader.join(10)
    os.close(leader)
    return b"".join(received).decode()


@pytest.mark.parametrize("columns", [100, 0])
def test_a_terminal_gets_one_bar_with_time_left_and_lines_above_it(columns):
    shown = run_in_terminal(
        "import time\n"
        "from src.utils.progress import Progress, write_line\n"
        "with Progress(20, 'epoch 1', unit='images') as bar:\n"
        "    for i in range(20):\n"
        "        time.sleep(0.03)\n"
        "        bar.update(G_GAN=1.5)\n"
        "        if i == 10: write_line('a line of text')\n",
        columns,
    )
    assert "epoch 1" in shown and "20/20" in shown and "G_GAN=1.5" in shown
    assert re.search(r"\d\d:\d\d<\d\d:\d\d", shown), "elapsed and remaining time"
    assert shown.count("\r") > 5
    assert "\ra line of text\r\n" in shown, "the bar is wiped before the line and drawn again after it"


def lines_of(steps, sleep=0.002, stream=None, **options):
    """The lines of a file after ``steps`` updates, each after so many seconds."""
    stream = stream or io.StringIO()
    with Progress(stream=stream, **options) as bar:
        for _ in range(steps):
            time.sleep(sleep)
            bar.update(G_GAN=0.25)
    assert "\r" not in stream.getvalue() and "\x1b" not in stream.getvalue()
    return stream.getvalue().splitlines()


def test_a_file_gets_plain_lines_only():
    lines = lines_of(100, 0.004, total=100, description="epoch 1", unit="images", interval=0.05)
    assert 3 <= len(lines) <= 12
    line = r"epoch 1: +\d+% \d+/100 \[00:00<00:00, +[\d.]+(images/s|s/images), G_GAN=0\.25\]"
    assert all(re.fullmatch(line, each) for each in lines) and "100% 100/100" in lines[-1]


def test_a_short_loop_writes_no_lines():
    assert lines_of(3, total=3, interval=30) == []


def test_a_dumb_terminal_counts_as_a_file(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    stream = io.StringIO()
    stream.isatty = lambda: True
    assert "100% 2/2" in lines_of(2, stream=stream, total=2, interval=0)[-1]


@pytest.mark.parametrize("initial", [0, 500])
def test_the_first_step_does_not_count_for_the_time_left(initial, monkeypatch):
    monkeypatch.setattr(progress, "REMIND_AFTER", 0.35)
    stream = io.StringIO()
    with Progress(1000, stream=stream, initial=initial, interval=0, first=compiling("graph", ["G", "D"])) as bar:
        assert stream.getvalue() == "compiling G, D ...\n"
        for seconds in (1.0, 0.01, 0.01, 0.01, 0.01):
            time.sleep(seconds)
            bar.update()
        assert bar.format_dict["elapsed"] < 0.9
    lines = stream.getvalue().splitlines()
    assert lines[1:3] == ["compiling G, D for 0 s so far ...", "compiling G, D for 1 s so far ..."]
    assert re.fullmatch(r"compiling G, D took 1\.\d s with the first of the steps", lines[3])
    assert compiling("pynative", ["G", "D"]) == ""
    for line in lines[4:]:
        minutes, seconds = re.search(r"<(\d\d):(\d\d),", line).groups()
        assert 60 * int(minutes) + int(seconds) < 200, "steps of 1 s would take 500 s and more"
    assert f"{initial + 5}/1000" in lines[-1]


@pytest.mark.parametrize("total", [None, 0])
def test_unknown_and_empty_totals(total):
    assert "3steps [00:00, " in lines_of(3, total=total, interval=0)[-1]


def test_other_ranks_are_silent_and_closed_streams_do_no_harm(capsys):
    with Progress(3, enabled=False, first="compiling") as bar:
        bar.update()
    assert capsys.readouterr() == ("", "")
    stream = io.StringIO()
    bar = Progress(3, stream=stream, interval=0)
    stream.close()
    for _ in range(2):
        bar.update()
        time.sleep(0.002)
    bar.close()


def test_a_full_disk_does_not_end_the_work():
    with contextlib.suppress(OSError), open("/dev/full", "w", encoding="utf-8") as stream:
        with Progress(3, stream=stream, interval=0, first="compiling") as bar:
            for _ in range(3):
                time.sleep(0.002)
                bar.update()
        assert bar.n == 3


def test_track_yields_everything_and_counts(capsys):
    letters = []
    for letter in track("abc", "letters", unit="letters", interval=0):
        time.sleep(0.002)
        letters.append(letter)
    assert letters == ["a", "b", "c"]
    assert "letters: 100% 3/3" in capsys.readouterr().err
    assert list(track(iter("ab"), enabled=False)) == ["a", "b"]
    write_line("plain")
    assert capsys.readouterr().out == "plain\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_names_that_the_stream_cannot_say_are_escaped(terminal):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    stream.isatty = lambda: terminal
    with Progress(2, "Straße", stream=stream, interval=0) as bar:
        bar.describe("数据 \udcff")
        for _ in range(2):
            time.sleep(0.002)
            bar.update()
    write_line("stra\udcc3\udc9fe", stream)
    stream.seek(0)
    assert r"\u6570\u636e \xff: 100%" in stream.read().replace("\r", "\n")
