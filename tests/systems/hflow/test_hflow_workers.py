"""Two workers train hflow: equal to the bit, averaged weights included, and they share the work of measuring."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from src.dataset.batches import Alone
from src.models.parameters import load_arrays
from src.options.owner import ROOT
from src.runs.checkpoint_reader import CheckpointReader
from src.runs.log import read_log
from src.systems.hflow.objective import HFlowObjective
from src.systems.hflow.system import HFlowSystem
from src.systems.programs import load_config
from tests.systems.hflow.small import small_config

STEPS = 10


def words(root, **changes):
    """Two levels with as few steps of flow as can be, three samples a worker, and three steps to an update."""
    full = load_config([], "configs/hflow_tiny.yaml").to_dict()
    few = {"num_layers": [2, 1], "endblock_layers": [1, 1], "flow_split_types": ["blocks-channels", "channels"]}
    small = {key: value for key, value in small_config(**few).to_dict().items() if value != full[key]}
    options = small | {
        "config_path": "configs/hflow_tiny.yaml",
        "name": "run",
        "data_root": root / "images",
        "save_ckpt_dir": root,
        "device_target": "CPU",
        "mode": "pynative",
        "batch_size": 3,
        "samples_per_grad_eval": 16,
        "initial_samples": 4,
        "held_out": 7,
        "niter": STEPS // 2,
        "metrics_every_hours": 1e-9,
        "no_html": True,
    }
    return [f"--{key}={value}" for key, value in (options | changes).items()]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What the two workers wrote, and where: thirteen images to train on, two batches of each worker in them."""
    root = tmp_path_factory.mktemp("hflow")
    (root / "images").mkdir()
    for i in range(20):
        pixels = np.random.default_rng(i).integers(0, 256, (4, 4, 3)).astype(np.uint8)
        Image.fromarray(pixels).resize((16, 16), Image.Resampling.BILINEAR).save(root / "images" / f"{i:02d}.png")
    program = 'source scripts/common.sh; launch 2 tests/systems/glow/flow_worker.py "$@"'
    done = subprocess.run(
        ["bash", "-c", program, "launch", str(root), "--run_distribute=True", *words(root)],
        cwd=ROOT,
        env=os.environ | {"PYTHON": sys.executable, "DEVICE_TARGET": "CPU", "LOG_DIR": str(root / "log")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [dict(np.load(root / f"worker{rank}.npz")) for rank in (0, 1)], root


def test_they_end_equal_to_the_bit(run):
    (first, second), _ = run
    shared = [name for name in first if not name.startswith("own.")]
    assert first.keys() == second.keys() and len(shared) > 400
    assert not [name for name in shared if first[name].tobytes() != second[name].tobytes()]
    # each was initialised from its own samples, and three updates have moved the first one's weights and their average
    bias = "F.blocks.0.blocks.steps.0.actnorm.an_bias"
    assert np.abs(first[f"own.{bias}"] - second[f"own.{bias}"]).max() > 1e-3
    assert 0 < np.abs(first[f"end.{bias}"] - first[f"own.{bias}"]).max() < 3 * 5e-3 * 1.01
    average = bias.replace("F.", "F_ema.", 1)
    assert np.abs(first[f"end.{average}"] - first[f"end.{bias}"]).max() > 0
    # the tenth step's gradients wait for two more; a checkpoint holds their mean
    assert np.abs(first["sum.flows.0"]).max() > 0


def test_metrics_are_those_of_one_worker(run):
    """Three batches of seven images, the last filled up: two of the first worker and one of the second."""
    _, root = run
    records = [record["extra"] for record in read_log(root / "run" / "log.jsonl")]
    logged = [extra for extra in records if "loss/eval_ema" in extra]
    assert len(logged) == 1
    system = HFlowSystem(load_config(words(root)), training=False)
    load_arrays(system.networks["F_ema"], CheckpointReader(root / "run").load("latest").networks["F_ema"])
    assert logged[0] == pytest.approx(HFlowObjective(system).metrics(Alone), rel=1e-5)
