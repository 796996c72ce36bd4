"""Shared set-up: MindSpore in PyNative mode with synchronous launches, unless a test asks for ``mode``."""

import gc
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import src  # noqa: F401, I001  (sets the environment before MindSpore is imported)
import pytest


#: files that take minutes, the longest first: what begins last should be short, or one of two processes waits for it
_LONG = (
    "test_reference.py",
    "test_distribution.py",
    "test_ascend_simulation.py",
    "test_export.py",
    "test_loop.py",
    "test_scripts.py",
    "test_small_benchmarks.py",
    "test_hflow_objective.py",
    "test_ascend_report.py",
    "test_hflow_workers.py",
)
# networks are cycles of objects, and looking for those again and again takes a tenth of the time
gc.set_threshold(100_000, 10, 10)


def pytest_configure(config):
    """With as many processes as processor cores, or more, each keeps to one core, and so do the programs it starts.

    Between two operators MindSpore's threads ask again and again for something to do. On the core of the thread that
    they wait for this is free; on another it is taken from the other processes, and triples the system time.
    """
    worker, cores = getattr(config, "workerinput", None), sorted(os.sched_getaffinity(0))
    if worker and worker["workercount"] >= len(cores):
        os.sched_setaffinity(0, {cores[int(worker["workerid"].removeprefix("gw")) % len(cores)]})


def pytest_collection_modifyitems(items):
    """Begin with the long files."""
    places = {name: place for place, name in enumerate(_LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="module", autouse=True)
def no_garbage():
    """What a file of tests has built does not stay for the next."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    """Run every test in a folder of its own: failed compilations leave files in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return tmp_path


@pytest.fixture(params=["pynative", "graph"])
def mode(request):
    """Run a test once in PyNative and once in GRAPH mode."""
    import mindspore as ms

    ms.set_context(mode=ms.GRAPH_MODE if request.param == "graph" else ms.PYNATIVE_MODE)
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)


@pytest.fixture(scope="session", autouse=True)
def synchronous_launches():
    """PyNative's asynchronous pipeline stalls on few cores and reports errors at the wrong operator."""
    import mindspore as ms

    ms.set_device("CPU")
    ms.set_context(mode=ms.PYNATIVE_MODE)
    ms.runtime.launch_blocking()
