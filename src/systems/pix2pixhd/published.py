"""NVIDIA's pix2pixHD weights, ``latest_net_G.pth``, ``_D`` and ``_E``, and those of the MindSpore predecessor."""

__all__ = ["Pix2PixHDWeights"]

import re

from ...contracts.published import Arrays, PublishedWeights
from ...contracts.system import System
from ...utils.errors import UserError
from ...utils.logging import get_logger
from .predecessor import check_norms, is_predecessor, predecessor_arrays

# PyTorch's names of a batch norm's arrays, and MindSpore's
_BATCH_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
# classes of Cityscapes and channels of its features, which the published networks were trained with
_CLASSES, _FEATURES = 35, 3


class Pix2PixHDWeights(PublishedWeights):
    """This project uses NVIDIA's names, except for batch norm; widths and depths follow from shapes."""

    def names(self, network: str, arrays: Arrays) -> Arrays:
        """The arrays under this project's names, without counters and the unused statistics of old instance norms."""
        if is_predecessor(arrays):
            arrays = predecessor_arrays(network, arrays)
        renamed = {}
        for name, value in arrays.items():
            prefix, _, kind = name.rpartition(".")
            is_norm = f"{prefix}.running_mean" in arrays
            if kind == "num_batches_tracked" or (is_norm and f"{prefix}.weight" not in arrays):
                continue
            renamed[f"{prefix}.{_BATCH_NORM.get(kind, kind)}" if is_norm else name] = value
        return renamed

    def options(self, network: str, arrays: Arrays) -> dict[str, object]:
        """Widths, depths and channels of ``G``, ``D`` or ``E``.

        The inputs behind the channels of ``G`` and ``D`` are a guess, and the log says so.

        Raises:
            UserError: the arrays are no such network.
        """
        known = {"G": _generator, "D": _discriminator, "E": _encoder}
        if network not in known:
            return {}
        layers = {"layers": "predecessor"} if is_predecessor(arrays) else {}
        arrays = self.names(network, arrays)
        convolutions = {n.removesuffix(".weight"): a.shape for n, a in arrays.items() if a.ndim == 4}
        try:
            options = known[network](convolutions)
        except (KeyError, IndexError, ValueError):
            found = ", ".join(sorted(arrays)[:5]) or "nothing"
            raise UserError(f"these weights are not network {network} of pix2pixHD: found {found}") from None
        norm = "batch" if any(name.endswith(".gamma") for name in arrays) else "instance"
        return options | {"norm": norm} | layers

    def check(self, system: System, network: str, arrays: Arrays, source: str) -> None:
        """Raise ``UserError`` for the predecessor's weights where its layers are not chosen, or norms are trained."""
        if not is_predecessor(arrays):
            return
        check_norms(network, arrays, source)
        if system.config.layers != "predecessor":
            raise UserError(
                f"{source} comes from the MindSpore predecessor, whose networks pad, upsample and pool otherwise: pass "
                "--layers predecessor"
            )


Shapes = dict[str, tuple[int, ...]]


def _part(convolutions: Shapes, prefix: str) -> tuple[list[tuple[int, ...]], int]:
    """Shapes of a sequence's own convolutions in their order, and the number of its residual blocks."""
    own = {int(m[1]): shape for name, shape in convolutions.items() if (m := re.fullmatch(rf"{prefix}\.(\d+)", name))}
    blocks = {m[1] for name in convolutions if (m := re.match(rf"{prefix}\.(\d+)\.conv_block\.", name))}
    return [own[i] for i in sorted(own)], len(blocks)


def _generator(convolutions: Shapes) -> dict[str, object]:
    trunk, blocks = _part(convolutions, "model")
    enhancers = len({m[1] for name in convolutions if (m := re.match(r"model(\d+)_1\.", name))})
    width, channels = trunk[0][:2]
    options: dict[str, object] = {"netG": "local" if enhancers else "global", "n_blocks_global": blocks}
    # between the first convolution and, without enhancers, the last: as many down as up
    options["n_downsample_global"] = (len(trunk) - (1 if enhancers else 2)) // 2
    last = trunk[-1]
    if enhancers:
        front, _ = _part(convolutions, f"model{enhancers}_1")
        back, blocks = _part(convolutions, f"model{enhancers}_2")
        options |= {"n_local_enhancers": enhancers, "n_blocks_local": blocks}
        width, last = front[0][0], back[-1]
    return options | {"ngf": width, "output_nc": last[0]} | _inputs(channels, f"{channels} input channels of G")


def _discriminator(convolutions: Shapes) -> dict[str, object]:
    # with feature matching the layers have names, without it they are numbered
    matching = {m.groups() for name in convolutions if (m := re.fullmatch(r"scale(\d+)_layer(\d+)\.0", name))}
    plain = {m.groups() for name in convolutions if (m := re.fullmatch(r"layer(\d+)\.(\d+)", name))}
    layers = matching or plain
    scales = {int(scale) for scale, _ in layers}
    ndf, channels = convolutions["scale0_layer0.0" if matching else "layer0.0"][:2]
    options = {"num_D": len(scales), "n_layers_D": len(layers) // len(scales) - 2, "ndf": ndf}
    options["no_ganFeat_loss"] = not matching
    return options | _inputs(channels - 3, f"{channels} input channels of D, 3 of them an image's", features=False)


def _encoder(convolutions: Shapes) -> dict[str, object]:
    own, _ = _part(convolutions, "model")
    first, last = own[0], own[-1]
    return {"nef": first[0], "n_downsample_E": (len(own) - 2) // 2, "feat_num": last[0], "output_nc": first[1]}


def _inputs(channels: int, what: str, features: bool = True) -> dict[str, object]:
    """A guess of the options whose channels add up to ``channels``, which is logged because other sums are possible."""
    if channels < 1:
        raise ValueError(channels)
    if channels <= 4:
        guess: dict[str, object] = {"label_nc": 0, "input_nc": channels, "no_instance": True}
    elif features and channels == _CLASSES + 1 + _FEATURES:
        guess = {"label_nc": _CLASSES, "instance_feat": True, "feat_num": _FEATURES}
    elif features and channels == _CLASSES + _FEATURES:
        guess = {"label_nc": _CLASSES, "no_instance": True, "label_feat": True, "feat_num": _FEATURES}
    elif channels == _CLASSES:
        guess = {"label_nc": _CLASSES, "no_instance": True}
    else:
        guess = {"label_nc": channels - 1}
    words = " ".join(f"--{key} {value}" for key, value in guess.items())
    terms = ["label_nc (input_nc with label_nc 0)", "1 unless no_instance", *(["feat_num with features"] * features)]
    get_logger().info(f"{what}: {words} is a guess, as only the sum of {', '.join(terms)} is known")
    return guess
