"""The quick start, in a copy of the project that has its environment and its street scenes already."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.tiny_runs import TINY, make_streets

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("src", "configs", "data", "scripts", "default_config.yaml", "train.py", "eval.py")


def test_the_quick_start(tmp_path):
    home = tmp_path / "project"
    home.mkdir()
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, home / name)
    # what setup.sh would make; it installs nothing where the same requirements are installed
    (home / "requirements.txt").write_text("numpy\n")
    environment = home / ".venv" / "bin"
    environment.mkdir(parents=True)
    (environment / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (environment / "python").chmod(0o755)
    make_streets(home / "datasets" / "street_scenes", train=2, test=1)
    options = [f"--{key}={value}" for key, value in TINY.items() if key != "device_target"]
    settings = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "PYTHONPATH")}
    done = subprocess.run(
        ["bash", str(home / "scripts" / "quickstart.sh"), *options],
        cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    results = home / "results" / "predict" / "quickstart"
    assert len(list(results.glob("*/images/*.png"))) == 1 and list(results.glob("*/gallery/index.html"))
