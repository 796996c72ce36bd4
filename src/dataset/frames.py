"""Frames of videos: the frame before each one, and the optical flow back to it, for losses that compare the two."""

__all__ = ["BEFORE", "FLOW", "flow_of", "flow_to_planes", "is_first", "same_size", "with_earlier"]

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..imaging.flow import decode_flow, encode_flow, read_flow, search_flow
from ..imaging.images import notice_once, to_rgb
from ..imaging.video import in_order
from ..utils.errors import UserError
from ..utils.text import counted
from .folders import Row, find_partners, list_images, stem_of

#: a column's name with this is that of the frame before
BEFORE = "_before"
#: the column of optical flow
FLOW = "flow"


def with_earlier(rows: Sequence[Row], column: str, wanted: Sequence[str], folder: Path | None) -> list[Row]:
    """Rows with the files of the frame before: the ``wanted`` columns again, and the flow where it is in a file.

    Frames follow each other by the last number in the names of their files, see
    :func:`src.imaging.video.in_order`. A frame that follows none is its own frame before, and has no file of flow.

    Args:
        rows: the samples.
        column: the column that is the video.
        wanted: columns that are needed of the frame before.
        folder: files of optical flow, named like the files of ``column``; where it is None or missing, flow is searched
            for.

    Raises:
        UserError: no frame follows another, or some that do have no flow although there is a folder of it.
    """
    # a list may name a file twice
    frames = {row.files[column]: row for row in rows}
    files = list(frames)
    before, last = {}, 0
    for position, follows in in_order([str(path.with_name(stem_of(path))) for path in files]):
        if follows:
            before[files[position]] = files[last]
        last = position
    if not before:
        shown = ", ".join(path.name for path in files[:3])
        raise UserError(
            f"a temporal loss compares consecutive frames, and none of {counted(len(files), 'image')} ({shown}) in "
            f"{files[0].parent} follows another: name frames with their video and number (drive_0001, drive_0002), or "
            "train without this loss"
        )
    flows = _flows(list(before), files[0].parent, folder)
    return [_with_earlier(row, column, wanted, frames[before.get(row.files[column], row.files[column])], flows)
            for row in rows]  # fmt: skip


def _with_earlier(row: Row, column: str, wanted: Sequence[str], earlier: Row, flows: Mapping[Path, Path]) -> Row:
    files = row.files | {name + BEFORE: earlier.files[name] for name in wanted}
    path = row.files[column]
    return replace(row, files=files | ({FLOW: flows[path]} if path in flows else {}))


def _flows(followers: list[Path], parent: Path, folder: Path | None) -> dict[Path, Path]:
    """The file of flow of each frame that follows another; none where there is no folder of them."""
    if folder is None or not folder.is_dir():
        lacking = f"there is no folder {folder}" if folder else f"no folder of optical flow belongs to {parent}"
        notice_once(f"flow {folder or parent}", f"{lacking}: it is searched for in the images")
        return {}
    flows = find_partners(followers, parent, list_images(folder), folder)
    without = [path for path in followers if path not in flows]
    if without:
        raise UserError(
            f"{folder} lacks the optical flow of {len(without)} of {counted(len(followers), 'frame')} that follow "
            f"another (first: {without[0].stem}.png): add it, or move the folder away, and flow is searched for"
        )
    return flows


def is_first(files: Mapping[str, Path], column: str) -> bool:
    """Whether a row of :func:`with_earlier` is a frame that follows none."""
    return files[column] == files[column + BEFORE]


def same_size(frame: np.ndarray, path: Path, earlier: np.ndarray, earlier_path: Path) -> None:
    """Raise ``UserError`` unless a frame and the one before it have one height and width."""
    if frame.shape[:2] != earlier.shape[:2]:
        raise UserError(
            f"frame {path} is {_size(frame)} and {earlier_path} before it {_size(earlier)}: frames of one video have "
            "one size; resize them, or name them as different videos"
        )


def flow_of(files: Mapping[str, Path], column: str, frame: np.ndarray, images: Sequence[np.ndarray]) -> np.ndarray:
    """The optical flow of a row, uint16 (H, W, 3) as :func:`src.imaging.flow.encode_flow` makes it.

    Args:
        files: those of a row of :func:`with_earlier`.
        column: the column that is the video.
        frame: its frame, as it is in the file.
        images: a frame before and a frame, uint8 (H, W) or (H, W, C), to search in where there is no file.

    Raises:
        UserError: a file that cannot be read or has another size than its frame, or images too small to search in.
    """
    if FLOW in files:
        flow, known = read_flow(files[FLOW])
        if known.shape != frame.shape[:2]:
            raise UserError(
                f"the optical flow {files[FLOW]} is {_size(known)} and its frame {files[column]} {_size(frame)}: flow "
                "has the size of its frame"
            )
    elif is_first(files, column):
        flow, known = np.zeros((*frame.shape[:2], 2), np.float32), np.zeros(frame.shape[:2], bool)
    else:
        flow, known = search_flow(*(np.ascontiguousarray(to_rgb(image)) for image in images))
    return encode_flow(flow, known)


def flow_to_planes(encoded: np.ndarray) -> np.ndarray:
    """Encoded flow as float32 (3, H, W): pixels right, pixels down, and 1 where both are known; 0 elsewhere."""
    flow, known = decode_flow(encoded)
    return np.concatenate([flow.transpose(2, 0, 1) * known, known[None]]).astype(np.float32)


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
