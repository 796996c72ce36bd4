"""What published weights of conditional flows say about the network they belong to."""

__all__ = ["cglow_options", "fullglow_options"]

import re
from collections import Counter

import numpy as np

Arrays = dict[str, np.ndarray]


def fullglow_options(arrays: Arrays) -> dict[str, object]:
    """Options of a Full-Glow with these weights, empty if they are of something else.

    The picture size is not among them: the dense layers tell its area, not its sides.
    """
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


def cglow_options(arrays: Arrays) -> dict[str, object]:
    """Options of a C-Glow with these weights, its picture size included; empty if they are of something else."""
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


def _list(values) -> str:
    """A list as a command line takes it without quotes."""
    return f"[{','.join(map(str, values))}]"
