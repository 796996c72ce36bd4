"""The flows' benchmark takes memory apart without losing any, and times what it says."""

import json

import pytest

from benchmarks import flows

TINY = ["--side", "20", "--width", "4", "--batch", "1", "--conditions", "2", "--steps", "1"]


def measured(case, capsys):
    assert flows.main([*TINY, "--case", case]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_parts_of_the_peak_are_the_peak(capsys):
    row = measured("train:reconstruct:1", capsys)
    assert row["base"] > 50 and row["gradients"] > 0 and row["seconds"] > 0
    assert row["peak"] == pytest.approx(row["base"] + row["state"] + row["gradients"] + row["rest"])


def test_conditions_are_sampled_together_and_apart(capsys):
    row = measured("sample:store:1", capsys)
    assert row.keys() == {"one", "together", "apart"} and min(row.values()) > 0
