"""Training steps with a temporal loss: what is compared in each system, what its weight does, and both modes."""

import json

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from src.imaging.flow import write_flow
from src.models.temporal import temporal_loss
from src.scenes.drives import write_drives
from src.systems.programs import TRAIN, read_command
from src.utils.errors import UserError
from tests.tiny_runs import options_of
from train import main as train

_SMALL = {"ngf": 4, "ndf": 4, "seed": 3}
_PAIRED = {
    "model": "pix2pixHD", "label_nc": 5, "n_blocks_global": 1, "n_downsample_global": 2, "n_downsample_E": 2, "nef": 2,
    "num_D": 1, "n_layers_D": 1, "max_instances": 8, "no_vgg_loss": True,
}  # fmt: skip
_CUT = {"model": "cut", "n_residual_blocks": 1, "nce_layers": [0, 4, 8], "netF_nc": 4, "num_patches": 8}
SYSTEMS = {
    "pix2pixHD": _PAIRED,
    "pix2pixHD with an encoder": _PAIRED | {"instance_feat": True, "pool_size": 2},
    "pix2pixHD with features": _PAIRED | {"label_feat": True, "load_features": True, "no_instance": True},
    "cyclegan": {"model": "cyclegan", "n_residual_blocks": 1, "pool_size": 2, "diffaug": "color"},
    "cut": _CUT | {"diffaug": "color"},
    "cut with mirrors": _CUT | {"flip_equivariance": True, "nce_idt": False},
}
SIZE, COUNT = (32, 40), 2


def trained(name, **changes):
    """A system for training, and a batch of zeros as its data comes."""
    words = [f"--{key}={value}" for key, value in (_SMALL | SYSTEMS[name] | changes).items()]
    description, config = read_command(TRAIN, words)
    system = description.load()
    return system(config, training=True), system.data.example(system.request(config, True), COUNT, SIZE, True)


def filled(batch):
    """Noise in the place of zeros, the frame before of other noise, and half of the flow known."""
    rng = np.random.default_rng(0)
    batch = {
        name: rng.integers(0, 5, array.shape).astype(np.int32) if array.dtype == np.int32 and array.ndim == 4
        else rng.uniform(-1, 1, array.shape).astype(np.float32) if array.ndim == 4 else array
        for name, array in batch.items()
    }  # fmt: skip
    if "flow" in batch:
        batch["flow"] *= 3
        batch["flow"][:, 2] = rng.random((COUNT, *SIZE)) < 0.5
    return batch


def gradients_of(system, batch, step=0):
    """The losses by name, and the generator's gradient as one vector."""
    objective = system.objective(SIZE)
    groups = objective.groups(1)
    inputs = map(Tensor, objective.inputs(batch, step))
    losses, gradients, _ = objective.gradients(groups)(Tensor(1.0, ms.float32), *inputs)
    flat = np.concatenate([gradient.asnumpy().ravel() for gradient in gradients[0]])
    return dict(zip(objective.loss_names, losses.asnumpy().tolist(), strict=True)), flat


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_still_video_costs_nothing_and_the_weight_is_one(name):
    """The frame before is made as the frame is, with its styles, mirrored with it; the term is added by its weight."""
    found = {}
    for weight in (0, 10, 30):
        system, batch = trained(name, lambda_temporal=weight)
        batch = filled(batch)
        found[weight] = losses, _ = gradients_of(system, batch)
        assert ("temporal" in losses) == (weight > 0) == any(column.endswith("_before") for column in batch)
    losses, gradient = found[30]
    assert losses["temporal"] > 0.01 and list(losses)[-1].startswith("D_")
    for other in losses.keys() - {"temporal"}:
        assert losses[other] == pytest.approx(found[0][0][other], rel=1e-5), other
    term = found[10][1] - found[0][1]
    # CUT's other gradients are thousands of times as large, and so is their rounding
    np.testing.assert_allclose(gradient - found[0][1], 3 * term, atol=5e-3 * np.abs(term).max())
    still = {column: batch[column.removesuffix("_before")] for column in batch}
    still["flow"] = np.zeros_like(batch["flow"]) + np.float32([0, 0, 1]).reshape(3, 1, 1)
    for step in range(4 if "mirrors" in name else 1):
        assert gradients_of(system, still, step)[0]["temporal"] < 1e-6, step


def test_mirrored_frames_move_the_other_way():
    system, batch = trained("cut with mirrors", lambda_temporal=1)
    batch = filled(batch)
    # what is at x was two pixels further right
    batch["A"][..., :-2] = batch["A_before"][..., 2:]
    batch["flow"] = np.zeros_like(batch["flow"]) + np.float32([2, 0, 1]).reshape(3, 1, 1)
    objective, mirrored = system.objective(SIZE), set()
    for step in range(4):
        inputs = objective.inputs(batch, step)
        seen, (before, flow) = inputs[0], inputs[7:9]
        mirrored.add(bool((seen != batch["A"]).any()))
        assert float(temporal_loss(*map(Tensor, (seen, before, flow)))) == 0, step
    assert mirrored == {False, True}


def test_it_is_the_difference_of_two_translations_in_both_modes(mode):
    system, batch = trained("pix2pixHD", lambda_temporal=2)
    batch = filled(batch)
    before = {column.removesuffix("_before"): batch[column] for column in batch if column.endswith("_before")}
    later = {column: batch[column] for column in before}
    images = [Tensor(system.translate(frame)["synthesized_image"]) for frame in (later, before)]
    expected = float(temporal_loss(*images, Tensor(batch["flow"])))
    assert gradients_of(system, batch)[0]["temporal"] == pytest.approx(expected, rel=1e-4)


def test_the_command_trains_on_drives_and_refuses_flow_of_another_size_before_it_does(tmp_path):
    write_drives(tmp_path / "drives", "train", 1, 3, 64, 32)
    words = options_of(model="pix2pixHD", data_root=tmp_path / "drives", lambda_temporal=20, no_html=True, print_freq=1)
    assert train([*words, f"--save_ckpt_dir={tmp_path}", "--name=steady"]) == 0
    steps = [json.loads(line) for line in (tmp_path / "steady" / "log.jsonl").read_text().splitlines()]
    # the first of the three frames follows none
    assert sorted(step["values"]["temporal"] > 0 for step in steps) == [False, True, True]
    file = tmp_path / "drives" / "train_flow" / "drive_00000_0002.png"
    write_flow(file, np.zeros((16, 32, 2)), np.ones((16, 32), bool))
    with pytest.raises(UserError, match=r"0002.png is 32x16 and its frame \S+train_label\S+ 64x32: flow has the size"):
        train([*words, f"--save_ckpt_dir={tmp_path}", "--name=refused"])
    assert not (tmp_path / "refused").exists()
