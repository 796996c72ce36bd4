"""The sound of a video goes along with its translation."""

import sys

import av
import numpy as np
import pytest

from src.imaging.images import write_png
from src.imaging.sound import add_sound
from src.imaging.video import Video, write_video

RATE, FRAMES = 10.0, 8


@pytest.fixture
def silent(tmp_path):
    frames = [tmp_path / f"{i}.png" for i in range(FRAMES)]
    for i, frame in enumerate(frames):
        write_png(frame, np.full((32, 48, 3), 30 * i, np.uint8))
    return write_video(tmp_path / "fake.mp4", frames, RATE)


def with_sound(path, codec, seconds=2):
    """A video file of a tone alone."""
    rate, rng = 44100, np.random.default_rng(0)
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=rate, layout="stereo")
        samples = rng.integers(-9000, 9000, (1, 2 * rate * seconds), np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        frame.sample_rate, frame.pts = rate, 0
        for packet in (*stream.encode(frame), *stream.encode(None)):
            file.mux(packet)
    return path


def packets(path):
    with av.open(str(path)) as file:
        return [bytes(packet) for packet in file.demux(file.streams.audio[0]) if packet.size]


def pixels(path):
    video = Video(path)
    return [frame.read_bytes() for frame in video.frames]


def test_it_is_copied_as_far_as_the_images_last(tmp_path, silent):
    source, before = with_sound(tmp_path / "drive.mp4", "aac"), pixels(silent)
    assert add_sound(silent, source) == "with the sound of drive.mp4"
    assert pixels(silent) == before and Video(silent).rate == pytest.approx(RATE)
    ours, theirs = packets(silent), packets(source)
    assert ours == theirs[: len(ours)]
    # packets of 1,024 samples
    assert len(ours) * 1024 / 44100 == pytest.approx(FRAMES / RATE, abs=0.05)
    assert not list(tmp_path.glob("*.part*")) and len(list(tmp_path.glob("*.mp4"))) == 2


def test_without_a_sound_track_nothing_changes(tmp_path, silent):
    other = tmp_path / "drive.mp4"
    other.write_bytes(silent.read_bytes())
    before = silent.read_bytes()
    assert add_sound(silent, other) == "without sound, like drive.mp4" and silent.read_bytes() == before


def test_sound_that_mp4_cannot_hold_is_left_out(tmp_path, silent):
    before = silent.read_bytes()
    said = add_sound(silent, with_sound(tmp_path / "drive.avi", "pcm_u8"))
    assert said.startswith("without sound: that of drive.avi does not go into MP4") and silent.read_bytes() == before
    assert len(list(tmp_path.glob("*.mp4"))) == 1


def test_without_pyav_it_says_so(monkeypatch, silent):
    monkeypatch.setitem(sys.modules, "av", None)
    assert add_sound(silent, silent) == "without sound: pip install av takes it along"
