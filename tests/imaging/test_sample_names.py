"""Names of results: encodable, short enough, and unique."""

import os

import pytest

from src.imaging.names import LONGEST_NAME, file_name, half_name, pair_name, unique_names


def test_ordinary_names_stay():
    for name in ("aachen_000000_000019", "shot.0001", "straße", "日本", "a b", "x" * LONGEST_NAME):
        assert file_name(name) == name


def test_bytes_that_are_not_utf8_are_written_out():
    assert file_name(os.fsdecode(b"stra\xdfe")) == "stra=DFe"
    assert file_name(os.fsdecode("straße".encode() + b"\xff")) == "straße=FF"


@pytest.mark.parametrize("letter", ["n", "ß", "日", os.fsdecode(b"\xdf")])
def test_long_names_are_cut_and_stay_apart(letter):
    names = [file_name(letter * 250 + end) for end in ("", "a", "b")]
    assert len(set(names)) == 3 and names[0] == file_name(letter * 250)
    assert all(LONGEST_NAME - 3 <= len(name.encode()) <= LONGEST_NAME for name in names)
    assert all(name[-11] == "~" for name in names)


def test_repeated_names_are_numbered():
    assert unique_names(["x", "y", "x", "x_2", "x"]) == ["x", "y", "x_3", "x_2", "x_4"]
    long = "n" * 300
    names = unique_names([long, long, os.fsdecode(b"\xdf"), "=DF"])
    assert len(set(names)) == 4 and max(len(name.encode()) for name in names) <= LONGEST_NAME
    assert unique_names(names) == names
    assert len(set(unique_names(["x"] * 5000))) == 5000


def test_pairs_hold_both_names():
    assert pair_name("a", "b") == "a_to_b"
    content, style = "n" * 150, "m" * 150
    assert pair_name(content, style) == f"{half_name(content)}_to_{half_name(style)}"
    assert len(pair_name(content, style)) <= LONGEST_NAME
    assert pair_name(content, style) != pair_name(content, style + "m")
