"""scripts/setup_cuda.sh without a download: what it would do, and what it says where it cannot."""

import ctypes
import os
import subprocess
import sys

from tests.conftest import ROOT


def run(*arguments, **settings):
    environment = os.environ | {"PYTHON": sys.executable} | settings
    return subprocess.run(
        ["bash", str(ROOT / "scripts" / "setup_cuda.sh"), *arguments],
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def test_a_dry_run_changes_nothing():
    done = run("--dry_run")
    assert done.returncode == 0, done.stderr
    for package in ("cublas", "cudnn", "cuda-runtime", "cuda-nvrtc", "cusolver", "cufft", "curand", "cusparse"):
        assert f"nvidia-{package}-cu11" in done.stdout
    assert "nothing was installed or written" in done.stdout
    assert not os.path.exists(os.path.join(sys.prefix, "cuda11"))


def test_a_wrong_word_is_refused():
    done = run("--dry-run")
    assert (done.returncode, "usage:" in done.stderr) == (2, True)


def test_without_mindspore_it_says_so(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho\n")
    python.chmod(0o755)
    done = run("--dry_run", PYTHON=str(python))
    assert (done.returncode, "has no MindSpore" in done.stderr) == (1, True)


def test_without_a_driver_nothing_is_downloaded():
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        done = run()
        assert done.returncode == 1
        assert "there is no NVIDIA driver here" in done.stderr and "nothing was installed" in done.stderr
        assert not os.path.exists(os.path.join(sys.prefix, "cuda11"))
