"""The package: built, installed into a bare folder, and used from there."""

import subprocess
import sys
import zipfile

import pytest

from src.options.owner import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel, unpacked by pip into a folder of its own, without dependencies."""
    home = tmp_path_factory.mktemp("package")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(home), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    wheel = next(home.glob("mindi2i-0.2.0-*.whl"))
    install = [*pip, "install", "--no-deps", "--target", str(home / "site"), str(wheel)]
    done = subprocess.run(install, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return home


def outside(installed, *words):
    """A Python command in an empty folder that sees the installed package and no checkout."""
    (installed / "empty").mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, *words], cwd=installed / "empty", env={"PYTHONPATH": str(installed / "site"), "PATH": ""},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def test_the_wheel_holds_the_package_alone_with_all_its_data(installed):
    names = zipfile.ZipFile(next(installed.glob("*.whl"))).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"mindi2i"}
    package = {name.removeprefix("mindi2i/") for name in names if name.startswith("mindi2i/")}
    kept = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert kept <= package and {"default_config.yaml", "configs/quickstart.yaml"} <= package


def test_it_is_imported_from_any_folder(installed):
    code = "import mindi2i; from mindi2i import load; print(mindi2i.__version__, load.__module__)"
    done = outside(installed, "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0.2.0", "mindi2i.systems.loading"]


def test_a_run_is_opened_and_used(installed):
    run = ROOT / "tests" / "fixtures" / "runs_0_1" / "cyclegan"
    code = (
        "import numpy as np\nfrom mindi2i import load\n"
        f"model = load({str(run)!r}, device_target='CPU', mode='pynative')\n"
        "print(model.translate(np.zeros((9, 14, 3), np.uint8)).shape)\n"
    )
    done = outside(installed, "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(9, 14, 3)"


def test_the_editor_is_a_module_of_it(installed):
    done = outside(installed, "-m", "mindi2i.editing", "--help")
    assert done.returncode == 0, done.stderr
    assert "--view_width" in done.stdout and "usage: python -m mindi2i.editing RUN" in done.stdout
