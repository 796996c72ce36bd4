"""A trained hflow in use: the four calls, the tasks of eval.py, held-out bits, and scores with and without weights."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from src.evaluation.batches import batches_of
from src.evaluation.hflow import HFlowModel, held_out_bits, interpolate_latents, training_metrics
from src.evaluation.inception_scores import inception_scores, to_bytes
from src.evaluation.run import open_run
from src.evaluation.tasks import evaluate
from src.models.hflow.system import HFlowSystem
from src.models.inception import InceptionV3
from src.models.state import state_arrays
from src.training.loop import train
from src.utils.config import load_config
from src.utils.errors import UserError
from src.utils.tensorfile import write_arrays

HELD_OUT = 3


def words(folder, **changes):
    options = {
        "config_path": "configs/hflow_tiny.yaml",
        "data_root": folder / "pictures",
        "save_ckpt_dir": folder / "runs",
        "predict_dir": folder / "results",
        "device_target": "CPU",
        "mode": "pynative",
        "batch_size": 4,
        "samples_per_grad_eval": 8,
        "initial_samples": 8,
        "held_out": HELD_OUT,
        "niter": 1,
        "no_html": True,
    }
    return [f"--{key}={value}" for key, value in (options | changes).items()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of two steps on eleven pictures, three of them held out."""
    folder = tmp_path_factory.mktemp("hflow")
    (folder / "pictures").mkdir()
    for i in range(8 + HELD_OUT):
        rng = np.random.default_rng(i)
        coarse = rng.integers(0, 256, (4, 6, 3)).astype(np.uint8)
        Image.fromarray(coarse).resize((48, 32), Image.Resampling.BILINEAR).save(folder / "pictures" / f"{i:02d}.png")
    assert train(load_config(words(folder))) == 0
    return folder


def config_of(folder, **changes):
    return load_config(words(folder, **changes))


def system_of(folder, **changes):
    return HFlowSystem(config_of(folder, **changes), training=False)


def test_four_calls(folder):
    model = HFlowModel.from_path(folder / "runs" / "hflow_tiny")
    image = model.load_img(folder / "pictures" / "00.png")
    assert image.shape == (1, 3, 32, 32) and image.min() >= -0.5 and image.max() <= 0.5
    latents = model.inverse(image)
    assert [z.shape[1:] for z in latents] == [(3, 32, 32), (4, 16, 16), (8, 8, 8), (4, 1, 1), (28, 1, 1)]
    np.testing.assert_allclose(model.forward(latents), image, atol=1e-3)
    cropped = model.load_img(folder / "pictures" / "00.png", fit="crop")
    middle = np.asarray(Image.open(folder / "pictures" / "00.png"))[:, 8:40].transpose(2, 0, 1) / 255 - 0.5
    np.testing.assert_allclose(cropped[0], middle, atol=1e-6)
    again = HFlowModel.from_path(folder / "runs" / "hflow_tiny" / "latest_net_F_ema.safetensors")
    for one, other in zip(latents, again.inverse(image), strict=True):
        np.testing.assert_array_equal(one, other)


def test_sample_writes_each_picture_and_a_grid(folder):
    assert evaluate(config_of(folder, task="sample", n_samples=5)) == 0
    results = next((folder / "results" / "hflow_tiny").glob("sample_*"))
    assert len(list(results.glob("sample_0*.png"))) == 5
    assert Image.open(results / "samples.png").size == (3 * 34, 2 * 34)
    before = np.asarray(Image.open(results / "sample_00001.png"))
    evaluate(config_of(folder, task="sample", n_samples=2))
    after = np.asarray(Image.open(results / "sample_00001.png")).astype(int)
    assert np.abs(after - before).max() <= 1  # batches of another size round differently


@pytest.mark.parametrize("spherical", [False, True])
def test_interpolate_goes_there_and_back(folder, spherical):
    pictures = [folder / "pictures" / name for name in ("00.png", "05.png")]
    options = {"task": "interpolate", "image_a": pictures[0], "image_b": pictures[1], "n_steps": 3}
    assert evaluate(config_of(folder, spherical=spherical, **options)) == 0
    results = next((folder / "results" / "hflow_tiny").glob("interpolate_*"))
    ends = [np.asarray(Image.open(results / f"frame_000{i}.png")).astype(float) for i in (0, 2)]
    for end, path in zip(ends, pictures, strict=True):
        squashed = np.asarray(Image.open(path).resize((32, 32), Image.Resampling.LANCZOS)).astype(float)
        assert np.abs(end - squashed).max() <= 2
    capture = cv2.VideoCapture(str(results / "interpolation.mp4"))
    frames = 0
    while capture.read()[0]:
        frames += 1
    assert frames == 6 and capture.get(cv2.CAP_PROP_FPS) == 24


