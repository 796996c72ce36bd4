"""What a file says, as it may be printed."""

import subprocess
import sys

import numpy as np
import pytest

from src.options.owner import ROOT
from src.utils.errors import UserError, shown
from src.utils.tensorfile import read_arrays, read_metadata, write_arrays


class Endless:
    def __str__(self):
        raise AssertionError("written out")

    __repr__ = __str__


@pytest.mark.parametrize(
    "value, text",
    [
        ("model.1.weight", "model.1.weight"),
        ("ü ∂ 語", "ü ∂ 語"),
        ("\x1b[2J\x07\n\t", "\\x1b[2J\\x07\\n\\t"),
        ("\x9b1m \u202e \ud800 \u2028", "\\x9b1m \\u202e \\ud800 \\u2028"),
        (b"\x1b[2Ja", "\\x1b[2Ja"),
        ("a" * 300, "a" * 200 + "..."),
        (b"a" * 300, "a" * 200 + "..."),
        (None, "None"),
        (True, "True"),
        (-1.5, "-1.5"),
        (2**63, str(2**63)),
        (10**5000, "a value of the type int"),
        ((Endless(),), "a value of the type tuple"),
        (Endless(), "a value of the type Endless"),
    ],
    ids=range(14),
)
def test_shown(value, text):
    assert shown(value) == text


def test_shown_cuts():
    assert shown("abcdef", 3) == "abc..." and shown("abc", 3) == "abc"


@pytest.mark.parametrize("name", ["\x1b[2J\x07", "a\n.weight", "a" * 1001])
@pytest.mark.parametrize("read", [read_arrays, read_metadata])
def test_names_in_safetensors_files_are_printable(tmp_path, read, name):
    path = tmp_path / "a.safetensors"
    write_arrays(path, {name: np.zeros(2, np.float32)})
    with pytest.raises(UserError, match=r"a\.safetensors names an array") as raised:
        read(path)
    assert str(raised.value).isprintable() and len(str(raised.value)) < len(str(path)) + 500


@pytest.mark.parametrize("program", ["train.py", "eval.py", "export.py", "precompute_feature_maps.py"])
def test_help_into_a_closed_pipe_is_no_error(program):
    """As with ``| head -1``."""
    words = f"{sys.executable} {ROOT / program} --help | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", words], capture_output=True, text=True, timeout=100)
    assert done.stdout.startswith("usage: python ") and done.stdout.count("\n") == 1
    assert done.stderr == "" and done.returncode in (0, 141)


def test_ctrl_c_ends_with_130_and_without_a_traceback():
    code = "import os, signal, src\nfrom src.utils.errors import run_command\n"
    code += "run_command(lambda argv: os.kill(os.getpid(), signal.SIGINT) or __import__('time').sleep(9), [])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, cwd=ROOT)
    assert done.returncode == 130 and done.stderr == "stopped\n"
