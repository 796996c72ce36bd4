"""Tiny pix2pixHD systems and batches for them, for the tests of this folder."""

__all__ = [
    "IN_RANGE", "TINY", "batch_of", "check_both_modes", "mean_model", "one_step", "system_of", "weights_of",
]  # fmt: skip

import mindspore as ms
import numpy as np
from mindspore import Tensor

from src.models.parameters import state_arrays
from src.systems.pix2pixhd.objective import Pix2PixHDObjective
from src.systems.pix2pixhd.system import Pix2PixHD
from src.systems.programs import load_config
from src.training.steps import TrainStep

TINY = [
    "--label_nc", "5", "--ngf", "4", "--ndf", "4", "--nef", "2", "--n_blocks_global", "1", "--n_blocks_local", "1",
    "--n_downsample_global", "2", "--n_downsample_E", "2", "--no_vgg_loss", "--max_instances", "8",
]  # fmt: skip
# MindSpore's tanh passes 1 by a few units in the last place
IN_RANGE = 1.0001


def system_of(*options, training=True):
    return Pix2PixHD(load_config([*TINY, *options]), training)


def batch_of(system, n=1, height=16, width=32, seed=0):
    """A random batch with the columns that the options need."""
    rng, config = np.random.default_rng(seed), system.config

    def images(channels):
        return rng.uniform(-1, 1, (n, channels, height, width)).astype(np.float32)

    blocks = rng.integers(0, 5, (n, 1, height // 8, width // 8)).repeat(8, 2).repeat(8, 3).astype(np.int32)
    batch = {"label": blocks if config.label_nc else images(config.input_nc)}
    if not config.no_instance:
        batch["inst"] = rng.integers(0, 8, (n, 1, height // 4, width // 4)).repeat(4, 2).repeat(4, 3).astype(np.int32)
    if config.load_features:
        batch["feat"] = images(config.feat_num)
    if any(config.real_patches):
        batch["real"] = images(config.output_nc)
    return batch | {"image": images(config.output_nc), "id": np.arange(n, dtype=np.int32)}


def weights_of(system):
    return {f"{net}.{k}": v for net, cell in system.networks.items() for k, v in state_arrays(cell).items()}


def one_step(system, batch, step=0):
    """The losses by name and the fake of one update."""
    objective = Pix2PixHDObjective(system, batch["image"].shape[2:])
    groups = objective.groups(1)
    inputs = [Tensor(array) for array in objective.inputs(batch, step)]
    losses, _, outputs = TrainStep(objective.gradients(groups), groups)(*inputs)
    return dict(zip(objective.loss_names, losses.asnumpy().tolist(), strict=True)), outputs[0].asnumpy()


def mean_model(features, ids):
    """Means over regions, by a loop."""
    result = np.zeros(features.shape)
    for b in range(len(features)):
        for i in np.unique(ids[b]):
            where = ids[b, 0] == i
            for c in range(features.shape[1]):
                result[b, c][where] = features[b, c][where].mean()
    return result


def check_both_modes(*options, **batch):
    """One step is the same in PyNative and in GRAPH mode: losses, image, and the weights after it."""
    found = []
    for mode in (ms.PYNATIVE_MODE, ms.GRAPH_MODE):
        ms.set_context(mode=mode)
        try:
            system = system_of(*options)
            losses, fake = one_step(system, batch_of(system, **batch))
        finally:
            ms.set_context(mode=ms.PYNATIVE_MODE)
        found.append((np.array(list(losses.values())), fake, weights_of(system)))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5)
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-5)
    for name, array in found[0][2].items():
        if name.endswith("weight"):
            np.testing.assert_allclose(array, found[1][2][name], atol=5e-5, err_msg=name)
