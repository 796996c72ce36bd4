"""Systems whose generator has residual blocks between two halvings and two doublings: its sizes and its weights."""

__all__ = ["STRIDE", "generator_options", "smallest_side"]

import re

from ...contracts.published import Arrays
from ...utils.errors import UserError

#: what height and width must be divisible by
STRIDE = 4


def smallest_side(blocks: int) -> int:
    """Of an image, in pixels: residual blocks mirror a pixel at each border of maps of a quarter of the size."""
    return 2 * STRIDE if blocks else STRIDE


def generator_options(arrays: Arrays, what: str, example: str) -> tuple[dict[str, object], list[int]]:
    """``n_residual_blocks``, ``ngf`` and ``input_nc`` of published weights, and the places of the blocks in the model.

    Raises:
        UserError: the arrays are no such generator; the message says ``what`` was expected, with an ``example`` of the
            name of an array in a block.
    """
    found = (re.match(r"model\.(\d+)\.(?:conv_)?block\.", name) for name in arrays)
    blocks, first = sorted({int(match[1]) for match in found if match}), arrays.get("model.1.weight")
    if not blocks or first is None or first.ndim != 4:
        raise UserError(
            f"these weights are not a {what} generator with residual blocks: expected names such as model.1.weight and "
            f"{example}, found {', '.join(sorted(arrays)[:5]) or 'nothing'}"
        )
    return {"n_residual_blocks": len(blocks), "ngf": int(first.shape[0]), "input_nc": int(first.shape[1])}, blocks
