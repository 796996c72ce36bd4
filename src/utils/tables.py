"""Tables of numbers in .npy files, read without pickle."""

__all__ = ["load_table"]

from pathlib import Path

import numpy as np

from .errors import UserError


def load_table(path: Path, way_out: str) -> np.ndarray:
    """Read a 2-D float array; refuses pickles.

    Raises:
        UserError: missing, not such an array, or not finite.
    """
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist: {way_out}")
    try:
        rows = np.load(path, allow_pickle=False)
    except Exception:  # NumPy parses the header as Python, which raises nearly anything on malformed input
        raise UserError(
            f"{path} is not a plain array (it is damaged, or an older tool pickled it): {way_out}"
        ) from None
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype.kind != "f":
        raise UserError(f"{path} is not a table of features: {way_out}")
    if not np.isfinite(rows).all():
        raise UserError(f"{path} holds NaN or infinite features: {way_out}")
    return rows
