"""Versions of everything that a result may depend on, without touching the device."""

__all__ = ["measure"]

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np

from benchmarks.train_step import machine
from src import __version__
from src.utils.cann import cann_notice, installed_cann

ROOT = Path(__file__).resolve().parents[2]
_DRIVER = Path("/usr/local/Ascend/driver/version.info")
_VARIABLES = ("ASCEND_RT_VISIBLE_DEVICES", "HCCL_CONNECT_TIMEOUT", "HCCL_IF_IP", "MS_ENABLE_GE", "OMP_NUM_THREADS")


def measure() -> dict[str, Any]:
    """Versions of this project, Python, MindSpore, CANN and driver, and what ``npu-smi info`` says of the chips."""
    cann = installed_cann()
    found = {
        "project": __version__,
        "commit": _output("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"),
        "MindSpore": ms.__version__,
        "CANN": cann or "none found",
        "CANN and MindSpore": cann_notice(ms.__version__, cann) or "are a pair" if cann else "no CANN",
        "driver": _DRIVER.read_text(errors="replace")[:300] if _DRIVER.is_file() else "none found",
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": machine(),
        # the second table names processes, which are nobody's business
        "npu-smi info": _output("npu-smi", "info").partition("Process id")[0] or "no npu-smi",
    }
    found |= {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    return found


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
