"""Console lines: who writes them, and that no name of a file and no locale stops them."""

import os
import subprocess
import sys

import pytest

from src.utils.logging import get_logger


@pytest.fixture(autouse=True)
def console():
    yield
    get_logger(0)


def test_console_lines_are_plain_and_only_rank_0_talks(capsys):
    get_logger(0).info("epoch 1 done")
    get_logger().warning("few images")
    out, err = capsys.readouterr()
    assert out == "epoch 1 done\n" and err == "warning: few images\n"
    logger = get_logger(3)
    logger.info("hidden")
    logger.error("broken")
    assert capsys.readouterr() == ("", "[rank 3] error: broken\n")


@pytest.mark.parametrize("encoding, shown", [("utf-8", "straße"), ("ascii", r"stra\xdfe")])
def test_names_are_readable_in_every_locale_and_stop_no_line(encoding, shown):
    code = (
        "from src.utils.logging import get_logger\n"
        "log = get_logger(0)\n"
        r"log.info('stra\xdfe'); log.info('stra\udcc3\udc9fe'); log.warning('stra\udcdfe')"
    )
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "1" if encoding == "utf-8" else "0"}
    environment.pop("PYTHONIOENCODING", None)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, timeout=60)
    assert done.returncode == 0
    assert done.stdout.decode(encoding).splitlines() == [shown, shown]
    assert done.stderr.decode(encoding) == "warning: stra\\xdfe\n"
