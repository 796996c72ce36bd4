"""Compare pix2pixHD with numbers of the published implementation."""

import ast
import tempfile
from pathlib import Path

import numpy as np
from mindspore import Tensor, ops
from safetensors.numpy import save_file

from src.contracts.objective import Objective
from src.models.parameters import load_arrays
from src.models.pix2pixhd.inputs import boundary_map
from src.models.vgg import VGG19
from src.systems.pix2pixhd.clusters import instance_table
from src.systems.pix2pixhd.system import Pix2PixHD
from src.systems.programs import TRAIN, read_command
from src.training.steps import TrainStep
from src.utils.weights import read_weights
from tests.reference_checks import recipe_weights
from tests.reference_checks.gradients import gradient_norms
from tests.reference_checks.twins import check_training, restart, weights_of

# options of the published configuration that training here does not have
_THEIRS = ("isTrain", "n_clusters", "data_type", "use_encoded_image")
_VGG_SEED = 1234


def check(folder: Path, io: dict[str, np.ndarray], options: str, report) -> None:
    """Compare every quantity of ``folder``; ``report(name, got, want, atol=, rtol=)`` collects the verdicts."""
    words = [f"--{key}={value}" for key, value in ast.literal_eval(str(options)).items() if key not in _THEIRS]
    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(scratch) / "vgg19.safetensors"
        shapes = {name: p.shape for name, p in VGG19().parameters_and_names()}
        save_file(dict(recipe_weights(shapes, _VGG_SEED)), str(weights))
        _, config = read_command(TRAIN, ["--model=pix2pixHD", *words, f"--vgg_pre_trained={weights}"])
        system = Pix2PixHD(config, training=True)
        objective = system.objective(io["image"].shape[2:])
    for network, cell in system.networks.items():
        path = folder / f"net_{network}.pth"
        load_arrays(cell, system.published.names(network, read_weights(path)), source=str(path))
    _, relabelled = np.unique(io["inst"], return_inverse=True)
    batch = {
        "label": io["label"].astype(np.int32),
        "inst": relabelled.reshape(io["inst"].shape).astype(np.int32),
        "image": io["image"].astype(np.float32),
    }
    system.set_train(True)
    _check_forward(system, batch, io, report)
    _check_training(system, objective, batch, io, report)


def _check_forward(system: Pix2PixHD, batch: dict, io: dict, report) -> None:
    report("edge", boundary_map(Tensor(batch["inst"])).asnumpy(), io["edge"], atol=0)
    condition = system.encode(Tensor(batch["label"]), Tensor(batch["inst"]))
    report(
        "onehot_argmax",
        condition[:, : system.config.label_nc].asnumpy().argmax(1),
        io["onehot_argmax"],
        atol=0,
    )
    if "feat_map" in io:
        features = system.encode_image(batch["image"], batch["inst"])
        report("feat_map", features, io["feat_map"], atol=1e-4)
        batch["feat"] = features
        means = system.encode_means(batch)[0]
        rows = instance_table(means, batch["inst"][0, 0], batch["label"][0, 0])
        for key in (k for k in io if k.startswith("encode_features_")):
            mine = rows[rows[:, 0] == int(key.rpartition("_")[2]), 1:]
            report(key, mine[np.argsort(mine[:, 0])], io[key][np.argsort(io[key][:, 0])], atol=1e-4)
    report("fake", system.translate(batch)["synthesized_image"], io["fake"], atol=1e-4)
    batch.pop("feat", None)
    outputs = system.networks["D"](ops.concat((condition, Tensor(batch["image"])), 1))
    for s, scale in enumerate(outputs):
        for j, output in enumerate(scale):
            want, got = io[f"D_real_s{s}_l{j}"], output.asnumpy()
            if want.ndim == 1:
                got = np.array([got.mean(), got.std(ddof=1), np.abs(got).max()])
            elif system.config.no_lsgan:
                # the published network ends in a sigmoid there; ours has it in the loss
                got = 1 / (1 + np.exp(-got))
            report(f"D_real_s{s}_l{j}", got, want, atol=1e-4, rtol=1e-4)


def _check_training(system: Pix2PixHD, objective: Objective, batch: dict, io: dict, report) -> None:
    groups = objective.groups(1)
    step = TrainStep(objective.gradients(groups), groups)
    inputs = [Tensor(array) for array in objective.inputs(batch)]
    start = weights_of(system, objective)
    step(*inputs)
    for network in "GD":
        norms = gradient_norms(system, network, step)
        want = io[f"grad_norms_{network}"]
        # the bias in front of an instance norm has no gradient but rounding
        meaningful = want > 1e-6 * want.max()
        report(f"grad_norms_{network}", norms[meaningful], want[meaningful], atol=0, rtol=1e-3)
    restart(system, objective, step, start)

    def fake():
        more = {"feat": system.encode_image(batch["image"], batch["inst"])} if system.uses_features else {}
        return system.translate(batch | more)["synthesized_image"]

    check_training(
        *(system, objective, step, [inputs] * len(io["loss_history"]), io["loss_history"], objective.loss_names),
        lambda losses: list(losses.values()),
        *(fake, io["fake_after"], report),
    )
