"""Progress in a terminal (a real pseudo-terminal) and in a file."""

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

from src.utils import progress as module
from src.utils.progress import Progress, track, write_line


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
    assert "epoch 1" in shown and "20/20" in shown and "G_GAN 1.5" in shown
    assert re.search(r"\d\d:\d\d<\d\d:\d\d", shown), "elapsed and remaining time"
    assert shown.count("\r") > 5
    assert "\ra line of text\r\n" in shown, "the bar is wiped before the line and drawn again after it"


def test_a_file_gets_plain_lines_only():
    stream = io.StringIO()
    with Progress(100, "epoch 1", unit="images", stream=stream, interval=0.05) as bar:
        for _ in range(100):
            time.sleep(0.004)
            bar.update(G_GAN=0.25)
    lines = stream.getvalue().splitlines()
    assert 3 <= len(lines) <= 12
    assert "\r" not in stream.getvalue() and "\x1b" not in stream.getvalue()
    assert re.fullmatch(r"epoch 1: \d+/100 images \(\d+ %\), [\d.e+]+ images/s, 0\.\d s left, G_GAN 0\.25", lines[0])
    assert re.fullmatch(r"epoch 1: 100/100 images \(100 %\), 0\.\d s in all, [\d.e+]+ images/s, G_GAN 0\.25", lines[-1])


def test_a_dumb_terminal_counts_as_a_file(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    stream = io.StringIO()
    stream.isatty = lambda: True
    with Progress(2, stream=stream) as bar:
        bar.update(2)
    assert "\r" not in stream.getvalue() and "2/2 steps (100 %)" in stream.getvalue()


def test_time_left_follows_the_speed_since_the_last_line(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    stream = io.StringIO()
    bar = Progress(103, stream=stream, interval=10)
    for seconds in (300, 10, 10):
        clock[0] += seconds
        bar.update()
    lines = stream.getvalue().splitlines()
    assert "8 h 30 min left" in lines[0], "the first step compiles: 300 s x 102"
    assert "16 min 50 s left" in lines[1] and "16 min 40 s left" in lines[2]


def test_a_resumed_bar_starts_where_it_stopped():
    stream = io.StringIO()
    with Progress(10, stream=stream, initial=9, interval=0) as bar:
        bar.update()
    assert "10/10" in stream.getvalue()


@pytest.mark.parametrize("total, text", [(None, "3 steps,"), (0, "3/0 steps (100 %)")])
def test_unknown_and_empty_totals(total, text):
    stream = io.StringIO()
    with Progress(total, stream=stream) as bar:
        bar.update(3)
    assert text in stream.getvalue()


def test_other_ranks_are_silent_and_closed_streams_do_no_harm(capsys):
    with Progress(3, enabled=False) as bar:
        bar.update()
    assert capsys.readouterr() == ("", "")
    stream = io.StringIO()
    bar = Progress(3, stream=stream, interval=0)
    stream.close()
    bar.update()
    bar.close()


def test_track_yields_everything_and_counts(capsys):
    assert list(track("abc", "letters", unit="letters")) == ["a", "b", "c"]
    assert "letters: 3/3 letters" in capsys.readouterr().err
    assert list(track(iter("ab"), enabled=False)) == ["a", "b"]
    write_line("plain")
    assert capsys.readouterr().out == "plain\n"
