"""Warping error: how much consecutive frames of a translated video differ where the same thing is seen.

Lai et al. 2018, "Learning Blind Video Temporal Consistency", section 4.1: the mean squared difference between a frame
and the frame before it, moved along the optical flow of the original video, over the pixels whose flow is known.
"""

__all__ = ["WarpErrors", "check_frames", "squared_error"]

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..imaging.flow import search_flow, warp
from ..imaging.video import in_order
from ..utils.errors import UserError
from ..utils.text import counted

Flow = tuple[np.ndarray, np.ndarray]


def check_frames(frames: Sequence[str], has_flow: Callable[[int], bool] | None, flows: object = "") -> None:
    """Refuse frames that make no video, and frames without flow where files in ``flows`` should have it.

    Args:
        frames: names of frames.
        has_flow: whether the frame at a position has a file; None where flow is searched for.
        flows: the folder of these files.

    Raises:
        UserError: see above.
    """
    followers = [position for position, follows in in_order(frames) if follows]
    if not followers:
        shown = ", ".join(Path(name).name for name in frames[:3])
        raise UserError(
            f"warp_error compares consecutive frames, and none of {counted(len(frames), 'image')} ({shown}) follows "
            "another: name frames with their video and number (drive_0001, drive_0002), or pass a video with --input"
        )
    lacking = [frames[position] for position in followers if has_flow and not has_flow(position)]
    if lacking:
        raise UserError(
            f"{flows} lacks the flow of {len(lacking)} of {counted(len(followers), 'frame')} that follow another "
            f"(first: {Path(lacking[0]).name}.png): add it, choose the translated side with --direction, or pass "
            "--flow with another folder"
        )


def squared_error(earlier: np.ndarray, later: np.ndarray, flow: np.ndarray, known: np.ndarray) -> float:
    """Mean over known pixels and channels of the squared difference, of frames (H, W, C), uint8, as values 0 to 1."""
    before, after = (frame.astype(np.float32) / np.float32(255.0) for frame in (earlier, later))
    squares = ((after - warp(before, flow)) ** 2).mean(2, dtype=np.float64)
    return float(squares[known].mean()) if known.any() else 0.0


class WarpErrors:
    """Errors of frames that come one by one in the order of :func:`src.imaging.video.in_order`.

    Args:
        flow_from: which images optical flow is searched in, where it comes from no file.
        given: where files of optical flow come from; empty searches.
    """

    def __init__(self, flow_from: str, given: str = ""):
        self._flow_from = flow_from
        self._last: Mapping[str, np.ndarray] = {}
        self._last_name = ""
        self._known: list[float] = []
        #: error of each frame by kind of image and stem
        self.errors: dict[str, dict[str, float]] = defaultdict(dict)
        self._source = f"files of {given}" if given else f"OpenCV's DIS (medium) on the {flow_from} images"

    def add(self, stem: str, follows: bool, frames: Mapping[str, np.ndarray], flow: Flow | None) -> None:
        """Add a frame: its images ``fake`` and perhaps ``source`` or ``real``, and the flow from a file.

        Raises:
            UserError: frames of two sizes, or a flow of another size than its frame.
        """
        last, before = self._last, self._last_name
        self._last, self._last_name = frames, stem
        if not follows:
            return
        size, size_before = (_size(images["fake"]) for images in (frames, last))
        if size != size_before:
            raise UserError(
                f"frame {stem} is {size} and {before} before it {size_before}: frames of one video have one size; pass "
                "--metrics_size to measure all at one"
            )
        if flow is None:
            flow = search_flow(last[self._flow_from], frames[self._flow_from])
        elif _size(flow[0]) != size:
            height, width = flow[1].shape
            raise UserError(
                f"the optical flow of frame {stem} is {_size(flow[0])} and the frame {size}: measure frames at the "
                f'size of their flow with --metrics_size "[{height}, {width}]", or pass --flow with another folder'
            )
        self._known.append(float(flow[1].mean()))
        for name in dict.fromkeys(("fake", self._flow_from)):
            if name in frames:
                self.errors[name][stem] = squared_error(last[name], frames[name], *flow)

    @property
    def protocol(self) -> dict[str, object]:
        return {
            "variant": "Lai et al. 2018, mean squared difference of values from 0 to 1",
            "flow": self._source,
            "known": f"{100 * np.mean(self._known):.1f} % of pixels",
        }

    @property
    def warnings(self) -> list[str]:
        share = 100 * float(np.mean(self._known))
        return [f"flow is known for {share:.1f} % of pixels only: are these consecutive frames?"] if share < 50 else []


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
