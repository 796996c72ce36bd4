"""Inception v3: its size, the folding of batch norms, its pools, and files that are not it."""

import numpy as np
import pytest
from mindspore import Tensor, ops

from src.models.inception import InceptionV3, _BlockE, fold_batch_norms, load_inception
from src.models.parameters import named_parameters, state_arrays
from src.utils.errors import UserError
from src.utils.tensorfile import write_arrays
from tests.torch_files import Tensor as TorchTensor
from tests.torch_files import save_zip, state_dict


@pytest.fixture(scope="module")
def published():
    """Arrays under the names of the published file, with random values of a sensible size."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name, parameter in named_parameters(InceptionV3()).items():
        prefix, _, kind = name.rpartition(".")
        if kind != "weight":
            continue
        fan = np.prod(parameter.shape[1:])
        arrays[f"{prefix}.conv.weight"] = (rng.standard_normal(parameter.shape) * np.sqrt(2 / fan)).astype(np.float32)
        width = parameter.shape[0]
        arrays[f"{prefix}.bn.weight"] = rng.uniform(0.8, 1.2, width).astype(np.float32)
        arrays[f"{prefix}.bn.bias"] = (0.1 * rng.standard_normal(width)).astype(np.float32)
        arrays[f"{prefix}.bn.running_mean"] = (0.1 * rng.standard_normal(width)).astype(np.float32)
        arrays[f"{prefix}.bn.running_var"] = rng.uniform(0.5, 2.0, width).astype(np.float32)
        arrays[f"{prefix}.bn.num_batches_tracked"] = np.array(1)
    arrays["fc.weight"], arrays["fc.bias"] = np.zeros((8, 2048), np.float32), np.zeros(8, np.float32)
    arrays["AuxLogits.conv0.conv.weight"] = np.zeros((2, 2, 1, 1), np.float32)
    return arrays


def test_it_has_the_published_size(published):
    """21,785,568 without classifier and auxiliary head, two numbers a channel for its batch norms."""
    count = sum(
        value.size
        for name, value in published.items()
        if name.endswith((".conv.weight", ".bn.weight", ".bn.bias")) and not name.startswith("Aux")
    )
    assert count == 21_785_568


def test_folded_batch_norms(published):
    folded = fold_batch_norms(published)
    assert folded.keys() == named_parameters(InceptionV3()).keys()
    rng = np.random.default_rng(1)
    x = rng.standard_normal(3)
    name = "Conv2d_1a_3x3"
    weight = published[f"{name}.conv.weight"].sum((2, 3)).astype(np.float64)
    normed = (weight @ x - published[f"{name}.bn.running_mean"]) / np.sqrt(published[f"{name}.bn.running_var"] + 1e-3)
    expected = normed * published[f"{name}.bn.weight"] + published[f"{name}.bn.bias"]
    got = folded[f"{name}.weight"].sum((2, 3)) @ x + folded[f"{name}.bias"]
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_features_from_both_kinds_of_file(published, tmp_path):
    save_zip(tmp_path / "inception.pth", state_dict(**{n: TorchTensor(v) for n, v in published.items()}))
    network = load_inception(tmp_path / "inception.pth")
    write_arrays(tmp_path / "inception.safetensors", state_arrays(network))
    again = load_inception(tmp_path / "inception.safetensors")
    image = np.random.default_rng(2).integers(0, 256, (2, 3, 24, 24)).astype(np.float32)
    features = network(Tensor(image)).asnumpy()
    assert features.shape == (2, 2048) and np.isfinite(features).all() and features.std() > 0
    np.testing.assert_array_equal(again(Tensor(image)).asnumpy(), features)
    np.testing.assert_allclose(network(Tensor(image[1:])).asnumpy()[0], features[1], rtol=1e-3, atol=1e-4)


def test_the_last_block_pools_by_maximum_and_the_others_do_not_count_padding():
    mean, largest = _BlockE(4, pools_by_max=False), _BlockE(4, pools_by_max=True)
    x = np.abs(np.random.default_rng(3).standard_normal((1, 4, 3, 3))).astype(np.float32)
    for block, corner in ((mean, x[0, 1, :2, :2].mean()), (largest, x[0, 1, :2, :2].max())):
        weight = np.zeros((192, 4, 1, 1), np.float32)
        weight[:, 1] = 1.0
        ops.assign(block.branch_pool.weight, Tensor(weight))
        out = block(Tensor(x)).asnumpy()
        assert out.shape == (1, 2048, 3, 3)
        assert out[0, -1, 0, 0] == pytest.approx(corner, rel=1e-5)


def test_other_files_are_refused(published, tmp_path):
    broken = {name: value for name, value in published.items() if not name.startswith("Mixed_7c.branch1x1")}
    save_zip(tmp_path / "a.pth", state_dict(**{n: TorchTensor(v) for n, v in broken.items()}))
    with pytest.raises(UserError, match="Mixed_7c.branch1x1.weight: not in the file"):
        load_inception(tmp_path / "a.pth")
    save_zip(tmp_path / "b.pth", state_dict(**{"layer.conv.weight": TorchTensor(np.zeros((1, 1, 1, 1), np.float32))}))
    with pytest.raises(UserError, match="it is not Inception v3"):
        load_inception(tmp_path / "b.pth")
    with pytest.raises(UserError, match="does not exist"):
        load_inception(tmp_path / "gone.pth")
