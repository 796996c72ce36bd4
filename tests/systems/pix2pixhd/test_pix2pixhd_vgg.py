"""The perceptual term of pix2pixHD's objective."""

import numpy as np
import pytest
from mindspore import Tensor
from safetensors.numpy import save_file

from src.models.parameters import init_weights
from src.models.vgg import VGG19, VGGLoss, load_vgg
from src.systems.pix2pixhd.system import Pix2PixHD
from src.systems.programs import load_config
from src.utils.errors import UserError
from tests.systems.pix2pixhd.tiny_pix2pixhd import TINY


def test_vgg_weights_that_are_missing_or_of_something_else(tmp_path):
    with pytest.raises(UserError, match=r"vgg19.safetensors do not exist. Download .* --no_vgg_loss True"):
        Pix2PixHD(load_config([option for option in TINY if option != "--no_vgg_loss"])).objective((16, 32))
    path = str(tmp_path / "other.safetensors")
    save_file({"features.0.weight": np.zeros((3, 3, 3, 3), np.float32)}, path)
    with pytest.raises(UserError, match=r"other.safetensors holds no VGG19 of torchvision"):
        load_vgg(path)
    (tmp_path / "empty.pth").write_bytes(b"")
    with pytest.raises(UserError, match=r"empty.pth"):
        load_vgg(str(tmp_path / "empty.pth"))


def test_vgg_loss_takes_one_three_and_four_channels():
    vgg = VGG19()
    init_weights(vgg, init_gain=0.05)
    loss = VGGLoss(vgg)
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(-1, 1, (1, 4, 32, 32)).astype(np.float32) for _ in range(2))

    def distance(x, y):
        return float(loss(Tensor(x), loss.features(Tensor(y))).asnumpy())

    three = distance(a[:, :3], b[:, :3])
    maps = [(p.asnumpy(), q.asnumpy()) for p, q in zip(vgg(Tensor(a[:, :3])), vgg(Tensor(b[:, :3])), strict=True)]
    assert [p.shape[1:] for p, _ in maps] == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]
    weights = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1)
    want = sum(w * np.abs(p - q).mean() for w, (p, q) in zip(weights, maps, strict=True))
    assert three == pytest.approx(want, rel=1e-5)
    assert distance(a, b) == three
    assert distance(a[:, :1], b[:, :1]) == distance(a[:, [0, 0, 0]], b[:, [0, 0, 0]])
    assert distance(a, a) == 0
