"""Option layers: the predecessor's padding, upsampling and pooling, and which runs have them."""

import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from src.inference.opening import open_model
from src.models.pix2pixhd.layers import LAYERS, PREDECESSOR
from src.options.owner import ROOT
from src.runs.checkpoints import CheckpointStore
from src.systems.pix2pixhd.system import Pix2PixHD
from src.systems.programs import EVAL, load_config, read_command
from src.utils.errors import UserError
from tests.models.test_layers import backward, fill, random
from tests.systems.pix2pixhd.tiny_pix2pixhd import system_of

OLD_RUN = ROOT / "tests" / "fixtures" / "runs_0_1" / "paired"


def pad_model(x, padding):
    return np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))


def pool_model(x):
    """Windows [2i, 2i + 2] of even sides and [2i - 1, 2i + 1] of odd ones, without what is outside."""
    n, c, height, width = x.shape
    result = np.zeros((n, c, (height + 1) // 2, (width + 1) // 2))
    for i in range(result.shape[2]):
        for j in range(result.shape[3]):
            top, left = 2 * i - height % 2, 2 * j - width % 2
            result[:, :, i, j] = x[:, :, max(top, 0) : top + 3, max(left, 0) : left + 3].mean((2, 3))
    return result


def deconv_model(x, weight):
    """Every pixel spreads its kernel from twice its place on; the last row and column are cut off."""
    n, _, height, width = x.shape
    whole = np.zeros((n, weight.shape[1], 2 * height + 1, 2 * width + 1))
    for i in range(height):
        for j in range(width):
            whole[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += np.einsum("nc,cokl->nokl", x[:, :, i, j], weight)
    return whole[:, :, :-1, :-1]


#: the layer, MindSpore's own, and what it computes
CELLS = {
    "pad 1": (
        lambda: PREDECESSOR.pad(1),
        lambda: nn.Pad(((0, 0), (0, 0), (1, 1), (1, 1)), mode="CONSTANT"),
        lambda x: pad_model(x, 1),
    ),
    "pad 3": (
        lambda: PREDECESSOR.pad(3),
        lambda: nn.Pad(((0, 0), (0, 0), (3, 3), (3, 3)), mode="CONSTANT"),
        lambda x: pad_model(x, 3),
    ),
    "deconv": (
        lambda: PREDECESSOR.deconv(4, 3),
        lambda: nn.Conv2dTranspose(4, 3, 3, 2, pad_mode="same", has_bias=True),
        deconv_model,
    ),
    "pool": (PREDECESSOR.pool, lambda: nn.AvgPool2d(3, 2, pad_mode="same"), pool_model),
}


@pytest.mark.parametrize("size", [(4, 6), (5, 8), (2, 3)])
@pytest.mark.parametrize("name", CELLS)
def test_layers_are_mindspores_own(mode, name, size):
    ours, theirs, model = CELLS[name][0](), CELLS[name][1](), CELLS[name][2]
    values = fill(ours)
    assert values.keys() == {key for key, _ in theirs.parameters_and_names()}
    for key, parameter in theirs.parameters_and_names():
        ops.assign(parameter, Tensor(values[key]))
    weights = [values["weight"]] if values else []
    x = random(2, 4, *size)
    got = ours(Tensor(x)).asnumpy()
    np.testing.assert_array_equal(got, theirs(Tensor(x)).asnumpy())
    bias = values["bias"].reshape(1, -1, 1, 1) if values else 0
    np.testing.assert_allclose(got, model(x, *weights) + bias, atol=1e-5)
    upstream = random(*got.shape, seed=2)
    got, want = backward(ours, x, upstream), backward(theirs, x, upstream)
    np.testing.assert_allclose(got[0], want[0], atol=1e-5)
    for key in values:
        np.testing.assert_allclose(got[1][key], want[1][key], rtol=1e-4, atol=1e-4)
    # they are linear: the gradient at one pixel is the weighted response to that pixel alone
    for place in np.random.default_rng(0).integers(0, x.size, 6):
        impulse = np.zeros_like(x)
        impulse.flat[place] = 1
        assert got[0].flat[place] == pytest.approx((model(impulse, *weights) * upstream).sum(), abs=1e-4)


@pytest.mark.parametrize("layers", LAYERS)
def test_all_networks_have_the_layers_of_the_option(layers):
    system = system_of("--layers", layers, "--instance_feat", "--netG", "local")
    kinds = {type(cell) for network in system.networks.values() for _, cell in network.cells_and_names()}
    own, other = ({type(LAYERS[key].pad(1)), type(LAYERS[key].pool())} for key in (layers, *(LAYERS.keys() - {layers})))
    assert own <= kinds and not other & kinds
    paddings = {
        cell.padding
        for network in system.networks.values()
        for _, cell in network.cells_and_names()
        if isinstance(cell, nn.Conv2dTranspose)
    }
    assert paddings == {LAYERS[layers].deconv(1, 1).padding}


def test_runs_of_earlier_versions_have_the_published_ones():
    assert "layers" not in CheckpointStore(OLD_RUN).load("1", with_state=False).config
    words = [f"--load_ckpt={OLD_RUN}", "--device_target=CPU", "--mode=pynative"]
    description, config = read_command(EVAL, words)
    assert open_model(config, description.load()).config.layers == "published"
    _, config = read_command(EVAL, [*words, "--layers=predecessor"])
    with pytest.raises(UserError, match="--layers predecessor contradicts .* trained with layers published"):
        open_model(config, description.load())


def test_training_starts_from_weights_of_the_same_layers():
    complete, other = Pix2PixHD.companions.complete, "trained with layers predecessor, not published: pass --layers"
    for earlier in ((None, {"layers": "predecessor"}), ({"layers": "predecessor"}, None)):
        with pytest.raises(UserError, match=f"{other} predecessor"):
            complete(load_config([]), *earlier)
        assert complete(load_config(["--layers", "predecessor"]), *earlier).layers == "predecessor"
    assert complete(load_config([]), None, {}).layers == "published"
    with pytest.raises(UserError, match="trained with layers published, not predecessor"):
        complete(load_config(["--layers", "predecessor"]), None, {})
