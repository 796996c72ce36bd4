"""Compare this implementation with numbers of a published one.

    python tests/check_reference.py FOLDER [FOLDER ...] [--mode graph|pynative|both] [--device_target CPU]
        [--conv_precision exact|hf32]

A folder holds ``io.npz`` (inputs, outputs, losses, the configuration and the name of the system) and the
published weights as ``.pth`` files. Each quantity is printed with its error and tolerance. The exit status
is 0 if all hold, 1 if one does not, 2 if the folder cannot be used.
"""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import src  # noqa: F401  (sets the environment before MindSpore is imported)
from src.systems.programs import load_config
from src.utils.arithmetic import CONV_PRECISIONS
from src.utils.errors import run_command
from src.utils.runtime import start
from tests.reference_checks import Report, load_io, run_check


def main(argv: list[str]) -> int:
    """Check each folder in each mode; every mode has a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="FOLDER")
    parser.add_argument("--mode", choices=("graph", "pynative", "both"), default="both")
    parser.add_argument("--device_target", choices=("CPU", "GPU", "Ascend"), default="CPU")
    parser.add_argument("--conv_precision", choices=CONV_PRECISIONS, default="exact")
    arguments = parser.parse_args(argv)
    for folder in arguments.folders:
        load_io(folder)
    if arguments.mode == "both":
        # compiled code of the other mode would stay in one process
        base = [sys.executable, __file__, *arguments.folders, "--device_target", arguments.device_target]
        base += ["--conv_precision", arguments.conv_precision]
        return max(subprocess.call([*base, "--mode", mode]) for mode in ("pynative", "graph"))
    _start(arguments.mode, arguments.device_target, arguments.conv_precision)
    results = [_check(folder, arguments.mode) for folder in arguments.folders]
    return 0 if all(results) else 1


def _start(mode: str, device: str, conv_precision: str) -> None:
    import mindspore as ms

    words = ("--model", "pix2pixhd", "--mode", mode, "--device_target", device, "--conv_precision", conv_precision)
    start(load_config(words))
    ms.runtime.launch_blocking()


def _check(folder: str, mode: str) -> bool:
    print(f"{folder}, {mode} mode:", flush=True)
    report = Report(lambda line: print(line, flush=True))
    run_check(folder, report)
    print(f"{folder}, {mode} mode: {report.summary()}", flush=True)
    return report.passed


if __name__ == "__main__":
    run_command(main)
