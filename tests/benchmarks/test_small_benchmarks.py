"""The benchmarks that the pages name, at sizes that say nothing but that they run."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def table(program, *options):
    """Words of the last line that a benchmark prints."""
    words = [sys.executable, str(ROOT / "benchmarks" / program), *options, "--mode=pynative", "--device_target=CPU"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]
    return done.stdout.splitlines()[-1].split()


_SMALL = ["--ngf=2", "--ndf=2", "--n_downsample_global=1", "--n_blocks_global=1", "--num_D=1", "--no_vgg_loss=True"]


def test_train_step():
    row = table("train_step.py", "--modes=label", "--height=32", "--width=64", "--steps=2", *_SMALL)
    assert row[0] == "label" and float(row[2]) >= float(row[3]) > 0 and float(row[4]) > 0 and row[-1] == "exact"


def test_compare_puts_another_program_beside_ours(tmp_path):
    file = tmp_path / "compare.json"
    other = shlex.join([sys.executable, "-c", "print('words'); print('{\"median_ms\": 0.001}')"])
    own = ["--rows=label", "--runs=1", "--steps=2", f"--beside={other}", f"--output={file}"]
    table("compare.py", *own, "--height=32", "--width=64", *_SMALL)
    row = json.loads(file.read_text())["rows"]["label"]
    assert row["ours"][0]["median_ms"] > 0.001 and row["ours"][0]["compile_s"] >= 0
    assert row["beside"] == [{"median_ms": 0.001}] and row["command"] == other


@pytest.mark.parametrize(
    "words, said",
    [
        (["--rows=label,lable"], "rows lable: known are label"),
        (["--beside=true"], "name the one it belongs to"),
        (["--rows=label", "--runs=1", "--gfn=3"], "gfn"),
    ],
)
def test_compare_refuses(words, said):
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "compare.py"), *words], capture_output=True, text=True, timeout=300
    )
    assert done.returncode and said in done.stdout + done.stderr and "Traceback" not in done.stderr.split("\n")[0]


def test_inference():
    """MindSpore and ONNX Runtime run the same pass, each in a process of its own."""
    small = ["--height=32", "--width=32", "--repeat=1", "--ngf=2", "--n_residual_blocks=1"]
    words = [sys.executable, str(ROOT / "benchmarks" / "inference.py"), "--systems=cyclegan", *small]
    done = subprocess.run([*words, "--runtimes=pynative,onnx"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]
    rows = [line.split() for line in done.stdout.splitlines()[-2:]]
    assert [row[:2] for row in rows] == [["cyclegan", "pynative"], ["cyclegan", "onnx"]]
    # the first call of so small a network is over in no time
    assert all(float(best) > 0 and float(first) >= 0 and float(peak) > 0 for _, _, best, _, _, first, peak, _ in rows)
    assert {row[-1] for row in rows} == {"exact"}


def test_unpaired():
    small = ["--ngf=2", "--ndf=2", "--n_residual_blocks=1"]
    row = table("unpaired.py", "--systems=cyclegan", "--height=32", "--width=32", "--steps=2", *small)
    assert row[:2] == ["cyclegan", "translate"] and float(row[3]) >= float(row[4]) > 0 and row[-1] == "exact"


def test_scaling():
    """One worker and two, each through its script."""
    small = ["--ngf=2", "--ndf=2", "--n_downsample_global=1", "--n_blocks_global=1", "--num_D=1", "--load_size=64"]
    row = table("scaling.py", *small)
    assert row[:3] == ['{"workers":', "2,", '"samples_per_second":'] and float(row[3].rstrip(",")) > 0
    assert row[4:] == ['"conv_precision":', '"exact"}']
