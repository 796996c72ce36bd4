"""Videos become frames and frames become videos, whatever the names."""

import os
from pathlib import Path

import numpy as np
import pytest

from src.imaging.images import write_png
from src.imaging.video import Video, write_video
from src.utils.errors import UserError


@pytest.fixture
def clip(tmp_path):
    frames = [tmp_path / f"{i}.png" for i in range(3)]
    for i, frame in enumerate(frames):
        write_png(frame, np.full((32, 48, 3), 60 * i, np.uint8))
    return write_video(tmp_path / "clip.mp4", frames, 10.0)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        (b"drive.mp4", "drive_000001.png"),
        (b"my.clip.mp4", "my.clip_000001.png"),
        (b"100%d.mp4", "100%d_000001.png"),
        (b"stra\xdfe.mp4", "stra=DFe_000001.png"),
        (b"n" * 251 + b".mp4", "n" * 189 + "~"),
    ],
)
def test_frames_are_named_after_the_video(clip, name, first):
    path = clip.rename(Path(os.fsdecode(os.fsencode(clip.parent) + b"/" + name)))
    video = Video(path)
    assert len(video.frames) == 3 and video.rate == pytest.approx(10.0)
    assert video.frames[0].name.startswith(first) and video.frames[2].is_file()


def test_frames_without_an_even_side_make_no_video(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(UserError, match="clip.mp4 cannot be written"):
        write_video(tmp_path / "clip.mp4", [tmp_path / "a.png"], 10.0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_link_in_the_place_of_a_video_is_not_written_through(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((32, 48, 3), np.uint8))
    (tmp_path / "film").write_bytes(b"mine")
    (tmp_path / "clip.mp4").symlink_to(tmp_path / "film")
    write_video(tmp_path / "clip.mp4", [tmp_path / "a.png"], 10.0)
    assert (tmp_path / "film").read_bytes() == b"mine"
    assert len(Video(tmp_path / "clip.mp4").frames) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "clip.mp4", "film"}
