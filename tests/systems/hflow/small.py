"""A network of two levels, 16 and 8 pixels, and images for it."""

__all__ = ["SIZE", "draw", "objective_of", "small_config"]

import numpy as np

from src.options.config import Config
from src.systems.hflow.objective import HFlowObjective
from src.systems.hflow.system import HFlowSystem
from src.systems.programs import load_config

SIZE = 16


def small_config(**changes) -> Config:
    """The tiny preset with one level less."""
    config = load_config([], "configs/hflow_tiny.yaml")
    levels = len(config.resolutions)
    values = {
        key: value[1:]
        for key, value in config.to_dict().items()
        if isinstance(value, list) and len(value) == levels and not key.startswith(("endblock_", "segmenter"))
    }
    values |= {"channels": [3, 8], "num_layers": [4, 2], "added_noise_std": 0.0}
    return config.replace(**(values | changes))


def objective_of(**changes) -> HFlowObjective:
    """A fresh small system's objective; the system is its ``system``."""
    return HFlowSystem(small_config(**changes)).objective((SIZE, SIZE))


def draw(n: int, seed: int = 0) -> np.ndarray:
    """Smooth images in [-1, 1], as the data set gives them."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(-0.8, 0.8, (n, 3, 4, 4))
    fine = np.kron(coarse, np.ones((1, 1, 4, 4))) + 0.1 * rng.standard_normal((n, 3, SIZE, SIZE))
    levels = np.rint((fine.clip(-1, 1) + 1) * 127.5)
    return (levels / 127.5 - 1).astype(np.float32)
