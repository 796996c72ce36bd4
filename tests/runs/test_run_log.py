"""The run's files: what is written, what survives a kill, what a resumed run takes back, and what that costs."""

import json
import math
import os
import struct
import subprocess
import sys
import time
import tracemalloc

import pytest

from src.runs.log import RunLog, read_log
from src.utils.errors import UserError
from src.utils.logging import get_logger
from tests.runs.long_logs import write_long_log


@pytest.fixture(autouse=True)
def console():
    get_logger(0)


def test_a_record_is_one_json_line_and_one_line_in_the_published_format(tmp_path):
    log = RunLog(tmp_path, tensorboard=False)
    line = log.scalars(100, 2, 40, {"G_GAN": 0.5, "D_real": 1 / 3}, {"time": 0.12, "learning_rate": 2e-4})
    assert line == "(epoch: 2, iters: 40, time: 0.120) G_GAN: 0.500 D_real: 0.333"
    text = (tmp_path / "loss_log.txt").read_text().splitlines()
    assert text[0].startswith("================ Training Loss (") and text[1] == line
    (raw,) = (tmp_path / "log.jsonl").read_text().splitlines()
    record = json.loads(raw)
    assert record["step"] == 100 and record["values"] == {"G_GAN": 0.5, "D_real": 1 / 3}
    assert abs(record["at"] - time.time()) < 60
    assert read_log(tmp_path / "log.jsonl") == [record]


def test_nan_and_infinity_come_back(tmp_path):
    RunLog(tmp_path, tensorboard=False).scalars(1, 1, 1, {"a": math.nan, "b": -math.inf, "c": 1.0})
    assert "NaN" not in (tmp_path / "log.jsonl").read_text()
    (record,) = read_log(tmp_path / "log.jsonl")
    assert math.isnan(record["values"]["a"]) and record["values"]["b"] == -math.inf


@pytest.mark.parametrize("keep", [1, 10, 40])
def test_a_half_written_last_line_is_left_out_and_not_continued(tmp_path, keep, capsys):
    log = RunLog(tmp_path, tensorboard=False)
    for step in (1, 2, 3):
        log.scalars(step, 1, step, {"G": 1.0})
    path = tmp_path / "log.jsonl"
    whole = path.read_bytes()
    start = whole.rstrip(b"\n").rfind(b"\n") + 1
    path.write_bytes(whole[: start + keep])
    assert [r["step"] for r in read_log(path)] == [1, 2]
    RunLog(tmp_path, tensorboard=False).scalars(3, 1, 3, {"G": 2.0})
    assert [r["step"] for r in read_log(path)] == [1, 2, 3]
    assert path.read_bytes().count(b"\n") == 3 and capsys.readouterr().err == ""


def test_a_whole_last_line_without_its_end_is_kept(tmp_path):
    RunLog(tmp_path, tensorboard=False).scalars(1, 1, 1, {"G": 1.0})
    path = tmp_path / "log.jsonl"
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    RunLog(tmp_path, tensorboard=False).scalars(2, 1, 2, {"G": 1.0})
    assert [r["step"] for r in read_log(path)] == [1, 2]


def test_rot_in_the_middle_is_left_out_with_a_warning(tmp_path, capsys):
    log = RunLog(tmp_path, tensorboard=False)
    for step in (1, 2, 3):
        log.scalars(step, 1, step, {"G": 1.0})
    path = tmp_path / "log.jsonl"
    lines = path.read_bytes().split(b"\n")
    lines[1] = b'\xff{"step": 2'
    path.write_bytes(b"\n".join(lines))
    assert [r["step"] for r in read_log(path)] == [1, 3]
    assert "1 unreadable lines left out, the first is line 2" in capsys.readouterr().err


