"""Runs of every system, small and with weights as they were drawn: what loading and use need, without training.

And whether two trained ones are equal.
"""

__all__ = ["check_equal", "save_clusters", "save_run"]

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from src.models.parameters import state_arrays
from src.runs.checkpoints import CheckpointStore, Position
from src.systems.programs import load_config
from src.systems.registry import create_system
from tests.tiny_runs import TINY

_COMMON = {"device_target": "CPU", "mode": "pynative"}
_FLOW = {"img_size": "[20,40]", "n_block": 2, "n_flow": "[1]", "coupling_filters": 8, "temp": 0.7}
_GAN = {"ngf": 4, "n_residual_blocks": 1}
#: name of a run to its preset and the options that make it small
_RUNS: dict[str, tuple[str | None, dict[str, object]]] = {
    "cglow": (
        "cglow.yaml",
        {"img_size": "[32,32]", "n_block": 1, "n_flow": "[1]", "x_hidden_size": 4, "x_hidden_channels": 4}
        | {"y_hidden_channels": 8, "dataset": "pairs", "mapping": "label2photo"},
    ),
    "cut": ("cut.yaml", _GAN),
    "cyclegan": ("cyclegan.yaml", _GAN),
    "dualglow": ("dualglow.yaml", _FLOW | {"dataset": "pairs", "mapping": "label2photo"}),
    "feat": (None, TINY | {"instance_feat": True}),
    "fullglow": ("fullglow_streets.yaml", _FLOW),
    "fullglow_bmaps": ("fullglow_streets.yaml", _FLOW | {"use_bmaps": True}),
    "hflow": ("hflow_tiny.yaml", {}),
    "hierarchyflow": ("hierarchyflow.yaml", {"out_channels": "[6,12]", "pad_size": 4}),
    "label_feat": (None, TINY | {"label_feat": True, "no_instance": True}),
    "pictures": (None, TINY | {"label_nc": 0, "no_instance": True}),
    "pictures_light": ("pix2pixhd_light.yaml", TINY),
    "pix2pixHD": (None, TINY),
}


def save_run(folder: Path, name: str, **changes: object) -> Path:
    """Write the run ``name`` with options ``changes`` to ``folder``/``name`` and return that folder."""
    preset, options = _RUNS[name]
    chosen = _COMMON | {"name": name, "data_root": folder} | options | changes
    config = load_config([f"--{key}={value}" for key, value in chosen.items()], preset and f"configs/{preset}")
    system = create_system(config, training=False)
    if "condition_nc" in config:
        rng = np.random.default_rng(0)
        size = tuple(config.img_size)
        batch = {n: rng.uniform(-1, 1, (4, c, *size)).astype(np.float32) for n, c in
                 (("condition", config.condition_nc), ("image", config.image_nc))}  # fmt: skip
        batch["boundary"] = rng.integers(0, 2, (4, 3, *size)).astype(np.float32)
        system.objective(size).initialise(batch)
    networks = {network: state_arrays(cell) for network, cell in system.networks.items()}
    CheckpointStore(folder / name).save(Position(1), networks, {}, config.to_dict(), config.model)
    return folder / name


def save_clusters(
    run: Path, labels: tuple[int, ...] = (7, 11, 23, 26), count: int = 3, feat_num: int = 3
) -> np.ndarray:
    """Write ``count`` random styles for each of ``labels`` and return the table."""
    rng = np.random.default_rng(5)
    rows = np.array([[label, *rng.uniform(-1, 1, feat_num)] for label in labels for _ in range(count)])
    np.save(run / "features_clustered_010.npy", rows)
    return rows


def check_equal(whole: Path, continued: Path, tag: str, buffer: str) -> None:
    """Checkpoint ``tag`` of both run folders has the same files with the same arrays; ``buffer`` is in their state."""
    names = {path.name for path in whole.glob(f"{tag}_*.safetensors")}
    assert names == {path.name for path in continued.glob(f"{tag}_*.safetensors")} > {f"{tag}_state.safetensors"}
    for name in names:
        one, other = load_file(whole / name), load_file(continued / name)
        assert one.keys() == other.keys()
        assert "net" in name or any(buffer in key for key in one)
        for key, value in one.items():
            np.testing.assert_array_equal(value, other[key], err_msg=f"{name}: {key}")
