"""A trained hflow in use: Python calls, the tasks of eval.py, held-out bits, and scores with and without weights."""

import json

import cv2
import numpy as np
import pytest
from mindspore import ops
from PIL import Image

from src import load
from src.dataset.batches import batches_of
from src.evaluation.command import evaluate
from src.inference.opening import open_model
from src.models.inception import InceptionV3
from src.models.parameters import state_arrays
from src.systems.hflow.calls import ImageFlowModel, interpolate_latents
from src.systems.hflow.inception_scores import inception_scores, sampled_features, to_bytes
from src.systems.hflow.measures import held_out_bits, reference_spreads
from src.systems.hflow.published_calls import HFlowModel
from src.systems.hflow.system import HFlowSystem
from src.systems.hflow.tasks import bits_per_dim
from src.systems.programs import EVAL, TRAIN, read_command
from src.training.loop import train
from src.utils.errors import UserError
from src.utils.tensorfile import write_arrays
from tests.systems.hflow.test_hflow_published import write as write_published

HELD_OUT = 3
DEVICE = {"device_target": "CPU", "mode": "pynative"}


def words(folder, **changes):
    options = DEVICE | {
        "config_path": "configs/hflow_tiny.yaml",
        "data_root": folder / "images",
        "save_ckpt_dir": folder / "runs",
        "batch_size": 4,
        "no_html": True,
    }
    return [f"--{key}={value}" for key, value in (options | changes).items()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of two steps on eleven images, three of them held out."""
    folder = tmp_path_factory.mktemp("hflow")
    (folder / "images").mkdir()
    for i in range(8 + HELD_OUT):
        rng = np.random.default_rng(i)
        coarse = rng.integers(0, 256, (4, 6, 3)).astype(np.uint8)
        Image.fromarray(coarse).resize((48, 32), Image.Resampling.BILINEAR).save(folder / "images" / f"{i:02d}.png")
    options = {"samples_per_grad_eval": 8, "initial_samples": 8, "held_out": HELD_OUT, "niter": 1}
    assert train(HFlowSystem, read_command(TRAIN, words(folder, **options))[1]) == 0
    return folder


def command(folder, **changes):
    return read_command(EVAL, words(folder, predict_dir=folder / "results", **changes))[1]


def do(folder, task, **changes):
    """Run a task of eval.py."""
    assert evaluate(HFlowSystem, command(folder, task=task, **changes)) == 0


def results(folder, task):
    return next((folder / "results" / "hflow_tiny").glob(f"{task}_*"))


def system_of(folder, **changes):
    return open_model(command(folder, **changes), HFlowSystem).system


def squashed(path):
    return np.asarray(Image.open(path).resize((32, 32), Image.Resampling.LANCZOS))


def test_the_published_calls(folder):
    model = HFlowModel.from_path(folder / "runs" / "hflow_tiny", **DEVICE)
    image = model.load_img(folder / "images" / "00.png")
    assert image.shape == (1, 3, 32, 32) and image.min() >= -0.5 and image.max() <= 0.5
    latents = model.inverse(image)
    assert [z.shape[1:] for z in latents] == [(3, 32, 32), (4, 16, 16), (8, 8, 8), (4, 1, 1), (28, 1, 1)]
    np.testing.assert_allclose(model.forward(latents), image, atol=1e-3)
    cropped = model.load_img(folder / "images" / "00.png", fit="crop")
    middle = np.asarray(Image.open(folder / "images" / "00.png"))[:, 8:40].transpose(2, 0, 1) / 255 - 0.5
    np.testing.assert_allclose(cropped[0], middle, atol=1e-6)
    again = HFlowModel.from_path(folder / "runs" / "hflow_tiny" / "latest_net_F_ema.safetensors", **DEVICE)
    for one, other in zip(latents, again.inverse(image), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(UserError, match="fit stretch"):
        model.load_img(folder / "images" / "00.png", fit="stretch")


def test_the_published_calls_are_those_of_load(folder):
    """One model under two names: the arrays of one are half of what the other takes."""
    model = load(folder / "runs" / "hflow_tiny", **DEVICE)
    assert isinstance(model, ImageFlowModel)
    path = folder / "images" / "00.png"
    for one, other in zip(model.encode(Image.open(path)), model.inverse(model.load_img(path)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_published_file_opens_by_its_path(folder, tmp_path):
    """``model_iter_N.bin`` with its settings: the same network as the run whose weights it holds."""
    run = HFlowModel.from_path(folder / "runs" / "hflow_tiny", **DEVICE)
    arrays = {
        name.removesuffix(".U") + "._U" if name.endswith(".U") else name: value
        for name, value in state_arrays(run.system.networks["F_ema"]).items()
    }
    settings = {"GENERAL": {"SEED": 0}, "MODEL_PARAMETERS": run.system.options.published}
    path = write_published(tmp_path / "model_iter_8.bin", arrays, settings)
    model = HFlowModel.from_path(path, **DEVICE)
    assert model.tag == "model_iter_8" and model.resolution == 32
    image = model.load_img(folder / "images" / "03.png")
    for one, other in zip(model.inverse(image), run.inverse(image), strict=True):
        np.testing.assert_array_equal(one, other)
    assert model.sample(2, seed=1).shape == (2, 32, 32, 3)
    with pytest.raises(UserError, match="early version without settings"):
        HFlowModel.from_path(write_published(tmp_path / "model_iter_1.bin", arrays, None), **DEVICE)


def test_sample_writes_each_image_and_a_grid(folder):
    do(folder, "sample", n_samples=5)
    found = results(folder, "sample")
    assert len(list(found.glob("sample_0*.png"))) == 5
    assert Image.open(found / "samples.png").size == (3 * 34, 2 * 34)
    before = np.asarray(Image.open(found / "sample_00001.png"))
    do(folder, "sample", n_samples=2)
    # nothing of the five stays beside the two
    assert {path.name for path in found.glob("*.png")} == {"sample_00000.png", "sample_00001.png", "samples.png"}
    after = np.asarray(Image.open(found / "sample_00001.png")).astype(int)
    assert np.abs(after - before).max() <= 1  # batches of another size round differently


def test_reconstructed_files_are_the_images(folder):
    """Not a grey level darker, in any value."""
    do(folder, "reconstruct")
    found = sorted((folder / "results" / "hflow_tiny").glob("test_*/images/*.png"))
    assert len(found) == HELD_OUT
    for path, number in zip(found, range(8, 8 + HELD_OUT), strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(path)), squashed(folder / "images" / f"{number:02d}.png"))


@pytest.mark.parametrize("spherical", [False, True])
def test_interpolate_goes_there_and_back(folder, spherical):
    images = [folder / "images" / name for name in ("00.png", "05.png")]
    do(folder, "interpolate", spherical=spherical, image_a=images[0], image_b=images[1], n_steps=3)
    found = results(folder, "interpolate")
    for i, path in zip((0, 2), images, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(found / f"frame_000{i}.png")), squashed(path))
    capture = cv2.VideoCapture(str(found / "interpolation.mp4"))
    frames = 0
    while capture.read()[0]:
        frames += 1
    assert frames == 6 and capture.get(cv2.CAP_PROP_FPS) == 24


def test_interpolate_needs_two_images(folder):
    with pytest.raises(UserError, match="--image_a FILE and --image_b FILE"):
        do(folder, "interpolate")


def test_ways_between_latents():
    rng = np.random.default_rng(0)
    a, b = ([rng.standard_normal((2, 50, 2, 2)).astype(np.float32)] for _ in range(2))
    for spherical in (False, True):
        np.testing.assert_allclose(interpolate_latents(a, b, 0.0, spherical)[0], a[0], atol=1e-6)
        np.testing.assert_allclose(interpolate_latents(a, b, 1.0, spherical)[0], b[0], atol=1e-6)
        np.testing.assert_allclose(interpolate_latents(a, a, 0.3, spherical)[0], a[0], atol=1e-6)
    straight, arc = (interpolate_latents(a, b, 0.5, s)[0].std() for s in (False, True))
    assert straight < 0.8 and 0.9 < arc < 1.1


def test_bits_of_held_out_images(folder, capsys):
    do(folder, "bits_per_dim")
    bits = json.loads((results(folder, "bits_per_dim") / "bits_per_dim.json").read_text())
    assert bits["conv_precision"] == "exact"
    assert bits["count"] == HELD_OUT and 2.0 < bits["mean"] < 14.0 and bits["error"] > 0 and bits["bound"] is True
    system = system_of(folder)
    dims, scale = system.bound.dims, system.bound.image_dim
    joint = sum(d * bits["levels"][name] for d, name in zip(dims, system.level_names, strict=True)) / scale + 8.0
    assert bits["mean"] == pytest.approx(joint)
    assert "an upper bound" in capsys.readouterr().out


def test_bits_of_what_is_not_invertible_are_refused(folder, monkeypatch):
    system = system_of(folder)
    right = type(system.networks["F_ema"]).generate
    monkeypatch.setattr(
        type(system.networks["F_ema"]), "generate", lambda self, latents: (right(self, latents)[0] + 0.01, ())
    )
    with pytest.raises(UserError, match="this hflow is not invertible with --conv_precision exact"):
        held_out_bits(system, 1)


def test_bits_of_an_image_do_not_depend_on_its_batch(folder):
    """Batches of any size, filled up or not, and the images beside it: the same bits."""
    system, measured = system_of(folder), {}
    for count, size in ((3, 4), (3, 2), (3, 1), (2, 3), (2, 2), (1, 4), (1, 1)):
        system.config = system.config.replace(batch_size=size)
        measured[count, size] = held_out_bits(system, count)
    for (count, size), bits in measured.items():
        assert bits.count == count
        alike = measured[count, max(s for c, s in measured if c == count)]
        assert bits.mean == pytest.approx(alike.mean, abs=1e-4), (count, size)
        assert bits.loss == pytest.approx(alike.loss, abs=1e-3), (count, size)


def test_spreads_are_those_of_the_training_images(folder):
    """The held-out images, and how many there are, have no part in them."""
    system = system_of(folder)
    spreads = reference_spreads(system)
    system.config = system.config.replace(batch_size=3)
    assert spreads.dtype == np.float32 and spreads.shape == (len(system.bound.dims) - 1,)
    np.testing.assert_allclose(reference_spreads(system), spreads, rtol=1e-5)
    system.config = system.config.replace(held_out=5)
    assert np.abs(reference_spreads(system) - spreads).max() > 1e-4


def test_one_image_has_no_standard_error(folder, capsys):
    do(folder, "bits_per_dim", how_many=1)
    bits = json.loads((results(folder, "bits_per_dim") / "bits_per_dim.json").read_text())
    assert bits["count"] == 1 and bits["error"] is None
    assert f"{bits['mean']:.4f} bits per dimension over 1 held-out image:" in capsys.readouterr().out


def untrained(folder, **changes):
    """A model with weights as they were drawn, and options that a run cannot change any more."""
    model = open_model(command(folder, task="bits_per_dim"), HFlowSystem)
    config = model.config.replace(**changes)
    return ImageFlowModel(HFlowSystem(config, training=False), config, model.folder, model.tag, model.device)


def test_bits_without_noise_on_a_level_are_called_no_bound(folder, capsys):
    flags = ["NOEUNET_NO_STYLE_NO_NORM", "NOISE_NO_STYLE_NO_NORM", "NOISE"]
    model = untrained(folder, augmentation_types=flags)
    assert bits_per_dim(model, model.config) == 0
    said = capsys.readouterr().out
    assert "no bound of their likelihood" in said and "upper bound" not in said
    assert json.loads((results(folder, "bits_per_dim") / "bits_per_dim.json").read_text())["bound"] is False


def test_bits_of_mixes_that_are_not_orthogonal_are_refused(folder, capsys):
    model = untrained(folder)
    for step in model.system.networks["F_ema"].endblock_unified.conditionals[0].steps:
        ops.assign(step.invconv.U, step.invconv.U * 12.0)
    with pytest.raises(UserError, match="cannot be measured. The channel mixes of bits_1_1 are not orthogonal"):
        bits_per_dim(model, model.config)


def test_a_filled_batch_counts_its_images_once():
    got = list(batches_of(iter(np.arange(5)), 3))
    assert [(batch.tolist(), real) for batch, real in got] == [([0, 1, 2], 3), ([3, 4, 3], 2)]


def test_metrics_of_training_go_on_without_inception(folder):
    system = system_of(folder)
    assert inception_scores(system) is None
    with pytest.raises(UserError, match="--inception_net_path FILE"):
        do(folder, "fid")


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
    system = system_of(folder, inception_net_path=weights, fid_n_samples=2, batch_size=2)
    first = inception_scores(system)
    assert first["images"] == 2 and first["fid"] > 0
    kept = list((folder / "runs" / ".features").glob("*.npy"))
    assert len(kept) == 1 and np.load(kept[0]).shape == (2, 2048)
    np.save(kept[0], np.load(kept[0]) + 1.0)
    moved = inception_scores(system)
    assert abs(moved["fid"] - first["fid"]) > 1.0  # so the file is what was used
    write_inception(weights, 1)
    inception_scores(system)
    assert len(list((folder / "runs" / ".features").glob("*.npy"))) == 2


def test_samples_are_measured_with_their_protocol(folder):
    weights = folder / "inception_of_the_task.safetensors"
    write_inception(weights, 2)
    options = {"inception_net_path": weights, "fid_n_samples": 2, "batch_size": 2}
    do(folder, "fid", **options)
    found = json.loads((results(folder, "fid") / "metrics.json").read_text())["measurements"]
    found = {measurement["metric"]: measurement for measurement in found}
    scores = inception_scores(system_of(folder, **options))
    assert found["fid"]["value"] == pytest.approx(scores["fid"], rel=1e-4)
    assert found["kid"]["value"] == pytest.approx(scores["kid"], rel=1e-4)
    assert found["fid"]["protocol"]["latents"] == "standard deviation 0.8, seed 0"
    assert found["fid"]["warnings"] and (results(folder, "fid") / "metrics.md").is_file()


def test_samples_of_fid_do_not_depend_on_batches(folder):
    weights = folder / "inception_of_batches.safetensors"
    write_inception(weights, 3)
    fakes = [
        sampled_features(system_of(folder, inception_net_path=weights, fid_n_samples=3, batch_size=size))[1]
        for size in (2, 3)
    ]
    # rounding to bytes may move by a grey level here and there; other noise moves features by far more
    assert np.abs(fakes[0] - fakes[1]).max() < 0.02 * fakes[0].std()


def test_bytes_are_clamped_and_cut():
    np.testing.assert_array_equal(to_bytes(np.array([-0.9, -0.5, 0.0, 0.4999, 0.5, 2.0])), [0, 0, 127, 254, 255, 255])
