"""Frames of videos: the frame before and its flow through every geometry, first frames, searched flow, bad input."""

import shutil

import numpy as np
import pytest

from src.dataset.geometry import MODES
from src.dataset.paired import PAIRED, PairedReader, PairedRequest
from src.dataset.unpaired import UNPAIRED, UnpairedReader, UnpairedRequest
from src.dataset.unpaired_files import images_of, rows_of
from src.imaging.flow import decode_flow, encode_flow, mirror_flow, resize_flow, warp, write_flow
from src.imaging.images import write_png
from src.utils.errors import UserError
from tests.dataset.samples import options_of

WIDTH, HEIGHT, SHIFT, FRAMES = 72, 48, (4.0, 2.0), 3
STILL = np.float32([0, 0, 1]).reshape(3, 1, 1)
MAPS = [*(("paired", mode) for mode in MODES["paired"]), *(("unpaired", mode) for mode in MODES["unpaired"])]


def frame(number):
    """A smooth pattern that the camera passes over; the flow back is :data:`SHIFT`."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    x, y = x + number * SHIFT[0], y + number * SHIFT[1]
    waves = [np.sin(x / 7), np.cos(y / 5), np.sin((x + 2 * y) / 11)]
    return np.rint(127.5 + 100 * np.stack(waves, 2)).astype(np.uint8)


@pytest.fixture(scope="module")
def drives(tmp_path_factory):
    """Two videos of three frames, as A (and B) and as paired data, with the flow of all that follow another."""
    root = tmp_path_factory.mktemp("drives") / "data"
    flow = np.broadcast_to(np.float32(SHIFT), (HEIGHT, WIDTH, 2))
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    known = (x + SHIFT[0] < WIDTH) & (y + SHIFT[1] < HEIGHT)
    for video in "xy":
        for number in range(FRAMES):
            name = f"{video}_{number}.png"
            for folder in ("trainA", "trainB", "train_A", "train_B", "train_img"):
                write_png(root / folder / name, frame(number))
            blocks = (np.arange(WIDTH) // 12 + number) % 5 + np.zeros((HEIGHT, 1), int)
            write_png(root / "train_label" / name, blocks.astype(np.uint8))
            write_png(root / "train_inst" / name, (7 * blocks + 1000 * number).astype(np.uint16))
            if number:
                write_flow(root / "train_flow" / name, flow, known)
    return root


@pytest.fixture
def root(drives, tmp_path):
    """A copy that may be changed."""
    return shutil.copytree(drives, tmp_path / "data")


def reader_of(root, kind, mode="none", **changes):
    sizes = {"load_size": 48, "fine_size": 24, "resize_or_crop": mode, "num_workers": 2} | changes
    if kind == "paired":
        request = PairedRequest(4, 0, instances=False, of_frame_before=("label",))
        return PairedReader(request, options_of("pix2pixHD", root, **sizes), "train", True)
    options = options_of("cyclegan", root, **sizes, v_flip=True)
    rows = rows_of(images_of(options, "A", "train"), "A")
    return UnpairedReader(UnpairedRequest(4, frames=True), options, "trainA", rows, True)


def apart(sample, column, flow):
    """Mean difference of values in [-1, 1] where flow is known."""
    there = warp(sample[column + "_before"].transpose(1, 2, 0), flow[:2].transpose(1, 2, 0)).transpose(2, 0, 1)
    x, y = flow[0] + np.arange(flow.shape[2]), flow[1] + np.arange(flow.shape[1])[:, None]
    seen = (flow[2] > 0) & (x >= 0) & (x <= flow.shape[2] - 1) & (y >= 0) & (y <= flow.shape[1] - 1)
    assert seen.mean() > 0.3
    return np.abs(there - sample[column])[:, seen].mean()


@pytest.mark.parametrize(("kind", "mode"), MAPS)
def test_flow_is_resized_cropped_and_mirrored_with_its_frame(drives, kind, mode):
    reader, column = reader_of(drives, kind, mode), {"paired": "label", "unpaired": "A"}[kind]
    arrays = reader.load(1)
    seen = set()
    for seed in range(12):
        sample = reader.sample(arrays, np.random.default_rng(seed))
        flow = sample["flow"]
        assert flow.dtype == np.float32 and flow.shape == (3, *sample[column].shape[1:])
        moves = np.sign(flow[:2, flow[2] > 0].mean(1))
        seen.add(tuple(moves))
        # bilinear and bicubic resizing blur the pattern a little
        assert apart(sample, column, flow) < 0.03 < 3 * apart(sample, column, flow * STILL)
    assert len(seen) == (2 if kind == "paired" else 4)


def test_the_first_frame_of_each_video_is_its_own_and_has_no_flow(drives):
    reader = reader_of(drives, "unpaired")
    for index, row in enumerate(reader.rows):
        sample = reader.sample(reader.load(index), None)
        before = row.files["A_before"].stem
        if row.files["A"].stem[-1] == "0":
            assert before == row.files["A"].stem and not sample["flow"].any()
            np.testing.assert_array_equal(sample["A"], sample["A_before"])
        else:
            assert before == f"{row.stem[0]}_{int(row.stem[-1]) - 1}" and sample["flow"][2].mean() > 0.8


def test_all_columns_of_a_sample_come_from_the_records_for_both_frames(root):
    columns = ("label", "inst", "image")
    request = PairedRequest(4, 35, of_frame_before=columns)
    options = options_of("pix2pixHD", root, resize_or_crop="none", num_workers=2, serial_batches=True, no_flip=True)
    data = PAIRED.open(request, options, "train")
    batches = [batch for _, batches in data.epochs(1) for batch in batches]
    shapes = PAIRED.example(request, 1, data.size, True)
    assert {name: (a.shape, a.dtype) for name, a in batches[0].items()} == {
        name: (a.shape, a.dtype) for name, a in shapes.items()
    }
    for earlier, later in zip(batches, batches[1:], strict=False):
        if later["flow"].any():
            for name in columns:
                np.testing.assert_array_equal(later[f"{name}_before"], earlier[name])
    assert [bool(batch["flow"].any()) for batch in batches] == [False, True, True] * 2


@pytest.mark.parametrize("kind", ["paired", "unpaired"])
def test_flow_is_searched_for_where_there_is_no_folder_of_it(root, kind):
    (root / "train_flow").rename(root / "elsewhere")
    reader = reader_of(root, kind)
    flow, known = decode_flow(reader.load(1)["flow"])
    inner = known[8:-8, 8:-8]
    assert inner.mean() > 0.5
    np.testing.assert_allclose(flow[8:-8, 8:-8][inner].mean(0), SHIFT, atol=0.5)
    assert not decode_flow(reader.load(0)["flow"])[1].any()


@pytest.mark.parametrize("kind", ["paired", "unpaired"])
def test_frames_and_flow_that_do_not_fit_are_refused_in_one_line(root, kind):
    folder = root / {"paired": "train_A", "unpaired": "trainA"}[kind]
    write_flow(root / "train_flow" / "x_1.png", np.zeros((24, 36, 2)), np.ones((24, 36), bool))
    with pytest.raises(UserError, match=r"flow \S+train_flow/x_1.png is 36x24 and its frame \S+x_1.png 72x48") as said:
        reader_of(root, kind).load(1)
    assert "\n" not in str(said.value)
    write_png(folder / "y_1.png", frame(1)[:, :64])
    with pytest.raises(UserError, match=r"frame \S+y_2.png is 72x48 and \S+y_1.png before it 64x48") as said:
        reader_of(root, kind).load(5)
    assert "\n" not in str(said.value)


def test_videos_without_all_their_flow_or_without_frames_are_refused_before_records_are_built(root):
    (root / "train_flow" / "y_2.png").unlink()
    frames = UnpairedRequest(4, frames=True)
    for kind, model, request in (
        (UNPAIRED, "cyclegan", frames),
        (PAIRED, "pix2pixHD", PairedRequest(4, 5, instances=False, of_frame_before=("label",))),
    ):
        with pytest.raises(UserError, match=r"train_flow lacks the optical flow of 1 of 4 frames .*first: y_2.png"):
            kind.count(request, options_of(model, root), "train")
    assert UNPAIRED.count(UnpairedRequest(4), options_of("cyclegan", root), "train") == 6
    for path in (root / "trainA").iterdir():
        if path.stem != "x_0":
            path.unlink()
    with pytest.raises(UserError, match=r"none of 1 image \(x_0.png\) in \S+trainA follows another"):
        UNPAIRED.count(frames, options_of("cyclegan", root), "train")


def test_the_flow_of_images_from_elsewhere_is_named(root):
    """Files of the data set's own flow may have the same names."""
    asked = {"source_root": root / "train_B", "resize_or_crop": "none"}
    for given, of_file in (({}, False), ({"flow_root": f"{root}/{{phase}}_flow"}, True)):
        options = options_of("cyclegan", root, **asked, **given)
        rows = rows_of(images_of(options, "A", "train"), "A")
        files = UnpairedReader(UnpairedRequest(4, frames=True), options, "trainA", rows, True).rows[1].files
        assert ("flow" in files) == of_file
    with pytest.raises(UserError, match="flow_root elsewhere does not exist"):
        UNPAIRED.count(UnpairedRequest(4, frames=True), options_of("cyclegan", root, flow_root="elsewhere"), "train")


def test_encoded_flow_keeps_quarters_and_its_far_ends_are_unknown():
    flow = np.array([[[0.25, -1.5], [600.0, 0.0]], [[-512.0, 3.0], [np.nan, 1.0]]], np.float32)
    known = np.array([[True, True], [True, False]])
    encoded = encode_flow(flow, known)
    back, still = decode_flow(encoded)
    np.testing.assert_array_equal(still, [[True, False], [True, False]])
    np.testing.assert_array_equal(back[still], flow[still])
    # 512 to the right cannot be written
    turned, still = decode_flow(mirror_flow(encoded, True, False))
    np.testing.assert_array_equal(still, [[False, True], [False, False]])
    np.testing.assert_array_equal(turned[0, 1], [-0.25, -1.5])
    wide, still = decode_flow(resize_flow(encoded, (4, 2)))
    np.testing.assert_array_equal(wide[0, :2], [[0.5, -1.5]] * 2)
    np.testing.assert_array_equal(still[0], [True, True, False, False])