def test_resuming_takes_later_lines_back(tmp_path):
    log = RunLog(tmp_path, tensorboard=False)
    for step in range(1, 9):
        log.scalars(step, 1 + (step - 1) // 3, 1 + (step - 1) % 3, {"G": float(step)})
    log.close()
    resumed = RunLog(tmp_path, tensorboard=False)
    assert resumed.truncate_after(5) == 3
    resumed.scalars(6, 2, 3, {"G": 60.0})
    assert [(r["step"], r["values"]["G"]) for r in read_log(tmp_path / "log.jsonl")][-2:] == [
        (5, 5.0),
        (6, 60.0),
    ]
    text = [x for x in (tmp_path / "loss_log.txt").read_text().splitlines() if x.startswith("(")]
    assert len(text) == 6 and text[-1] == "(epoch: 2, iters: 3, time: 0.000) G: 60.000"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.jsonl", "loss_log.txt"]
    assert resumed.truncate_after(0) == 6 and read_log(tmp_path / "log.jsonl") == []
    assert (tmp_path / "loss_log.txt").read_bytes() == b""


def test_what_a_resumed_run_keeps_stays_byte_for_byte(tmp_path):
    log = RunLog(tmp_path, tensorboard=False)
    for step in range(1, 2001):
        log.scalars(step, 1 + step // 100, step % 100, {"G": float(step)}, {"time": 0.1})
        if step == 700:
            kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
            log.scalars(step, 1 + step // 100, step % 100, {}, {"metric/fid": 1.0})
            kept[tmp_path / "log.jsonl"] = (tmp_path / "log.jsonl").read_bytes()
    assert RunLog(tmp_path, tensorboard=False).truncate_after(700) == 1300
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == kept, "numbers without losses are in one file"


def test_a_run_that_stops_before_its_first_record_writes_nothing(tmp_path):
    RunLog(tmp_path / "run", tensorboard=False).close()
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("name", ["log.jsonl", "loss_log.txt"])
def test_what_a_link_leads_to_is_not_touched(tmp_path, name):
    (tmp_path / "mine").write_bytes(b"line one\nline two without newline")
    log = RunLog(tmp_path / "run", tensorboard=False)
    for target in (tmp_path / "mine", tmp_path / "absent"):
        (tmp_path / "run" / name).unlink(missing_ok=True)
        (tmp_path / "run" / name).symlink_to(target)
        log.scalars(1, 1, 1, {"G": 1.0})
        with pytest.raises(UserError, match=f"cannot write .*{name}: it is a link"):
            RunLog(tmp_path / "run", tensorboard=False)
    assert (tmp_path / "mine").read_bytes() == b"line one\nline two without newline"
    assert not (tmp_path / "absent").exists()


def test_a_damaged_log_is_no_reason_to_read_all_of_it(tmp_path):
    for damage in (b"\0" * 3_000_000, b"[" * 3_000_000):
        (tmp_path / "log.jsonl").write_bytes(damage)
        with pytest.raises(UserError, match="log.jsonl is damaged .it has a line of more than 1048576 bytes"):
            RunLog(tmp_path, tensorboard=False)
        assert (tmp_path / "log.jsonl").read_bytes() == damage
    lines = [
        b"[" * 100_000,
        b'{"step": Infinity}',
        b'{"step": 1e9999}',
        b'{"step": -1, "epoch": 1, "iteration": 1}',
        b"7",
    ]
    (tmp_path / "log.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    assert read_log(tmp_path / "log.jsonl") == []
    assert RunLog(tmp_path, tensorboard=False).truncate_after(0) == 5


def test_opening_and_resuming_cost_the_same_for_a_long_log(tmp_path):
    costs = {}
    for count in (10_000, 100_000):
        folder = tmp_path / str(count)
        write_long_log(folder, count)
        times = []
        tracemalloc.start()
        for i in range(1, 8):
            began = time.perf_counter()
            assert RunLog(folder, tensorboard=False).truncate_after(count - 100 * i) == 100
            times.append(time.perf_counter() - began)
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len((folder / "loss_log.txt").read_bytes().splitlines()) == count - 700
        costs[count] = min(times), memory
    (short, little), (long, much) = costs.values()
    assert long < 2 * short and much < 2 * little and much < 1_000_000


def test_other_ranks_write_nothing(tmp_path):
    log = RunLog(tmp_path / "run", rank=1)
    assert log.scalars(1, 1, 1, {"G": 1.0}).endswith("G: 1.000")
    assert log.truncate_after(0) == 0
    log.close()
    assert not (tmp_path / "run").exists()


def test_a_kill_loses_at_most_the_line_being_written(tmp_path):
    code = (
        "from src.runs.log import RunLog\n"
        "log = RunLog('run', tensorboard=False)\n"
        "for step in range(10**9): log.scalars(step, 1, step, {'G': 1.0, 'D': 2.0})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    path = tmp_path / "run" / "log.jsonl"
    deadline = time.monotonic() + 60
    while (not path.exists() or path.stat().st_size < 20000) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    steps = [r["step"] for r in read_log(path)]
    assert len(steps) > 50 and steps == list(range(len(steps)))


def test_a_full_disk_is_reported_once_and_leaves_no_half_line(tmp_path):
    code = (
        "import resource, signal\n"
        "from src.runs.log import RunLog, read_log\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "log = RunLog('run', tensorboard=False)\n"
        "log.scalars(0, 1, 1, {'G': 1.0})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "for step in range(1, 50): log.scalars(step, 1, 1, {'G': 1.0})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\n"
        "log.scalars(50, 1, 1, {'G': 1.0})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("log.jsonl cannot be written") == 1
    steps = [r["step"] for r in read_log(tmp_path / "run" / "log.jsonl")]
    assert 3 < len(steps) < 20 and steps[-1] == 50
    assert (tmp_path / "run" / "log.jsonl").read_bytes().count(b"\n") == len(steps)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot create .*file/run: a part of this path is a file"):
        RunLog(tmp_path / "file" / "run")
    with pytest.raises(UserError, match="cannot read .*absent.jsonl: it does not exist"):
        read_log(tmp_path / "absent.jsonl")


def test_names_that_are_no_utf8_are_kept_or_escaped(tmp_path):
    log = RunLog(tmp_path, tensorboard=False)
    log.scalars(1, 1, 1, {"stra\udcdfe": 1.0, "数据": 2.0})
    (record,) = read_log(tmp_path / "log.jsonl")
    assert record["values"] == {"stra\udcdfe": 1.0, "数据": 2.0}
    assert r"stra\xdfe: 1.000 数据: 2.000" in (tmp_path / "loss_log.txt").read_text(encoding="utf-8")


def events_of(folder):
    """Read TensorBoard event files: (step, {tag: value}, session status) in the order they were written."""
    from tensorboardX.proto.event_pb2 import Event

    rows = []
    for path in sorted(folder.iterdir(), key=lambda p: p.stat().st_mtime_ns):
        data, place = path.read_bytes(), 0
        while place < len(data):
            (length,) = struct.unpack_from("<Q", data, place)
            event = Event.FromString(data[place + 12 : place + 12 + length])
            values = {v.tag: v.simple_value for v in event.summary.value}
            rows.append((event.step, values, event.session_log.status))
            place += 16 + length
    return rows


def test_tensorboard_events_hold_the_scalars_and_hide_what_a_resume_repeats(tmp_path):
    log = RunLog(tmp_path)
    for step in (1, 2, 3):
        log.scalars(step, 1, step, {"G_GAN": 0.5 * step}, {"learning_rate": 0.25})
    rows = [row for row in events_of(tmp_path / "events") if row[1]]
    assert [(s, v) for s, v, _ in rows if "loss/G_GAN" in v] == [(s, {"loss/G_GAN": 0.5 * s}) for s in (1, 2, 3)]
    assert (1, {"run/learning_rate": 0.25}, 0) in rows
    log.close()
    time.sleep(1.1)  # event files are named after the second
    resumed = RunLog(tmp_path)
    resumed.truncate_after(2)
    resumed.scalars(3, 1, 3, {"G_GAN": 9.0})
    resumed.close()
    start = 1  # SessionLog.START: TensorBoard drops what an earlier file has from this step on
    rows = events_of(tmp_path / "events")
    assert [row[0] for row in rows if row[2] == start] == [3] and rows[-1][1] == {"loss/G_GAN": 9.0}


def test_without_tensorboardx_it_is_said_once(tmp_path, monkeypatch, capsys):
    for name in [n for n in sys.modules if n.split(".")[0] == "tensorboardX"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    log = RunLog(tmp_path)
    log.scalars(1, 1, 1, {"G": 1.0})
    log.scalars(2, 1, 2, {"G": 1.0})
    assert capsys.readouterr().out.count("pip install tensorboardX") == 1
    assert not (tmp_path / "events").exists() and len(read_log(tmp_path / "log.jsonl")) == 2


def test_events_that_cannot_be_written_do_not_end_the_run(tmp_path, capsys):
    (tmp_path / "events").write_text("in the way")
    log = RunLog(tmp_path)
    for step in (1, 2):
        log.scalars(step, 1, step, {"G": 1.0})
    assert capsys.readouterr().err.count("TensorBoard events are off") == 1
    assert len(read_log(tmp_path / "log.jsonl")) == 2 and os.path.isfile(tmp_path / "events")
