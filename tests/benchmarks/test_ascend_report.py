"""The report of a device, made small on the CPU: each part, one that crashes, and what stays private."""

import getpass
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import ascend_report
from benchmarks.report.page import page_of
from benchmarks.report.parts import Part, parts_of, run_part
from benchmarks.report.private import without_names
from benchmarks.report.reference import read_lines
from src.utils.errors import UserError

MODULES = {"versions", "precision", "reference", "timing", "simulated", "workers", "trace"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A report of one part of each kind that runs in seconds, and three that are broken on purpose."""
    output = tmp_path_factory.mktemp("made") / "report"
    parts = parts_of("CPU", True, 2, ["512p"], output, ["--mode=pynative"])
    small = [part for part in parts if part.module in ("versions", "precision", "timing", "trace")]
    # one whose program fails, one that the system kills, one that raises
    broken = [
        Part("reference nowhere", "reference", {"target": "CPU", "folder": "nowhere"}),
        Part("crash", "tests.benchmarks.crashing_part"),
        Part("raise", "nothing"),
    ]
    status = ascend_report.report([*broken, *small], "CPU", output)
    return status, json.loads((output / "report.json").read_text()), (output / "report.html").read_text()


def test_every_kind_of_part_is_in_a_report(tmp_path):
    parts = parts_of("CPU", True, 20, ["512p", "1024p"], tmp_path, [])
    assert {part.module for part in parts} == MODULES
    sets = {f"reference {path.name}" for path in (ascend_report.ROOT / "tests" / "reference").iterdir()}
    assert {part.name for part in parts if part.module == "reference"} == sets
    assert [part.name for part in parts if part.module == "timing"] == ["steps 512p", "steps 1024p"]


def test_workers_of_a_report_are_equal(tmp_path):
    (part,) = [part for part in parts_of("CPU", True, 2, [], tmp_path, []) if part.module == "workers"]
    result = run_part(part, "CPU", tmp_path)
    assert result["passed"], result
    assert result["found"]["arrays that differ between workers"] == []


def test_a_part_that_fails_is_named_and_the_rest_goes_on(made):
    status, report, page = made
    verdicts = {part["name"]: part["passed"] for part in report["parts"]}
    assert status == 1
    assert verdicts == dict.fromkeys(["reference nowhere", "crash", "raise"], False) | dict.fromkeys(
        ["versions", "precision exact", "precision hf32", "steps 512p", "trace"], True
    )
    first, second, third = report["parts"][:3]
    assert "io.npz does not exist" in first["problem"] and second["problem"] == "ended with status -11"
    assert "the last words" in second["last_words"]
    assert third["problem"] == "ModuleNotFoundError: No module named 'benchmarks.report.nothing'"
    assert "not passed: reference nowhere, crash, raise" in page


def test_what_the_parts_found(made):
    found = {part["name"]: part["found"] for part in made[1]["parts"]}
    assert found["versions"]["CANN"] == "none found" and found["versions"]["MindSpore"].startswith("2.")
    # a CPU computes in float32, and keeps infinities
    for asked in ("precision exact", "precision hf32"):
        measured = found[asked]
        assert measured["conv_precision"] == "exact" and measured["convolution, exact bits"] > 20
        assert "infinity" in measured["3e38 * 10"]
    steps = found["steps 512p"]
    assert (steps["height"], steps["width"]) == (64, 128) and 0 < steps["least_ms"] <= steps["median_ms"]
    assert found["trace"]["events"] > 100 and found["trace"]["file"].startswith("trace/")
    assert "<td>512p</td><td>64x128</td><td>fp32</td>" in made[2]


def test_a_part_that_takes_too_long_is_ended(tmp_path):
    result = run_part(Part("slow", "versions", timeout=0.2), "CPU", tmp_path)
    assert not result["passed"] and result["problem"] == "was not done within 0 s"


def test_a_report_has_no_names(made, tmp_path):
    home, here = str(Path.home()), str(tmp_path / "out")
    text = without_names(f"{here}/a {home}/b {sys.prefix}/c {socket.gethostname()} 10.20.30.40 127.0.0.1", Path(here))
    for word in (here, f"{home}/b", sys.prefix, "10.20.30.40"):
        assert word not in text
    assert "OUTPUT/a" in text and "ADDRESS" in text and "127.0.0.1" in text
    assert len(socket.gethostname()) < 4 or socket.gethostname() not in text.split()
    said = json.dumps(made[1]) + made[2]
    assert str(ascend_report.ROOT) not in said and sys.prefix not in said
    assert getpass.getuser() == "root" or getpass.getuser() not in said


def test_lines_of_the_comparison_are_read():
    text = "x, graph mode:\n  fake    error 1.50e-05  tolerance 1.00e-04  (of 0.5)     ok\n"
    text += "  step 0 G_GAN    error 2.0e-07  tolerance 1e-03      FAIL\n"
    text += "  shape   shape (2,) instead of (3,)    FAIL\n"
    assert read_lines(text) == [
        {"quantity": "fake", "error": "1.50e-05", "tolerance": "1.00e-04", "verdict": "ok"},
        {"quantity": "step 0 G_GAN", "error": "2.0e-07", "tolerance": "1e-03", "verdict": "FAIL"},
        {"quantity": "shape", "error": "shape (2,) instead of (3,)", "tolerance": "", "verdict": "FAIL"},
    ]


def test_the_page_names_the_largest_error_of_a_set():
    rows = [("same", "0.00e+00", "0.00e+00", "ok"), ("fake", "5.0e-05", "1.0e-04", "ok"), ("loss", "3", "2", "FAIL")]
    keys = ("quantity", "error", "tolerance", "verdict")
    found = {"graph": [dict(zip(keys, row, strict=True)) for row in rows]}
    part = {"name": "reference tiny", "module": "reference", "passed": False, "seconds": 1, "found": found}
    page = page_of({"target": "CPU", "parts": [part | {"problem": "graph: loss beyond the tolerance"}]})
    assert "<td>tiny</td><td>graph</td>" in page and "<td>1.5 (loss)</td>" in page
    assert "<td>loss 3 (tolerance 2)</td>" in page


def test_the_page_escapes_what_parts_say():
    part = {"name": "x", "module": "timing", "passed": False, "seconds": 1, "found": {}, "problem": "<script>"}
    page = page_of({"target": "CPU", "parts": [part]})
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_the_script_writes_a_report(tmp_path):
    words = ["--parts", "versions", "--output", str(tmp_path / "report")]
    done = subprocess.run(
        ["bash", str(ascend_report.ROOT / "scripts" / "ascend_report.sh"), *words],
        env=os.environ | {"DEVICE_TARGET": "CPU", "PYTHON": sys.executable}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 parts passed" in done.stdout and (tmp_path / "report" / "report.html").is_file()


@pytest.mark.parametrize(
    "words, message",
    [
        (["--steps=0"], "is not a number of steps"),
        (["--modes=4k"], "known are 512p"),
        (["--parts=nothing"], "begins the name of no part"),
    ],
)
def test_bad_words(tmp_path, words, message):
    with pytest.raises(UserError, match=message):
        ascend_report.main(["--device_target=CPU", f"--output={tmp_path / 'new'}", *words])
    with pytest.raises(UserError, match="exists: pass another --output"):
        ascend_report.main(["--device_target=CPU", f"--output={tmp_path}"])
