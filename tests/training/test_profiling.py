"""Steps of a run under MindSpore's profiler, on the CPU, and spans that are no part of the run."""

import json

import mindspore as ms
import pytest
from mindspore import ops

from src.systems.programs import load_config
from src.training.profiling import StepProfiler, read_span
from src.utils.errors import UserError
from src.utils.runtime import Device
from tests.running import train
from tests.tiny_runs import make_streets, options_of


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_streets(tmp_path_factory.mktemp("streets"), test=0)


def run(data, folder, span):
    return train(load_config(options_of(data_root=data, save_ckpt_dir=folder, no_html=True, profile_steps=span)))


def convolutions(folder):
    """How often a convolution ran while the profiler recorded; the trace is one that trace viewers open."""
    (trace,) = folder.glob("label2city/profile/steps_*_ascend_ms/**/trace_view.json")
    events = json.loads(trace.read_text())
    return sum("Conv2D-op" in event["name"] for event in events if event.get("ph") == "X")


def test_a_trace_of_two_steps(data, tmp_path, capfd):
    assert run(data, tmp_path / "two", "2:3") == 0
    assert "steps 2 to 3 are recorded in" in "".join(capfd.readouterr())
    assert run(data, tmp_path / "one", "4:4") == 0
    # at the last step of the run, too, all of one step and nothing of another
    assert convolutions(tmp_path / "two") == 2 * convolutions(tmp_path / "one") > 10


def test_a_run_that_ends_inside_the_span_writes_what_there_is(data, tmp_path):
    said = []
    profiler = StepProfiler("1:5", 0, 9, tmp_path, Device("CPU"), said.append)
    profiler.before(1)
    ops.ones((2, 3), ms.float32).asnumpy()
    profiler.after(1)
    profiler.close()
    assert list(tmp_path.glob("profile/**/trace_view.json")) and "ended inside profile_steps" in said[0]


@pytest.mark.parametrize("span", ["4:5", "5:6"])
def test_steps_beyond_the_run_are_refused_before_training(data, tmp_path, span):
    with pytest.raises(UserError, match=f"profile_steps {span} is beyond this run, which takes steps 1 to 4"):
        run(data, tmp_path, span)
    assert not (tmp_path / "label2city").exists()


@pytest.mark.parametrize("text", ["5", "0:2", "3:2", "a:b", "1:", "-1:2", "1:2:3"])
def test_what_is_no_span(text):
    with pytest.raises(UserError, match="is not FIRST:LAST with 1 <= FIRST <= LAST"):
        read_span(text)
    assert read_span("") is None and read_span("100:120") == (100, 120)
