"""Networks made of MindSpore's own cells as the predecessor made them: converted, they compute the same."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from data.convert_checkpoint import main as convert
from src import load
from src.models.parameters import load_arrays
from src.runs.checkpoints import CheckpointStore
from src.systems.pix2pixhd.system import Pix2PixHD
from src.systems.programs import load_config
from src.utils.errors import UserError

OPTIONS = [
    "--label_nc", "3", "--instance_feat", "--ngf", "4", "--ndf", "4", "--nef", "2", "--n_downsample_global", "2",
    "--n_blocks_global", "2", "--n_blocks_local", "1", "--n_downsample_E", "2", "--num_D", "2", "--n_layers_D", "2",
    "--no_vgg_loss", "--max_instances", "8", "--device_target", "CPU",
]  # fmt: skip
# labels, boundaries and features; labels, boundaries and an image
SEEN_BY_G, SEEN_BY_D = 3 + 1 + 3, 3 + 1 + 3


class Norm(nn.Cell):
    """Instance norm with a scale of one and an offset of zero, which are saved."""

    def __init__(self, channels):
        super().__init__()
        self.gamma = Parameter(Tensor(np.ones((1, channels, 1, 1), np.float32)), "gamma", requires_grad=False)
        self.beta = Parameter(Tensor(np.zeros((1, channels, 1, 1), np.float32)), "beta", requires_grad=False)

    def construct(self, x):
        centred = x - x.mean((2, 3), keep_dims=True)
        variance = (centred * centred).mean((2, 3), keep_dims=True)
        return self.gamma * (centred * ops.rsqrt(variance + 1e-5)) + self.beta


NORMS = {"instance": Norm, "batch": nn.BatchNorm2d}


def pad(width):
    return nn.Pad(((0, 0), (0, 0), (width, width), (width, width)), mode="CONSTANT")


def conv(inside, outside, kernel, stride=1, padding=0):
    return nn.Conv2d(inside, outside, kernel, stride, pad_mode="pad", padding=padding, has_bias=True)


def entry(inside, outside, norm):
    return [pad(3), conv(inside, outside, 7), norm(outside), nn.ReLU()]


def down(channels, norm):
    return [conv(channels, 2 * channels, 3, 2, 1), norm(2 * channels), nn.ReLU()]


def up(channels, norm):
    return [nn.Conv2dTranspose(channels, channels // 2, 3, stride=2, has_bias=True), norm(channels // 2), nn.ReLU()]


def end(channels, outside):
    return [pad(3), conv(channels, outside, 7), nn.Tanh()]


class Block(nn.Cell):
    def __init__(self, channels, norm):
        super().__init__()
        parts = [pad(1), conv(channels, channels, 3), norm(channels)]
        more = [pad(1), conv(channels, channels, 3), norm(channels)]
        self.conv_block = nn.SequentialCell([*parts, nn.ReLU(), *more])

    def construct(self, x):
        return x + self.conv_block(x)


def trunk(inside, width, downs, blocks, norm):
    cells = entry(inside, width, norm)
    for i in range(downs):
        cells += down(width * 2**i, norm)
    cells += [Block(width * 2**downs, norm) for _ in range(blocks)]
    for i in range(downs, 0, -1):
        cells += up(width * 2**i, norm)
    return cells


class Whole(nn.Cell):
    """The global generator, or the encoder, which has no residual blocks."""

    def __init__(self, inside, width, downs, blocks, norm):
        super().__init__()
        self.model = nn.SequentialCell([*trunk(inside, width, downs, blocks, norm), *end(width, 3)])

    def construct(self, x):
        return self.model(x)


class Enhanced(nn.Cell):
    """The local enhancer around a global generator of twice the width."""

    def __init__(self, inside, width, downs, blocks, norm):
        super().__init__()
        self.model = nn.SequentialCell(trunk(inside, 2 * width, downs, blocks, norm))
        self.model_local_downsample = nn.SequentialCell([*entry(inside, width, norm), *down(width, norm)])
        back = [Block(2 * width, norm), *up(2 * width, norm), *end(width, 3)]
        self.model_local_upsample = nn.SequentialCell(back)
        self.downsample = nn.AvgPool2d(3, stride=2, pad_mode="same")

    def construct(self, x):
        return self.model_local_upsample(self.model_local_downsample(x) + self.model(self.downsample(x)))


class Group(nn.Cell):
    def __init__(self, inside, outside, stride, norm):
        super().__init__()
        parts = [conv(inside, outside, 4, stride, 2), norm(outside), nn.LeakyReLU(0.2)]
        self.features = nn.SequentialCell(parts)

    def construct(self, x):
        return self.features(x)


class Judge(nn.Cell):
    """Two scales of two layers, with the outputs of every group or the last alone."""

    def __init__(self, inside, width, matching, norm):
        super().__init__()
        self.matching = matching
        for k in range(2):
            groups = [
                [conv(inside, width, 4, 2, 2), nn.LeakyReLU(0.2)],
                [Group(width, 2 * width, 2, norm)],
                [Group(2 * width, 4 * width, 1, norm)],
                [conv(4 * width, 1, 4, 1, 2)],
            ]
            if matching:
                for j, group in enumerate(groups):
                    setattr(self, f"scale{k}_layer{j}", nn.SequentialCell(group))
            else:
                setattr(self, f"layer{k}", nn.SequentialCell([cell for group in groups for cell in group]))
        self.downsample = nn.AvgPool2d(3, stride=2, pad_mode="same")

    def construct(self, x):
        results = []
        for k in (1, 0):
            y = x
            for name in [f"scale{k}_layer{j}" for j in range(4)] if self.matching else [f"layer{k}"]:
                y = getattr(self, name)(y)
                results.append(y)
            x = self.downsample(x)
        return results


class Inside(nn.Cell):
    """A cell around networks, whose names are part of those in a checkpoint."""

    def __init__(self, **cells):
        super().__init__()
        for name, cell in cells.items():
            setattr(self, name, cell)


def filled(cell):
    """``cell`` with random weights that keep the numbers in the middle of tanh, in evaluation."""
    rng = np.random.default_rng(3)
    for name, parameter in cell.parameters_and_names():
        kind, shape = name.rpartition(".")[2], parameter.shape
        if kind == "weight":
            parameter.set_data(Tensor(rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)))
        elif kind == "bias" or parameter.ndim == 1:
            parameter.set_data(Tensor(rng.uniform(0.1, 1, shape).astype(np.float32)))
    return cell.set_train(False)


def save(cell, name, step):
    """A checkpoint of network ``name``, by itself or inside the cell ``step`` of training."""
    whole = Inside(**{f"net{name}": cell})
    ms.save_checkpoint(Inside(**{step: whole}) if step else whole, f"theirs/latest_net_{name}.ckpt")


def outputs(result):
    if isinstance(result, Tensor):
        return [result.asnumpy()]
    return [array for part in result for array in outputs(part)]


def distances(cell, other, channels, size=(24, 40)):
    """Largest differences of the two networks' outputs for the same random input."""
    x = Tensor(np.random.default_rng(4).uniform(-1, 1, (2, channels, *size)).astype(np.float32))
    got, want = outputs(cell(x)), outputs(other(x))
    assert [a.shape for a in got] == [a.shape for a in want] and all(a.std() > 0.05 for a in want)
    return [np.abs(a - b).max() for a, b in zip(got, want, strict=True)]


