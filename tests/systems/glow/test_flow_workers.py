"""Two workers train one flow: each initialises once, from its own samples, and all go on from the first one's."""

import os
import subprocess
import sys

import numpy as np
import pytest

from src.options.owner import ROOT
from src.runs.log import read_log
from tests.tiny_runs import make_streets

OPTIONS = (
    "--config_path", "configs/fullglow_streets.yaml", "--name", "run", "--mode", "pynative", "--device_target", "CPU",
    "--img_size", "[12, 24]", "--n_block", "1", "--n_flow", "[1]", "--coupling_filters", "8", "--batch_size", "1",
    "--lr", "0.0005", "--niter", "2", "--print_freq", "1", "--no_html", "True", "--recompute", "True",
)  # fmt: skip


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """What the two workers wrote, and the folder of their run."""
    root = tmp_path_factory.mktemp("flow")
    data = make_streets(root / "data", train=4, test=0)
    program = 'source scripts/common.sh; launch 2 tests/systems/glow/flow_worker.py "$@"'
    words = [str(root), "--run_distribute=True", *OPTIONS, "--data_root", str(data), "--save_ckpt_dir", str(root)]
    done = subprocess.run(
        ["bash", "-c", program, "launch", *words],
        cwd=ROOT,
        env=os.environ | {"PYTHON": sys.executable, "DEVICE_TARGET": "CPU", "LOG_DIR": str(root / "log")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [dict(np.load(root / f"worker{rank}.npz")) for rank in (0, 1)], root / "run"


def test_each_initialises_once_from_its_own_samples(workers):
    (first, second), _ = workers
    assert first["initialisations"] == second["initialisations"] == 1
    name = "own.left_glow.blocks.0.flows.0.act_norm.loc"
    assert np.abs(first[name] - second[name]).max() > 1e-3
    flags = [name for name in first if name.endswith("initialized")]
    assert flags and all(first[name] == second[name] == 1 for name in flags)


def test_they_end_equal_to_the_bit(workers):
    (first, second), folder = workers
    shared = [name for name in first if not name.startswith("own.")]
    assert first.keys() == second.keys() and len(shared) > 60
    assert not [name for name in shared if first[name].tobytes() != second[name].tobytes()]
    # two epochs of two steps, and what they trained
    assert [record["step"] for record in read_log(folder / "log.jsonl")] == [1, 2, 3, 4]
    weight = "right_glow.blocks.0.flows.0.coupling.net.4.conv.weight"
    assert np.abs(first[f"end.{weight}"]).max() > 0
    # one step of Adam moves a weight by less than the rate, and the first worker's initialisation is where all start
    start, end = (first[f"{when}.left_glow.blocks.0.flows.0.act_norm.loc"] for when in ("own", "end"))
    assert 0 < np.abs(end - start).max() < 4 * 5e-4 * 1.01
