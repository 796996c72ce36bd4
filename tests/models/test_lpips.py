"""LPIPS against the same computation in numpy, on random weights in the layout of the published files."""

import numpy as np
import pytest
from mindspore import Tensor

from src.models.lpips import LPIPS, load_lpips, load_vgg16_features
from src.models.parameters import named_parameters
from src.utils.errors import UserError
from tests.torch_files import Tensor as TorchTensor
from tests.torch_files import save_legacy, save_zip, state_dict

# (channels, kernel, stride, padding) of each convolution, P for a pool; a map is taken where a T stands
ALEX = [
    (64, 11, 4, 2),
    "T",
    "P",
    (192, 5, 1, 2),
    "T",
    "P",
    (384, 3, 1, 1),
    "T",
    (256, 3, 1, 1),
    "T",
    (256, 3, 1, 1),
    "T",
]
VGG = [
    *((64, 3, 1, 1), (64, 3, 1, 1), "T", "P", (128, 3, 1, 1), (128, 3, 1, 1), "T", "P"),
    *((256, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1), "T", "P"),
    *((512, 3, 1, 1), (512, 3, 1, 1), (512, 3, 1, 1), "T", "P", (512, 3, 1, 1), (512, 3, 1, 1), (512, 3, 1, 1), "T"),
]
PLANS = {"alex": (ALEX, 3), "vgg": (VGG, 2)}


def published(net, seed=0):
    """Heads and backbone under the names of the two published files, with more beside them, as there is."""
    rng = np.random.default_rng(seed)
    body, heads, index, width = {}, {}, 0, 3
    for part in PLANS[net][0]:
        if part == "T":
            heads[f"lin{len(heads)}.model.1.weight"] = rng.uniform(0, 1, (1, width, 1, 1)).astype(np.float32)
        elif part == "P":
            index += 1
        else:
            channels, kernel = part[:2]
            scale = np.sqrt(2 / (width * kernel**2))
            body[f"features.{index}.weight"] = rng.standard_normal((channels, width, kernel, kernel)) * scale
            body[f"features.{index}.bias"] = rng.standard_normal(channels) * 0.1
            width, index = channels, index + 2
    body["classifier.1.weight"] = np.zeros((4, 4))
    return heads, {name: value.astype(np.float32) for name, value in body.items()}


def windows(x, kernel, stride):
    seen = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), (1, 2))
    return seen[:, ::stride, ::stride]


def by_hand(net, heads, body, a, b):
    """Zhang et al. 2018, equation 1, in float64, and the means of what it compares of ``a``."""
    plan, pool = PLANS[net]
    mean, deviation = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    x, y = ((z - mean[:, None, None]) / deviation[:, None, None] for z in (a, b))
    index = level = 0
    distance, means = 0.0, []
    for part in plan:
        if part == "T":
            u, v = (z / np.sqrt((z**2).sum(0, keepdims=True)) for z in (x, y))
            distance += (heads[f"lin{level}.model.1.weight"][0] * (u - v) ** 2).sum(0).mean()
            means.append(u.mean((1, 2)) * np.sqrt(len(u)))
            level += 1
        elif part == "P":
            x, y = (windows(z, pool, 2).max((3, 4)) for z in (x, y))
            index += 1
        else:
            _, kernel, stride, padding = part
            weight, bias = (body[f"features.{index}.{kind}"].astype(np.float64) for kind in ("weight", "bias"))
            results = []
            for z in (x, y):
                z = np.pad(z, ((0, 0), (padding, padding), (padding, padding)))
                z = np.tensordot(weight, windows(z, kernel, stride), ((1, 2, 3), (0, 3, 4)))
                results.append(np.maximum(z + bias[:, None, None], 0))
            x, y = results
            index += 2
    return distance, np.concatenate(means)


def stored(folder, heads, body):
    save_zip(folder / "heads.pth", state_dict(**{k: TorchTensor(v) for k, v in heads.items()}))
    save_legacy(folder / "body.pth", state_dict(**{k: TorchTensor(v) for k, v in body.items()}))
    return str(folder / "heads.pth"), str(folder / "body.pth")


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_it_is_the_published_computation(net, mode, tmp_path):
    heads, body = published(net)
    network = load_lpips(*stored(tmp_path, heads, body))
    rng = np.random.default_rng(1)
    a, b = (rng.uniform(-1, 1, (2, 3, 40, 51)).astype(np.float32) for _ in range(2))
    b[1] = a[1] + 0.1 * b[1]
    got = network(Tensor(a), Tensor(b)).asnumpy()
    distances, means = zip(*(by_hand(net, heads, body, a[i], b[i]) for i in range(2)), strict=True)
    np.testing.assert_allclose(got, distances, rtol=2e-4)
    assert got[1] < got[0]
    np.testing.assert_allclose(network(Tensor(a), Tensor(a)).asnumpy(), 0, atol=1e-6)
    if net == "vgg":
        features = load_vgg16_features(str(tmp_path / "body.pth"))(Tensor(a)).asnumpy()
        np.testing.assert_allclose(features, means, rtol=1e-4, atol=1e-5)


def test_its_size_is_that_of_the_published_networks():
    """Convolutions of AlexNet and VGG16, and one weight for each of 1152 and 1472 channels."""
    for net, convolutions, heads in (("alex", 2_469_696, 1_152), ("vgg", 14_714_688, 1_472)):
        assert sum(p.size for p in named_parameters(LPIPS(net)).values()) == convolutions + heads


def test_missing_and_wrong_files_say_what_is_needed(tmp_path):
    heads, body = published("alex")
    first, second = stored(tmp_path, heads, body)
    with pytest.raises(UserError, match="no file with LPIPS's linear heads.*--lpips_weights alex.pth"):
        load_lpips("", second)
    with pytest.raises(UserError, match=r"nowhere.pth with torchvision's weights \(alexnet-owt-7be5be79.pth\)"):
        load_lpips(first, str(tmp_path / "nowhere.pth"))
    with pytest.raises(UserError, match="body.pth holds no linear heads"):
        load_lpips(second, first)
    with pytest.raises(UserError, match="is for alexnet-owt-7be5be79.pth, which .*heads.pth is not"):
        load_lpips(first, first)
    with pytest.raises(UserError, match="body.pth holds no VGG16"):
        load_vgg16_features(second)
    with pytest.raises(UserError, match="nowhere.pth with VGG16's weights does not exist. Pass --vgg16_net_path"):
        load_vgg16_features(str(tmp_path / "nowhere.pth"))
