"""Published weights of conditional flows, and the options that they determine."""

__all__ = ["CGlowWeights", "FlowWeights", "FullGlowWeights"]

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from ...contracts.published import Arrays, PublishedWeights
from ...contracts.system import System
from ...utils.errors import UserError

#: constant parts of the published LU mixings, which are not state here
_CONSTANTS = ("l_eye", "l_mask", "u_mask")
#: the first dense layer behind an image without pooling: its inputs count pixels
_COUNTS_PIXELS = ("linear_net.linear_net.0.weight", "x_Linear.0.weight")


class FlowWeights(PublishedWeights):
    """Weights under published names, which this project uses unchanged."""

    def names(self, network: str, arrays: Arrays) -> Arrays:
        return {name: array for name, array in arrays.items() if name.rpartition(".")[2] not in _CONSTANTS}

    def options(self, network: str, arrays: Arrays) -> dict[str, object]:
        try:
            return self.describe(arrays)
        except (LookupError, ValueError):
            # some names of such a network with arrays of something else
            return {}

    def describe(self, arrays: Arrays) -> dict[str, object]:
        """Options of a network with these weights; empty, or a LookupError or ValueError, if there is none."""
        return {}

    def check(self, system: System, network: str, arrays: Arrays, source: str) -> None:
        own = {name: p.shape for name, p in system.networks[network].parameters_and_names()}
        for name, array in arrays.items():
            _check_fixed(name, array, source)
            if not name.endswith(_COUNTS_PIXELS) or name not in own or array.ndim != 2:
                continue
            if own[name][0] == array.shape[0] and own[name][1] != array.shape[1]:
                raise UserError(
                    f"{source} was trained at another image size: {name} reads {array.shape[1]} values there, and "
                    f"{own[name][1]} with --img_size {' '.join(map(str, system.config.img_size))}. These weights "
                    "belong to one size: pass the --img_size they were trained with"
                )


def _check_fixed(name: str, array: np.ndarray, source: str) -> None:
    """The log-determinant of an LU mixing leaves its fixed factors out: they must be what has a determinant of 1."""
    part = name.rpartition(".")[2]
    if part == "w_p":
        eye = np.eye(len(array), dtype=array.dtype) if array.ndim else array
        fits = array.shape == eye.shape and np.isin(array, (0, 1)).all() and np.array_equal(array @ array.T, eye)
    else:
        fits = part != "s_sign" or np.isin(array, (-1, 1)).all()
    if not fits:
        wanted = "a permutation" if part == "w_p" else "signs of 1 and -1"
        raise UserError(f"{source}: {name} is not {wanted}: the file is damaged, or of another network")


class FullGlowWeights(FlowWeights):
    """The image size is not among the options: the dense layers tell its area, not its sides."""

    def describe(self, arrays: Arrays) -> dict[str, object]:
        return _fullglow_options(arrays)


class CGlowWeights(FlowWeights):
    def describe(self, arrays: Arrays) -> dict[str, object]:
        return _cglow_options(arrays)


def _fullglow_options(arrays: Arrays) -> dict[str, object]:
    flows = Counter(
        int(match[1])
        for name in arrays
        if (match := re.match(r"left_glow\.blocks\.(\d+)\.flows\.\d+\.act_norm\.loc", name))
    )
    left, right = (f"{side}_glow.blocks.0.flows.0" for side in ("left", "right"))
    condition, coupling = f"{right}.act_norm.cond_net.conv_net.conv_net.0.weight", f"{right}.coupling.net.4.conv.weight"
    if not flows or condition not in arrays or coupling not in arrays:
        return {}
    channels = arrays[f"{left}.act_norm.loc"].shape[1]
    return {
        "n_block": len(flows),
        "n_flow": _list(flows[block] for block in sorted(flows)),
        "condition_nc": channels // 4,
        "image_nc": arrays[coupling].shape[0] // 4,
        "do_lu": f"{left}.inv_conv.w_p" in arrays,
        "use_bmaps": arrays[condition].shape[1] > channels,
        "coupling_filters": arrays[coupling].shape[1],
    }


def _cglow_options(arrays: Arrays) -> dict[str, object]:
    steps = sorted(
        int(match[1]) for name in arrays if (match := re.match(r"flow\.layers\.(\d+)\.affine\.f\.0\.weight", name))
    )
    if not steps or "new_mean" not in arrays:
        return {}
    # a split and a squeeze, each with a number, lie between two levels
    levels = [1]
    for before, after in zip(steps, steps[1:], strict=False):
        levels = [*levels, 1] if after > before + 1 else [*levels[:-1], levels[-1] + 1]
    first = f"flow.layers.{steps[0]}"
    _, top, height, width = arrays["new_mean"].shape
    factor = 2 ** len(levels)
    reads = arrays[f"{first}.actnorm.x_Con.0.weight"].shape
    return {
        "img_size": _list((height * factor, width * factor)),
        "n_block": len(levels),
        "n_flow": _list(levels),
        "condition_nc": reads[1],
        "image_nc": top // 2 ** (len(levels) + 1),
        "x_hidden_size": arrays[f"{first}.actnorm.x_Linear.0.weight"].shape[0],
        "x_hidden_channels": reads[0],
        "y_hidden_channels": arrays[f"{first}.affine.f.0.weight"].shape[0],
    }


def _list(values: Iterable[int]) -> str:
    """A list as a command line takes it without quotes."""
    return f"[{','.join(map(str, values))}]"
