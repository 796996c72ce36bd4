"""Published CycleGAN weights: huggan's ``pytorch_model.bin`` and junyanz's ``latest_net_G_A.pth``."""

__all__ = ["published_arrays", "published_options"]

import re

import numpy as np

from src.utils.errors import UserError

# what data-parallel wrappers put in front, and what instance norms of PyTorch before 0.4 left behind
_WRAPPERS = ("module.",)
_NORM_STATE = ("running_mean", "running_var", "num_batches_tracked")


def published_arrays(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays under our names, which are those of the two families themselves."""
    result = {}
    for name, value in arrays.items():
        for wrapper in _WRAPPERS:
            name = name.removeprefix(wrapper)
        if name.rpartition(".")[2] not in _NORM_STATE:
            result[name] = value
    return result


def published_options(arrays: dict[str, np.ndarray]) -> dict[str, object]:
    """``upsampling``, ``n_residual_blocks``, ``ngf`` and ``input_nc`` of a published generator.

    Raises:
        UserError: the arrays are no generator of the two families.
    """
    arrays = published_arrays(arrays)
    blocks = {int(m[1]) for name in arrays if (m := re.match(r"model\.(\d+)\.(?:conv_)?block\.", name))}
    first = arrays.get("model.1.weight")
    if not blocks or first is None or first.ndim != 4:
        raise UserError(
            "these weights are no CycleGAN generator with residual blocks: expected names such as "
            f"model.1.weight and model.10.block.1.weight, found {', '.join(sorted(arrays)[:5]) or 'nothing'}"
        )
    transposed = any(".conv_block." in name for name in arrays)
    return {
        "upsampling": "transposed" if transposed else "nearest",
        "n_residual_blocks": len(blocks),
        "ngf": int(first.shape[0]),
        "input_nc": int(first.shape[1]),
    }
