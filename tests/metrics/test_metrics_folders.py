"""Folders of pictures through ``eval.py --metrics``: numbers, pairs, protocols, and what is refused."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
from mindspore import Tensor
from PIL import Image

from eval import main as evaluate
from src.imaging.images import image_to_unit
from src.metrics.features import to_inception
from src.metrics.prdc import prdc
from src.metrics.similarity import psnr, ssim
from src.models.inception import load_inception
from src.models.lpips import load_lpips, load_vgg16_features
from src.utils.errors import UserError
from tests.metrics.stand_ins import blocks, write_pictures, write_vgg16, write_weights

STEMS = ("aachen_1", "aachen_10", "bonn_2")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def folders(tmp_path):
    real = {stem: blocks(i) for i, stem in enumerate(STEMS)}
    rng = np.random.default_rng(9)
    fake = {
        f"{s}_synthesized_image": (p * 0.7 + rng.integers(0, 60, p.shape)).astype(np.uint8) for s, p in real.items()
    }
    write_pictures(tmp_path / "real", real)
    write_pictures(tmp_path / "fake", fake)
    return {"real": real, "fake": fake}


def measure(metrics, **options):
    options = {"fake": "fake", "real": "real", "device_target": "CPU", "mode": "pynative"} | options
    words = [f"--{key}={value}" for key, value in options.items() if value is not None]
    assert evaluate([f"--metrics={metrics}", *words]) == 0
    return report()


def report(folder="results/predict/metrics"):
    with open(f"{folder}/metrics.json") as file:
        measurements = json.load(file)["measurements"]
    return {measured["metric"]: measured for measured in measurements}


def test_pictures_pair_with_the_name_they_begin_with(folders, capsys):
    found = measure("ssim,psnr")
    for name, function in (("ssim", ssim), ("psnr", psnr)):
        values = {
            f"{s}_synthesized_image": function(folders["real"][s], folders["fake"][f"{s}_synthesized_image"])
            for s in STEMS
        }
        assert found[name]["pictures"] == pytest.approx(values)
        assert found[name]["value"] == pytest.approx(np.mean(list(values.values())))
        assert found[name]["spread"] == pytest.approx(np.std(list(values.values())))
        assert found[name]["count"] == found[name]["protocol"]["count"] == 3
        assert found[name]["group"] == "closeness to the real image"
        assert found[name]["protocol"]["size"] == "64x48"
    printed = capsys.readouterr().out
    assert f"ssim {found['ssim']['value']:.4f}" in printed and "Gaussian window 11x11" in printed
    table = Path("results/predict/metrics/metrics.md").read_text()
    assert f"{found['psnr']['value']:.2f}" in table and "Gaussian window 11x11" in table


def test_the_source_is_another_question(folders, tmp_path):
    write_pictures(tmp_path / "source", {stem: blocks(i, tint=80) for i, stem in enumerate(STEMS)})
    measure("ssim", source="source")
    with open("results/predict/metrics/metrics.json") as file:
        both = json.load(file)["measurements"]
    assert [m["group"] for m in both] == ["closeness to the real image", "content kept from the source"]
    expected = [ssim(blocks(i, tint=80), folders["fake"][f"{s}_synthesized_image"]) for i, s in enumerate(STEMS)]
    assert both[1]["value"] == pytest.approx(np.mean(expected))


def test_partners_of_another_size_are_fitted_and_that_is_said(folders, tmp_path):
    large = {s: p.repeat(2, 0).repeat(2, 1) for s, p in folders["real"].items()}
    write_pictures(tmp_path / "large", large)
    found = measure("ssim", real="large")["ssim"]
    assert found["protocol"]["size_real"] == "128x96, resized to that of its partner (Pillow bicubic)"
    small = [np.asarray(Image.fromarray(large[s]).resize((64, 48), Image.Resampling.BICUBIC)) for s in STEMS]
    fakes = [folders["fake"][f"{s}_synthesized_image"] for s in STEMS]
    assert found["value"] == pytest.approx(np.mean([ssim(a, b) for a, b in zip(small, fakes, strict=True)]))
    assert (
        "128x96, resized to 32x24"
        in measure("ssim", real="large", metrics_size="[24,32]")["ssim"]["protocol"]["size_real"]
    )
    with pytest.raises(UserError, match="metrics_size .24, 0. should be two numbers"):
        measure("ssim", metrics_size="[24,0]")


def test_equal_names_in_different_folders_are_different_images(tmp_path):
    """Each is measured once, against the one of its own folder."""
    cities = ("aachen", "bonn", "ulm")
    for place, city in enumerate(cities):
        write_pictures(tmp_path / "real" / city, {"000": blocks(place)})
        write_pictures(tmp_path / "fake" / city, {"000": blocks(place, tint=20 * place + 20)})
    found = measure("psnr")["psnr"]
    expected = {f"{c}_000": psnr(blocks(i), blocks(i, tint=20 * i + 20)) for i, c in enumerate(cities)}
    assert found["pictures"] == pytest.approx(expected) and found["count"] == 3
    # of results, whose names are flat
    write_pictures(tmp_path / "flat", {f"{c}_000_fake_B": blocks(i, tint=20 * i + 20) for i, c in enumerate(cities)})
    found = measure("psnr", fake="flat")["psnr"]
    assert found["pictures"] == pytest.approx({f"{name}_fake_B": value for name, value in expected.items()})


def test_equal_pictures_are_infinitely_close(folders):
    found = measure("psnr,ssim", fake="real")
    assert found["psnr"]["value"] == "inf" and found["ssim"]["value"] == pytest.approx(1.0)
    assert "identical to the partner: 3 of 3 images" in found["psnr"]["warnings"][0]
    assert math.isinf(float(found["psnr"]["pictures"]["bonn_2"]))


def published_fid(a, b):
    root = scipy.linalg.sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)).real
    difference = a.mean(0) - b.mean(0)
    return difference @ difference + np.trace(np.cov(a, rowvar=False) + np.cov(b, rowvar=False) - 2 * root)


@pytest.mark.filterwarnings("ignore::scipy.linalg.LinAlgWarning")
def test_sets_and_features(folders, weights, tmp_path, monkeypatch):
    """FID and KID of features that are computed here one by one; the second time none is computed."""
    (tmp_path / "checkpoints").mkdir()
    found = measure("fid,kid,lpips,prdc", **weights, prdc_k=1)
    network = load_inception(weights["inception_net_path"])

    def features(pictures):
        images = np.stack([to_inception(picture, "pillow") for picture in pictures.values()])
        return network(Tensor(images)).asnumpy().astype(np.float64)

    real, fake = features(folders["real"]), features(folders["fake"])
    # the product of two covariances of rank 2 has a root of four numbers, but its matrix has four million
    basis = np.linalg.qr(
        np.concatenate([real - real.mean(0), fake - fake.mean(0), (real.mean(0) - fake.mean(0))[None]]).T
    )[0]
    assert found["fid"]["value"] == pytest.approx(published_fid(real @ basis, fake @ basis), rel=1e-3)
    kernel = [[((x @ y.T) / 2048 + 1) ** 3 for y in (real, fake)] for x in (real, fake)]
    off = [(k.sum() - np.trace(k)) / 6 for k in (kernel[0][0], kernel[1][1])]
    assert found["kid"]["value"] == pytest.approx(sum(off) - 2 * kernel[0][1].mean(), rel=1e-3)
    assert "fewer than the 2048 features" in found["fid"]["warnings"][0]
    assert "no standard deviation over subsets" in found["kid"]["warnings"][0] and found["kid"]["spread"] is None
    for name, value in prdc(real, fake, 1).items():
        assert found[name]["value"] == pytest.approx(value)
    assert found["coverage"]["protocol"]["k"] == 1
    assert found["coverage"]["protocol"]["expected_of_equal_sets"] == f"{1 - 2 / 5:.4f}"
    protocol = found["fid"]["protocol"]
    assert protocol["count_real"] == protocol["count_fake"] == 3 and len(protocol["weights_sha256"]) == 64
    assert "Pillow bicubic with anti-aliasing" in protocol["resizer"]

    distance = load_lpips(str(weights["lpips_weights"]), str(weights["lpips_backbone"]))
    for stem in STEMS:
        pair = folders["fake"][f"{stem}_synthesized_image"], folders["real"][stem]
        alone = distance(*(Tensor(image_to_unit(x)[None]) for x in pair)).asnumpy()[0]
        assert found["lpips"]["pictures"][f"{stem}_synthesized_image"] == pytest.approx(alone, rel=1e-4)
    assert found["lpips"]["protocol"]["backbone_sha256"]

    monkeypatch.setattr("src.metrics.features.Inception.features", pytest.fail)
    again = measure("fid", **weights)
    assert again["fid"]["value"] == found["fid"]["value"]


def test_sets_by_the_features_of_vgg16(folders, weights, tmp_path, monkeypatch):
    """Images keep their size; features are kept beside the runs, and the second time none is computed."""
    (tmp_path / "checkpoints").mkdir()
    file = write_vgg16(tmp_path)
    found = measure("kid", vgg16_net_path=file, inception_net_path=weights["inception_net_path"])["kid"]
    network = load_vgg16_features(str(file))
    real, fake = (
        np.concatenate([network(Tensor(image_to_unit(picture)[None])).asnumpy() for picture in pictures.values()])
        for pictures in (folders["real"], folders["fake"])
    )
    kernel = [[((x @ y.T) / 1472 + 1) ** 3 for y in (real, fake)] for x in (real, fake)]
    off = [(k.sum() - np.trace(k)) / 6 for k in (kernel[0][0], kernel[1][1])]
    assert found["value"] == pytest.approx(sum(off) - 2 * kernel[0][1].mean(), rel=1e-3)
    assert found["protocol"]["resizer"] == "none" and "VGG16" in found["protocol"]["feature_net"]
    assert "x.y / 1472 + 1" in found["protocol"]["variant"] and found["protocol"]["weights"] == file.name
    monkeypatch.setattr("src.metrics.features.VGG16.features", pytest.fail)
    assert measure("kid", vgg16_net_path=file)["kid"]["value"] == found["value"]
    with pytest.raises(UserError, match="VGG16 needs sides of at least 32, and there is an image of 30x40"):
        measure("kid", vgg16_net_path=file, metrics_size="[40,30]")


def test_other_protocols_stay_and_the_same_is_replaced(folders):
    measure("ssim")
    measure("ssim", metrics_size="[24,32]")
    measure("ssim")
    with open("results/predict/metrics/metrics.json") as file:
        kept = [m["protocol"]["size"] for m in json.load(file)["measurements"]]
    assert kept == ["64x48, resized to 32x24 (Pillow bicubic)", "64x48"]
    Path("results/predict/metrics/metrics.json").write_text('{"format": 1, "measure')
    measure("ssim")
    assert len(list(Path("results/predict/metrics").glob("metrics.json.unreadable-*"))) == 1


def test_names_that_do_not_pair(folders, tmp_path, weights):
    write_pictures(tmp_path / "others", {f"other{i}": blocks(i, tint=30) for i in range(4)})
    with pytest.raises(UserError, match="ssim compare each image with its partner.*measure fid, kid, prdc only"):
        measure("ssim,kid", real="others", **weights)
    (tmp_path / "real" / "bonn_2.png").unlink()
    with pytest.raises(UserError, match="lacks the partners of 1 of 3 images.*bonn_2_synthesized_image.png"):
        measure("ssim")
    with pytest.raises(UserError, match="fid, kid, prdc compare with real images: pass --real"):
        measure("fid", real=None, source="others", **weights)
    with pytest.raises(UserError, match="there are 3 measured and 4 real images: add images, or pass --prdc_k 2"):
        measure("prdc", real="others", **weights)
    with pytest.raises(UserError, match="pass --real FOLDER .or --source FOLDER."):
        measure("ssim", real=None)
    with pytest.raises(UserError, match="folder nowhere does not exist"):
        measure("ssim", real="nowhere")


def test_unpaired_sets_have_sizes_and_counts_of_their_own(folders, tmp_path, weights):
    write_pictures(tmp_path / "others", {f"other{i}": blocks(i, 32, 40, tint=30) for i in range(4)})
    found = measure("kid", real="others", **weights)["kid"]["protocol"]
    assert (found["count_fake"], found["count_real"]) == (3, 4)
    assert (found["size"], found["size_real"]) == ("64x48", "40x32")


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ("ssim,pnsr", "pnsr is not one of fid, kid, lpips, miou, prdc, psnr, ssim, warp_error; did you mean psnr"),
        (",", "names none of fid"),
        ("fid", "inception_net_path is empty: FID, KID and prdc need the Inception weights"),
        ("lpips", "LPIPS needs two files: --lpips_weights alex.pth"),
        ("miou", "pass --segmenter FOLDER"),
    ],
)
def test_nothing_is_invented(folders, metrics, message, tmp_path):
    with pytest.raises(UserError, match=message):
        measure(metrics)
    assert not (tmp_path / "results").exists()


def test_fake_without_metrics_says_what_is_missing(folders):
    with pytest.raises(UserError, match="add --metrics"):
        evaluate(["--fake=fake", "--real=real"])
