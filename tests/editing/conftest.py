"""A browser, and the editor of a small feature model, started by its command."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser import Browser
from tests.editing.pages import CAR, ROAD, SKY, TREE, Page
from tests.saved_runs import save_clusters, save_run
from tests.tiny_runs import make_streets

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="package")
def browser():
    with Browser(1400, 900) as opened:
        yield opened


@pytest.fixture
def window(browser):
    """The browser; in the end nothing may have gone wrong in it or have come from elsewhere."""
    yield browser
    # the page asks before edits are left behind
    browser.evaluate("for (const s of [...editor.sessions.values(), editor.session]) s.unsaved = false")
    assert browser.complaints() == []
    assert [url for url in browser.requests() if not url.startswith(("http://127.0.0.1:", "blob:", "data:"))] == []


@pytest.fixture(scope="package")
def streets(tmp_path_factory):
    """Streets, a feature model with clusters, and its editor: ``folder``, ``data``, ``run`` and ``url``."""
    folder = tmp_path_factory.mktemp("editor")
    data = make_streets(folder / "data", train=1, test=2, width=96, height=48)
    run = save_run(folder, "feat", load_size=96, data_root=data)
    save_clusters(run, labels=(ROAD, 8, 11, TREE, SKY, CAR))
    command = [sys.executable, "-m", "src.editing", run, "--device_target", "CPU", "--mode", "pynative"]
    command += ["--no_browser", "True", "--data_root", data, "--save_dir", folder / "edits"]
    process = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    url = re.fullmatch(r"editor: (http://127\.0\.0\.1:\d+/\S+/)\n", line)
    assert url, line
    yield {"folder": folder, "data": data, "run": run, "url": url[1]}
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0


@pytest.fixture
def page(window, streets):
    return Page(window, streets["url"])
