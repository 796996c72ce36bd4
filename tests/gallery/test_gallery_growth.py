"""Loss curves of long runs, and what a display of a long run costs."""

import json
import math
import time
import tracemalloc

import numpy as np
import pytest

from src.gallery.curves import LossCurves
from src.gallery.gallery import Gallery
from src.gallery.page import read_page
from src.runs.log import RunLog
from src.utils.errors import UserError
from tests.runs.long_logs import write_long_log


def test_long_curves_are_thinned_to_means_and_gaps_stay(tmp_path):
    log = RunLog(tmp_path, tensorboard=False)
    for step in range(1, 1025):
        values = {"ramp": float(step), "bad": math.nan if step <= 512 else 2.0}
        log.scalars(step, 1 + step // 512, step, values | ({"late": 1.0} if step > 1020 else {}))
        log.scalars(step, 1 + step // 512, step, {}, {"metric": 1.0})
    curves = LossCurves(tmp_path / "log.jsonl", most_points=100).update()
    assert curves["steps"] == list(range(16, 1025, 16)) and curves["epochs"][-1] == 3
    assert curves["series"]["ramp"] == [8.5 + 16 * i for i in range(64)]
    assert curves["series"]["bad"] == [None] * 32 + [2.0] * 32
    assert curves["series"]["late"] == [None] * 63 + [1.0]
    assert len(LossCurves(tmp_path / "log.jsonl").update()["steps"]) == 1024


def test_curves_that_follow_a_log_are_those_of_the_whole_log(tmp_path):
    path, follower = tmp_path / "log.jsonl", None
    for count in (1, 2, 50, 51, 700, 3000):
        done = follower.update()["steps"][-1] if follower else 0
        follower = follower or LossCurves(path, most_points=100)
        write_long_log(tmp_path, count, done + 1)
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])  # the last line is being written
        follower.update()
        path.write_bytes(whole)
        curves = follower.update()
        assert curves == LossCurves(path, most_points=100).update() and curves["steps"][-1] == count
    path.write_bytes(whole[: len(whole) // 2])
    assert follower.update() == LossCurves(path, most_points=100).update(), "the log was cut"
    path.write_bytes(b"")
    assert follower.update() is None
    path.unlink()
    with pytest.raises(UserError, match="cannot read .*log.jsonl"):
        follower.update()


def test_of_a_very_long_log_pieces_are_read_from_its_first_line_to_its_last(tmp_path):
    write_long_log(tmp_path, 40_000)
    curves = LossCurves(tmp_path / "log.jsonl").update()
    steps = curves["steps"]
    assert 256 <= len(steps) <= 1200 and steps[0] <= 64 and steps[-1] == 40_000
    assert max(np.diff([0, *steps])) < 400
    expected = 1 + np.array(steps) / 40_000
    assert abs(np.array(curves["series"]["G_GAN"]) - expected).max() < 0.01


def test_lines_that_are_no_records_do_no_harm(tmp_path):
    steps = [5, 3, 2**62, 2**62 + 1, 2**64, -1, 10**400]
    lines = [json.dumps({"step": s, "epoch": 1, "iteration": 1, "values": {"G": 1e308}}).encode() for s in steps]
    (tmp_path / "log.jsonl").write_bytes(b"\n".join([b"[" * 9000, b"\xff", b"7", *lines, b""]))
    curves = LossCurves(tmp_path / "log.jsonl", most_points=1).update()
    assert curves == {"steps": [2**62 + 1], "epochs": [1], "series": {"G": [None]}}, "the sum overflows"
    (tmp_path / "log.jsonl").write_bytes(b"x" * 10_000_000)
    assert LossCurves(tmp_path / "log.jsonl").update() is None


def cost_of_a_display(gallery, folder, start, displays=7):
    """The shortest time in seconds, and the most memory in bytes."""
    image, times, peaks = np.zeros((64, 64, 3), np.uint8), [], []
    for step in range(start + 1, start + 1 + displays):
        write_long_log(folder, step, step)
        tracemalloc.start()
        began = time.perf_counter()
        gallery.add_training(step // 1000, step % 1000, {"a": image})
        gallery.set_losses(folder / "log.jsonl")
        gallery.write(live=True)
        times.append(time.perf_counter() - began)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return times[0], min(times[1:]), max(peaks)


def test_a_display_costs_the_same_after_ten_times_the_steps(tmp_path):
    costs = []
    for count in (10_000, 100_000):
        folder = tmp_path / str(count)
        write_long_log(folder, count)
        costs.append(cost_of_a_display(Gallery(folder, "t"), folder, count))
    for what, (short, long) in zip(("the first", "each other", "memory"), zip(*costs, strict=True), strict=True):
        assert long < 2 * short, what
    assert costs[1][2] < 20_000_000


def test_the_page_and_the_memory_of_a_gallery_do_not_grow_with_the_displays(tmp_path):
    gallery = Gallery(tmp_path, "t", max_training=20)
    image, sizes, memories = np.zeros((8, 8, 3), np.uint8), [], []
    tracemalloc.start()
    for display in range(1, 601):
        gallery.add_training(display, 1, {"first": image, "second": image})
        if display % 200 == 0:
            gallery.write(live=True)
            sizes.append(gallery.path.stat().st_size)
            memories.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert sizes[2] < 1.01 * sizes[0] and memories[2] - memories[1] < 20_000
    assert len(list(gallery.folder.rglob("*.png"))) == 2 * 20
    assert len(read_page(gallery.path)["training"]) == 20