def converted(*options):
    """Convert ``theirs`` and return the networks of the system that the new checkpoint describes."""
    assert convert(["--source", "theirs", "--name", "ours", "--save_ckpt_dir", ".", *OPTIONS, *options]) == 0
    checkpoint = CheckpointStore("ours").load()
    system = Pix2PixHD(load_config([f"--{key}={value}" for key, value in checkpoint.config.items()]), training=True)
    for name, arrays in checkpoint.networks.items():
        load_arrays(system.networks[name], arrays)
    system.set_train(False)
    return system.networks


@pytest.mark.parametrize("steps", [{}, {"G": "loss_netG", "E": "loss_netG", "D": "loss_netD"}])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("netG", ["global", "local"])
def test_converted_networks_compute_the_same(tmp_path, netG, norm, steps):
    (tmp_path / "theirs").mkdir()
    kind = NORMS[norm]
    theirs = {
        "G": (Whole if netG == "global" else Enhanced)(SEEN_BY_G, 4, 2, 2, kind),
        "D": Judge(SEEN_BY_D, 4, netG == "global", kind),
        "E": Whole(3, 2, 2, 0, kind),
    }
    for name, cell in theirs.items():
        save(filled(cell), name, steps.get(name))
    described = ["--netG", netG, "--norm", norm, "--batch_statistics", "False"]
    described += ["--no_ganFeat_loss"] if netG == "local" else []
    with pytest.raises(UserError, match=r"theirs/latest_net_G\.ckpt comes from the .*: pass --layers predecessor\n"):
        convert(["--source", "theirs", "--name", "ours", "--save_ckpt_dir", ".", *OPTIONS, *described])
    assert not (tmp_path / "ours").exists()
    networks = converted(*described, "--layers", "predecessor")
    channels = {"G": SEEN_BY_G, "D": SEEN_BY_D, "E": 3}
    assert networks.keys() == theirs.keys()
    for name, cell in theirs.items():
        assert max(distances(networks[name], cell, channels[name])) < 2e-5, name
    # the run has them, too, and the published layers give something else
    loaded = load("ours", "latest", "CPU", "pynative")
    assert loaded.config.layers == "predecessor"
    system = Pix2PixHD(loaded.config.replace(layers="published"), training=False)
    for name in "GE":
        assert max(distances(loaded.system.networks[name], theirs[name], channels[name])) < 2e-5
        load_arrays(system.networks[name], CheckpointStore("ours").load().networks[name])
        assert max(distances(system.networks[name].set_train(False), theirs[name], channels[name])) > 0.05
