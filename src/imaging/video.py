"""Videos as folders of frames, and back, and which frames follow each other."""

__all__ = ["VIDEO_EXTENSIONS", "Video", "in_order", "write_video"]

import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2

from ..utils.errors import UserError
from ..utils.files import explained, temporary_name
from .images import picture_info, read_image, write_png
from .names import file_name

VIDEO_EXTENSIONS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")
# a number that ends a word, as in aachen_000000_000019_leftImg8bit, else any
_NUMBERED = re.compile(r"(.*)(?<!\d)(\d+)(?![^\W_])([^/]*)", re.DOTALL), re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)


class Video:
    """The frames of a video file as images in a temporary folder, which lives as long as this object.

    Attributes:
        path: the video.
        rate: frames per second.
        size: width and height in pixels.
        frames: the images in order, ``{stem}_000001.png`` and so on.

    Raises:
        UserError: the file cannot be decoded, or holds no frame.
    """

    def __init__(self, path: Path):
        self.path = path
        self._folder = tempfile.TemporaryDirectory(prefix="mindi2i_frames_")
        # OpenCV takes no names that are not UTF-8, and reads some names as patterns of many files
        link = Path(self._folder.name, f"video{path.suffix}")
        try:
            link.symlink_to(path.resolve())
        except OSError:  # a file system without links
            link = path
        capture = cv2.VideoCapture(str(link))
        try:
            self.rate = float(capture.get(cv2.CAP_PROP_FPS)) or 25.0
            self.frames: list[Path] = []
            stem = file_name(path.stem)
            while True:
                readable, frame = capture.read()
                if not readable:
                    break
                file = Path(self._folder.name, f"{stem}_{len(self.frames) + 1:06d}.png")
                write_png(file, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
                self.frames.append(file)
        finally:
            capture.release()
        if not self.frames:
            raise UserError(
                f"{path} cannot be decoded as a video: convert it to MP4 (H.264), or pass a folder with its frames"
            )
        self.size = picture_info(self.frames[0])[:2]


def write_video(path: Path, frames: Sequence[Path], rate: float, size: tuple[int, int] | None = None) -> Path:
    """Write images of one size as an MP4 video of ``rate`` frames per second; odd sides lose a row or column.

    Images of another size than ``size`` = (width, height) are resized to it. Browsers play the video, unless this
    OpenCV has neither of their codecs.

    Raises:
        UserError: this OpenCV cannot encode videos, or the file cannot be written.
    """
    size = size or read_image(frames[0]).shape[1::-1]
    width, height = (side // 2 * 2 for side in size)
    # under another name first, so that it is complete or absent, and nothing that a link leads to is written over
    temporary = temporary_name(path)
    temporary = temporary.with_name(f"{temporary.name}{path.suffix}")
    try:
        # VP9 and H.264 are what browsers play, and not every OpenCV has them
        for codec in ("vp09", "avc1", "mp4v"):
            writer = cv2.VideoWriter(str(temporary), cv2.VideoWriter.fourcc(*codec), rate, (width, height))
            if writer.isOpened():
                break
        else:
            raise UserError(f"{path} cannot be written as a video: its frames are in {frames[0].parent}")
        for frame in frames:
            image = read_image(frame)
            if image.shape[1::-1] != size:
                image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
            writer.write(cv2.cvtColor(image[:height, :width], cv2.COLOR_RGB2BGR))
        writer.release()
        with explained(path, "write"):
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def in_order(frames: Sequence[str]) -> list[tuple[int, bool]]:
    """The positions of frames by video and time, each with whether it follows the one before it.

    The last number in a name counts the frames of a video, and what is around it names the video; a number inside a
    word (``Img8bit``) counts only where the file's name has no other. A frame follows another at the video's smallest
    distance of two numbers, so that a gap ends a sequence.
    """
    videos: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for position, name in enumerate(frames):
        found = next(filter(None, (pattern.fullmatch(name) for pattern in _NUMBERED)), None)
        around, number = ((found[1], found[3]), int(found[2])) if found else ((name, ""), 0)
        videos[around].append((number, position))
    order = []
    for video in videos.values():
        video.sort()
        steps = [after - before for (before, _), (after, _) in zip(video, video[1:], strict=False)]
        order.append((video[0][1], False))
        for (_, position), step in zip(video[1:], steps, strict=True):
            order.append((position, step == min(steps) > 0))
    return order
