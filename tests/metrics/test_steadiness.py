"""Warping error: closed forms, flicker in order, folders with and without files of flow, and what is refused."""

import json

import cv2
import numpy as np
import pytest

from eval import main as evaluate
from src.imaging.flow import write_flow
from src.imaging.video import in_order
from src.metrics.steadiness import squared_error
from src.utils.errors import UserError
from tests.metrics.stand_ins import write_pictures

COUNT, SHIFT = 5, (2, 1)


def test_frames_are_ordered_by_their_numbers():
    names = ["b/x_2", "a/x_10", "a/x_9", "b/x_1", "a/x_11", "alone", "a/x_20", "a/y_3_fake"]
    order = [(names[i], follows) for i, follows in in_order(names)]
    assert order[:2] == [("b/x_1", False), ("b/x_2", True)]
    assert order[2:6] == [("a/x_9", False), ("a/x_10", True), ("a/x_11", True), ("a/x_20", False)]
    assert order[6:] == [("alone", False), ("a/y_3_fake", False)]
    cityscapes = [f"ulm_000000_0000{number}_leftImg8bit_synthesized" for number in (20, 19)] + ["drive_2/frame7left"]
    assert in_order(cityscapes) == [(1, False), (0, True), (2, False)]
    assert in_order(["drive_2/frame8left", "drive_2/frame7left"]) == [(1, False), (0, True)]
    # every fifth frame, and two files of one number
    assert [follows for _, follows in in_order(["x5", "x10", "x15"])] == [False, True, True]
    assert [follows for _, follows in in_order(["x5", "x05"])] == [False, False]


def test_the_error_is_the_mean_square_over_known_pixels():
    earlier, later = np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3, 3), np.uint8)
    later[0, 0], later[1, 2] = 51, (255, 0, 0)
    still, known = np.zeros((2, 3, 2), np.float32), np.ones((2, 3), bool)
    assert squared_error(earlier, later, still, known) == pytest.approx((0.2**2 + 1 / 3) / 6)
    known[1, 2] = False
    assert squared_error(earlier, later, still, known) == pytest.approx(0.2**2 / 5)
    assert squared_error(earlier, later, still, known & False) == 0.0


@pytest.fixture
def video(tmp_path):
    """A camera that passes over a picture by a known shift, its flow, and the same with three levels of flicker."""
    coarse = np.random.default_rng(0).integers(0, 256, (12, 16, 3)).astype(np.uint8)
    scene = cv2.resize(coarse, (128, 96), interpolation=cv2.INTER_CUBIC)
    frames = [scene[SHIFT[1] * t :, SHIFT[0] * t :][:64, :96] for t in range(COUNT)]
    flow = np.broadcast_to(np.float32(SHIFT), (64, 96, 2))
    y, x = np.mgrid[:64, :96]
    known = (x + SHIFT[0] < 96) & (y + SHIFT[1] < 64)
    write_pictures(tmp_path / "steady", {f"drive_{t}": frame for t, frame in enumerate(frames)})
    rng = np.random.default_rng(1)
    for level, strength in enumerate((2, 6, 18)):
        flickering = {
            f"drive_{t}_fake": np.clip(frame + rng.normal(0, strength, 3), 0, 255).astype(np.uint8)
            for t, frame in enumerate(frames)
        }
        write_pictures(tmp_path / f"flicker{level}", flickering)
    for t in range(1, COUNT):
        write_flow(tmp_path / "flow" / f"drive_{t}.png", flow, known)
    return tmp_path


def measure(fake, name="m", **options):
    words = [f"--{key}={value}" for key, value in options.items()]
    common = [f"--fake={fake}", f"--name={name}", "--device_target=CPU", "--mode=pynative"]
    assert evaluate(["--metrics=warp_error", *common, *words]) == 0
    with open(f"results/predict/{name}/metrics.json") as file:
        return json.load(file)["measurements"]


@pytest.mark.parametrize("by", ["flow", "source"])
def test_flicker_is_ordered_and_steady_frames_have_none(video, by):
    options = {"flow": "flow"} if by == "flow" else {"source": "steady"}
    found = [measure(f"flicker{level}", f"{by}{level}", **options) for level in range(3)]
    errors = [measured[0]["value"] for measured in found]
    floor = measure("steady", by, **options)[0]["value"]
    assert floor < 1e-8 if by == "flow" else floor < 2e-4
    assert 3 * floor < errors[0] and 3 * errors[0] < errors[1] and 3 * errors[1] < errors[2]
    entry = found[2][0]
    assert entry["count"] == COUNT - 1 and entry["group"] == "steadiness of a video"
    assert list(entry["pictures"]) == [f"drive_{t}_fake" for t in range(1, COUNT)]
    assert np.mean(list(entry["pictures"].values())) == pytest.approx(entry["value"])
    if by == "flow":
        assert entry["protocol"]["flow"] == "files of flow" and entry["protocol"]["known"] == "96.4 % of pixels"
    else:
        assert [m["output"] for m in found[2]] == ["flicker2", "source images (floor)"]
        assert found[2][1]["value"] == pytest.approx(floor, rel=0.05)


def test_what_is_refused(video):
    def refused(message, fake="flicker0", **options):
        with pytest.raises(UserError, match=message) as error:
            measure(fake, **options)
        assert "\n" not in str(error.value)

    refused("needs the frames that those of flicker0 were made from, .* --flow FOLDER")
    write_flow(video / "flow" / "drive_3.png", np.zeros((32, 96, 2)), np.ones((32, 96), bool))
    refused(r'flow of frame drive_3_fake is 96x32 and the frame 96x64: .*--metrics_size "\[32, 96\]"', flow="flow")
    (video / "flow" / "drive_3.png").unlink()
    refused(r"flow lacks the flow of 1 of 4 frames that follow another \(first: drive_3_fake.png\)", flow="flow")
    write_pictures(video / "flicker0", {"drive_2_fake": np.zeros((40, 96, 3), np.uint8)})
    refused("frame drive_2_fake is 96x40 and drive_1_fake before it 96x64.*--metrics_size", source="steady")
    write_pictures(video / "two", {"a": np.zeros((32, 32, 3), np.uint8), "b_7": np.zeros((32, 32, 3), np.uint8)})
    refused(r"none of 2 images \(a, b_7\) follows another", fake="two", source="two")
