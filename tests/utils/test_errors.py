"""What a file says, as it may be printed."""

import numpy as np
import pytest

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
