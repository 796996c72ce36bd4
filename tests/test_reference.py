"""Every folder of published numbers, in both modes, and the command that compares them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from src.utils.errors import UserError
from tests.reference_checks import Report, load_io, recipe_weights, run_check

TESTS = Path(__file__).resolve().parent
FOLDERS = sorted(path.parent for path in (TESTS / "reference").glob("*/io.npz"))
CHECK = TESTS / "check_reference.py"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_published_numbers(folder, mode):
    report = Report()
    run_check(folder, report)
    assert report.passed, report.summary()


def command(*arguments):
    return subprocess.run([sys.executable, CHECK, *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(TESTS / "reference" / "hierarchyflow_fixed_b2", tmp_path / "copy")
    return tmp_path / "copy"


def change(folder, **arrays):
    """Replace arrays of io.npz; None removes one."""
    with np.load(folder / "io.npz") as archive:
        io = {name: archive[name] for name in archive.files}
    io |= arrays
    np.savez(folder / "io.npz", **{name: array for name, array in io.items() if array is not None})


def test_the_command_checks_both_modes_and_sees_a_wrong_number(copy):
    """One value of one quantity is changed by twice the tolerance: that quantity fails, the others do not."""
    output = np.load(copy / "io.npz")["output"]
    output[0, 0, 3, 5] += 2e-4
    change(copy, output=output)
    result = command(copy)
    assert result.returncode == 1, result.stderr
    failed = [line.split()[0] for line in result.stdout.splitlines() if line.endswith("FAIL")]
    assert failed == ["output", "output"]
    assert re.search(r"output +error 2\.0\de-04 +tolerance 1\.00e-04 +FAIL", result.stdout)
    assert re.search(r"pynative mode: 1 of \d+ quantities FAIL: output", result.stdout)
    assert re.search(r"graph mode: 1 of \d+ quantities FAIL: output", result.stdout)


@pytest.mark.parametrize(
    "break_it, message",
    [
        (lambda folder: change(folder, system=np.array("stylegan")), "unknown system stylegan: known are "),
        (lambda folder: change(folder, system=np.array("../x")), "unknown system"),
        (lambda folder: change(folder, options=None), "has no options"),
        (lambda folder: change(folder, content=None), "lacks the quantity 'content'"),
        (lambda folder: (folder / "io.npz").unlink(), "io.npz does not exist: pass a folder"),
        (lambda folder: (folder / "io.npz").write_bytes(b"PK\3\4 cut"), "is damaged or no .npz file"),
        (lambda folder: (folder / "model.pth").rename(folder / "other.pth"), "model.pth: it does not exist"),
        (lambda folder: [path.unlink() for path in folder.glob("*.pth")], "holds no .pth file"),
    ],
    ids=["system", "path", "options", "quantity", "no file", "damaged", "weights", "no weights"],
)
def test_folders_that_cannot_be_used(copy, break_it, message):
    break_it(copy)
    with pytest.raises(UserError, match=message):
        run_check(copy, Report())


def test_the_command_prints_errors_without_a_traceback(tmp_path):
    result = command(tmp_path, "--mode", "pynative")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ") and "Traceback" not in result.stderr


def test_report():
    lines = []
    report = Report(lines.append)
    assert not report.passed  # nothing was compared
    report("same", [1.0, 2.0], [1.0, 2.0], atol=0)
    report("close", [1.0, 2.0], [1.0, 2.00009])
    report("relative", [100.0, 0.0], [100.09, 0.0], atol=0, rtol=1e-3)
    assert report.passed and report.summary() == "all 3 quantities agree"
    report("off", [1.0, 2.0], [1.0, 2.0002])
    report("shape", [1.0, 2.0], [[1.0, 2.0]])
    report("nan", [np.nan], [np.nan])
    report("missing", [1.0, np.nan], [1.0, 2.0])
    report("infinite", np.inf, 1.0)
    report("none", [], [])
    report("zero", 1e-30, 0.0, atol=0, rtol=1)
    assert report.failures == ["off", "shape", "nan", "missing", "infinite", "none", "zero"]
    assert len(lines) == 10 and all(line.endswith("FAIL") for line in lines[3:])
    assert not report.passed and "7 of 10" in report.summary()


def test_recipe_weights_are_those_of_the_recipe():
    """The first numbers of the generator, written down once."""
    weights = recipe_weights({"0.weight": (64, 3, 3, 3), "0.bias": (64,), "2.weight": (8, 64, 3, 3)}, 1234)
    assert [array.dtype for array in weights.values()] == [np.float32] * 3
    random = np.random.RandomState(1234)
    first = random.standard_normal(64 * 27) * np.sqrt(2 / 27)
    np.testing.assert_array_equal(weights["0.weight"].ravel(), first.astype(np.float32))
    np.testing.assert_allclose(weights["0.weight"].ravel()[:2], [0.128308, -0.324143], atol=1e-6)
    second = (random.standard_normal(64) * 0.01).astype(np.float32)
    np.testing.assert_array_equal(weights["0.bias"], second)


def test_every_folder_has_a_name_that_its_system_knows():
    assert FOLDERS
    assert {load_io(folder)[0] for folder in FOLDERS} >= {"pix2pixhd", "cyclegan"}
