"""Names of published hflow parameters."""

__all__ = ["published_arrays"]

import numpy as np

# fixed filters and masks, which are constants here
_CONSTANTS = ("interp_K", "interp_K_down", "mask_in", "mask_out", "_mask_for_style", "_mask_for_base")


def published_arrays(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A published state dict under our names: ``_U`` is ``U``, constants are left out, the rest is equal."""
    renamed = {}
    for name, value in arrays.items():
        prefix, _, last = name.rpartition(".")
        if last in _CONSTANTS:
            continue
        renamed[f"{prefix}.U" if last == "_U" else name] = value
    return renamed
