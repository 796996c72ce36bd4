"""Full-Glow (Sorkhei et al. 2021) and its baselines C-Glow and DUAL-Glow: conditional normalizing flows."""

__all__ = ["CGLOW", "DUALGLOW", "FULLGLOW"]

from pathlib import Path

from ...contracts.description import Description
from ...dataset.owners import CONDITIONAL
from ...options.owner import Owner
from ..shared import SAMPLING, own

_FOLDER = Path(__file__).parent
_SHARED = (
    *CONDITIONAL,
    SAMPLING,
    *own("conditional flows", _FOLDER, train="train_options.yaml", eval="eval_options.yaml"),
)
_COUPLINGS = Owner("affine couplings", _FOLDER / "couplings.yaml")

FULLGLOW = Description(
    "fullglow",
    (*_SHARED, _COUPLINGS, Owner("Full-Glow", _FOLDER / "fullglow.yaml")),
    __name__,
    "system:FullGlowSystem",
    # every name with "improved" is this network; some published runs have such names
    also={
        "improved_1": {"n_flow": [16], "max_iter": 136000},
        "improved_1_regular*": {"n_flow": [16], "max_iter": 136000},
        "improved_2": {"n_flow": [32, 16, 8, 8]},
        "improved_so_large": {"img_size": [512, 1024], "n_flow": [10], "max_iter": 276000, "temp": 0.9},
        "improved_so_large_longer": {"img_size": [512, 1024]},
        "*improved*bmaps*ceil*": {"use_bmaps": True, "do_ceil": True},
        "*improved*bmaps*": {"use_bmaps": True},
        "*improved*": {},
        "full_glow": {},
    },
)
CGLOW = Description(
    "cglow",
    (*_SHARED, Owner("C-Glow", _FOLDER / "cglow.yaml")),
    __name__,
    "system:CGlowSystem",
    also={
        "c_glow": {"x_hidden_size": 16, "x_hidden_channels": 32, "y_hidden_channels": 32, "n_flow": [16]},
        "c_glow_v2": {"n_block": 3, "n_flow": [8, 8, 8]},
        "c_glow_v3": {"x_hidden_size": 10, "x_hidden_channels": 20, "y_hidden_channels": 512, "n_flow": [16]},
    },
)
DUALGLOW = Description(
    "dualglow",
    (
        *_SHARED,
        _COUPLINGS,
        Owner("DUAL-Glow", _FOLDER / "dualglow.yaml"),
        Owner("DUAL-Glow", _FOLDER / "dualglow_train.yaml", programs=("train",)),
    ),
    __name__,
    "system:DualGlowSystem",
    also={"*dual_glow_shallow*": {"n_flow": [2]}, "*dual_glow*": {}},
)
