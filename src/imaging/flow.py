"""Optical flow from a frame back to the one before it: files, a matching search, and warping.

A flow (H, W, 2) in pixels belongs to the later frame: what is at (x, y) there was at (x, y) + flow[y, x] in the earlier
one. Files are the 16-bit PNGs of KITTI (Geiger et al. 2012): x, y in 1/64 pixel above -512, and whether it is known.
"""

__all__ = [
    "decode_flow", "encode_flow", "known_matches", "mirror_flow", "read_flow", "resize_flow", "search_flow", "warp",
    "write_flow",
]  # fmt: skip

from pathlib import Path

import cv2
import numpy as np

from ..utils.errors import UserError
from .images import decode_png, verify_picture, write_png

_ZERO, _STEPS = 1 << 15, 64
# smaller sides crash OpenCV's search
_SMALLEST = 16


def write_flow(path: str | Path, flow: np.ndarray, known: np.ndarray) -> None:
    """Write a flow (H, W, 2), rounded to 1/64 pixel, and where it is ``known`` (H, W); far ends are marked unknown.

    Raises:
        UserError: the file cannot be written.
    """
    write_png(path, encode_flow(flow, known))


def encode_flow(flow: np.ndarray, known: np.ndarray) -> np.ndarray:
    """A flow (H, W, 2) and where it is known, (H, W), as the uint16 (H, W, 3) of its file."""
    steps = np.rint(np.nan_to_num(flow) * _STEPS) + _ZERO
    known = known & ((steps >= 0) & (steps < 1 << 16)).all(2)
    return np.dstack([steps * known[:, :, None], known]).astype(np.uint16)


def decode_flow(encoded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Invert :func:`encode_flow`: flow (H, W, 2) float32, without a meaning where it is not known, and known, bool."""
    return (encoded[:, :, :2].astype(np.float32) - _ZERO) / _STEPS, encoded[:, :, 2] > 0


def read_flow(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """A flow (H, W, 2) float32, and where it is known, (H, W) bool.

    Raises:
        UserError: the file cannot be read, or is no such PNG.
    """
    path = Path(path)
    format_ = verify_picture(path).format
    array = decode_png(path.read_bytes()) if format_ == "PNG" else np.zeros(0, np.uint8)
    if array.dtype != np.uint16 or array.ndim != 3 or array.shape[2] != 3:
        raise UserError(f"{path} holds no optical flow: expected a PNG of three channels with 16 bits, as KITTI's")
    return decode_flow(array)


def resize_flow(encoded: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Encoded flow of frames that are resized to ``size`` = (width, height): the nearest pixel's, in new pixels."""
    height, width = encoded.shape[:2]
    if (width, height) == size:
        return encoded
    columns = ((np.arange(size[0]) + 0.5) * (width / size[0])).astype(int)
    rows = ((np.arange(size[1]) + 0.5) * (height / size[1])).astype(int)
    flow, known = decode_flow(encoded[rows[:, None], columns])
    return encode_flow(flow * np.array([size[0] / width, size[1] / height], np.float32), known)


def mirror_flow(encoded: np.ndarray, flip: bool, v_flip: bool) -> np.ndarray:
    """Encoded flow of frames that are mirrored left to right, upside down, or both."""
    flow, known = decode_flow(encoded[:: -1 if v_flip else 1, :: -1 if flip else 1])
    return encode_flow(flow * np.array([-1 if flip else 1, -1 if v_flip else 1], np.float32), known)


def warp(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The earlier frame (H, W) or (H, W, C), float32, moved to where the later one has it; bilinear, edges repeated."""
    height, width = flow.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), 2).astype(np.float32) + flow
    return cv2.remap(image, grid[:, :, 0], grid[:, :, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def search_flow(earlier: np.ndarray, later: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The flow of two frames (H, W, 3), uint8, by Dense Inverse Search (Kroeger et al. 2016), and where to trust it.

    Raises:
        UserError: a side below 16.
    """
    height, width = later.shape[:2]
    if min(height, width) < _SMALLEST:
        raise UserError(
            f"optical flow cannot be searched for in frames of {width}x{height}: their sides should be at least "
            f"{_SMALLEST}; or give files of flow"
        )
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (earlier, later)]
    empty = np.zeros((*grey[0].shape, 2), np.float32)
    flow, opposite = search.calc(grey[1], grey[0], empty.copy()), search.calc(grey[0], grey[1], empty)
    return flow, known_matches(flow, opposite)


def known_matches(flow: np.ndarray, opposite: np.ndarray) -> np.ndarray:
    """Where a flow is inside the frame, agrees with the ``opposite`` one, and has no edge (Ruder et al. 2016, 3.2)."""
    height, width = flow.shape[:2]
    back = warp(opposite, flow)
    squares = (flow**2).sum(2), (back**2).sum(2)
    agrees = ((flow + back) ** 2).sum(2) < 0.01 * sum(squares) + 0.5
    slopes = sum(np.gradient(flow[:, :, c], axis=axis) ** 2 for c in (0, 1) for axis in (0, 1))
    smooth = slopes < 0.01 * squares[0] + 0.002
    x, y = (flow[:, :, 0] + np.arange(width), flow[:, :, 1] + np.arange(height)[:, None])
    return agrees & smooth & (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