def test_interpolate_needs_two_pictures(folder):
    with pytest.raises(UserError, match="--image_a FILE and --image_b FILE"):
        evaluate(config_of(folder, task="interpolate"))


def test_ways_between_latents():
    rng = np.random.default_rng(0)
    a, b = ([rng.standard_normal((2, 50, 2, 2)).astype(np.float32)] for _ in range(2))
    for spherical in (False, True):
        np.testing.assert_allclose(interpolate_latents(a, b, 0.0, spherical)[0], a[0], atol=1e-6)
        np.testing.assert_allclose(interpolate_latents(a, b, 1.0, spherical)[0], b[0], atol=1e-6)
        np.testing.assert_allclose(interpolate_latents(a, a, 0.3, spherical)[0], a[0], atol=1e-6)
    straight, arc = (interpolate_latents(a, b, 0.5, s)[0].std() for s in (False, True))
    assert straight < 0.8 and 0.9 < arc < 1.1


def test_bits_of_held_out_pictures(folder):
    assert evaluate(config_of(folder, task="bits_per_dim")) == 0
    results = next((folder / "results" / "hflow_tiny").glob("bits_per_dim_*"))
    bits = json.loads((results / "bits_per_dim.json").read_text())
    assert bits["count"] == HELD_OUT and 2.0 < bits["mean"] < 14.0 and bits["error"] > 0
    system = system_of(folder)
    dims, scale = system.bound.dims, system.bound.image_dim
    joint = sum(d * bits["levels"][name] for d, name in zip(dims, system.level_names, strict=True)) / scale + 8.0
    assert bits["mean"] == pytest.approx(joint)


def test_a_filled_batch_counts_its_pictures_once(folder):
    got = list(batches_of(iter(np.arange(5)), 3))
    assert [(batch.tolist(), real) for batch, real in got] == [([0, 1, 2], 3), ([3, 4, 3], 2)]
    from src.dataset import open_dataset

    data = open_dataset("images", config_of(folder), "test", training=False)
    assert held_out_bits(system_of(folder), data, count=2).count == 2


def test_metrics_of_training_go_on_without_inception(folder):
    metrics = training_metrics(system_of(folder), config_of(folder))
    assert metrics.keys() == {"likelihood_bound/bpd_eval_ema", "loss/eval_ema"}
    with pytest.raises(UserError, match="--inception_net_path FILE"):
        evaluate(config_of(folder, task="fid"))


def write_inception(path, seed):
    """The real network with random weights."""
    rng = np.random.default_rng(seed)
    arrays = state_arrays(InceptionV3())
    for name, value in arrays.items():
        if value.ndim > 1:
            scale = np.float32(np.sqrt(2 / np.prod(value.shape[1:])))
            arrays[name] = rng.standard_normal(value.shape, np.float32) * scale
    write_arrays(path, arrays)


def test_real_features_are_kept_under_what_they_depend_on(folder):
    weights = folder / "inception.safetensors"
    write_inception(weights, 0)
    options = {"inception_net_path": weights, "fid_n_samples": 2, "batch_size": 2}
    system, config = system_of(folder, **options), config_of(folder, **options)
    first = inception_scores(system, config)
    assert first["pictures"] == 2 and first["fid"] > 0
    kept = list((folder / "runs" / ".features").glob("*.npy"))
    assert len(kept) == 1 and np.load(kept[0]).shape == (2, 2048)
    np.save(kept[0], np.load(kept[0]) + 1.0)
    moved = inception_scores(system, config)
    assert abs(moved["fid"] - first["fid"]) > 1.0  # so the file is what was used
    write_inception(weights, 1)
    inception_scores(system, config)
    assert len(list((folder / "runs" / ".features").glob("*.npy"))) == 2


def test_samples_are_measured_with_their_protocol(folder):
    weights = folder / "inception_of_the_task.safetensors"
    write_inception(weights, 2)
    options = {"inception_net_path": weights, "fid_n_samples": 2, "batch_size": 2}
    assert evaluate(config_of(folder, task="fid", **options)) == 0
    results = next((folder / "results" / "hflow_tiny").glob("fid_*"))
    found = {m["metric"]: m for m in json.loads((results / "metrics.json").read_text())["measurements"]}
    run = open_run(config_of(folder, **options))
    scores = inception_scores(run.system, run.config)
    assert found["fid"]["value"] == pytest.approx(scores["fid"], rel=1e-4)
    assert found["kid"]["value"] == pytest.approx(scores["kid"], rel=1e-4)
    assert found["fid"]["protocol"]["latents"] == "deviation 0.8, seed 0"
    assert found["fid"]["warnings"] and (results / "metrics.md").is_file()


def test_bytes_are_clamped_and_cut():
    np.testing.assert_array_equal(to_bytes(np.array([-0.9, -0.5, 0.0, 0.4999, 0.5, 2.0])), [0, 0, 127, 254, 255, 255])
