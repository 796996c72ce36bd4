"""Text on its way out of the program."""

import os
import subprocess
import sys

import pytest

from src.utils.files import atomic_write
from src.utils.text import counted, readable


@pytest.mark.parametrize(
    "text, utf8, ascii_only",
    [
        ("plain\ttext\n", "plain\ttext\n", "plain\ttext\n"),
        ("Straße 数", "Straße 数", r"Stra\xdfe \u6570"),
        ("stra\udcc3\udc9fe", "straße", r"stra\xdfe"),
        ("stra\udcdfe", r"stra\xdfe", r"stra\xdfe"),
        ("half \ud83d", r"half \ud83d", r"half \ud83d"),
    ],
)
def test_text_of_any_origin_is_readable(text, utf8, ascii_only):
    assert readable(text) == readable(text, None) == utf8 and readable(text, "ascii") == ascii_only
    assert readable(utf8) == utf8


def test_text_files_hold_what_utf8_can(tmp_path):
    atomic_write(tmp_path / "table.md", "stra\udcdfe")
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == r"stra\xdfe"


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_commands_print_what_the_locale_lacks(encoding):
    code = (
        "from src.utils.errors import UserError, run_command\n"
        "def main(words):\n"
        r"    print('stra\xdfe \udcdf')"
        "\n"
        r"    raise UserError('stra\xdfe \udcdf')"
        "\n"
        "run_command(main)\n"
    )
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": f"{encoding}:strict"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, timeout=60)
    shown = "straße" if encoding == "utf-8" else r"stra\xdfe"
    assert done.returncode == 2 and done.stdout.decode(encoding) == f"{shown} \\udcdf\n"
    assert done.stderr.decode(encoding) == f"error: {shown} \\udcdf\n"


def test_counts_have_the_noun_that_fits():
    assert [counted(n, "image") for n in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert [counted(n, "class", "classes") for n in (1, 2)] == ["1 class", "2 classes"]
