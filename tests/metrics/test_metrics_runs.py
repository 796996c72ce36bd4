"""Runs of every system through ``eval.py --metrics``: what is compared with what, and when it is translated again."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from eval import main as evaluate
from src.gallery.page import read_page
from src.imaging.flow import read_flow
from src.metrics.similarity import psnr, ssim
from src.metrics.steadiness import squared_error
from src.scenes.drives import write_drives
from src.utils.errors import UserError
from tests.metrics.stand_ins import blocks, write_pictures, write_weights
from tests.saved_runs import save_run
from tests.tiny_runs import make_streets


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Streets, and two sets of pictures that share no size with the networks' samples."""
    folder = make_streets(tmp_path_factory.mktemp("data"), train=1, test=2)
    write_pictures(folder / "testA", {f"a{i}": blocks(i) for i in range(2)})
    write_pictures(folder / "testB", {f"b{i}": blocks(10 + i, tint=90) for i in range(3)})
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("weights"))


def command(name, metrics, data, preset=None, **options):
    options = {"data_root": data, "save_ckpt_dir": "runs", "device_target": "CPU", "mode": "pynative"} | options
    words = [f"--{key}={value}" for key, value in options.items()]
    preset_words = [f"--config_path=configs/{preset}"] if preset else []
    return [f"--name={name}", f"--metrics={metrics}", *preset_words, *words]


def measurements(folder):
    with open(folder / "metrics.json") as file:
        return {(m["output"], m["group"].split()[0], m["metric"]): m for m in json.load(file)["measurements"]}


def results(tmp_path, name):
    return tmp_path / "results" / "predict" / name / "test_1"


def test_a_paired_run(data, weights, tmp_path):
    """The true picture is the target; numbers of single pictures reach the gallery; nothing is done twice."""
    save_run(tmp_path / "runs", "pix2pixHD")
    evaluate(command("pix2pixHD", "ssim,psnr,lpips", data, metrics_size="[32,64]", **weights))
    folder = results(tmp_path, "pix2pixHD")
    found = measurements(folder)
    closeness = {metric: found["synthesized_image", "closeness", metric] for metric in ("ssim", "psnr", "lpips")}
    translated = {p.stem.removesuffix("_synthesized_image"): p for p in (folder / "images").iterdir()}
    for stem, path in translated.items():
        fake, real = (np.asarray(Image.open(p)) for p in (path, data / "test_img" / f"{stem}.png"))
        assert closeness["ssim"]["pictures"][stem] == pytest.approx(ssim(fake, real))
        assert closeness["psnr"]["pictures"][stem] == pytest.approx(psnr(fake, real))
    subject = closeness["ssim"]["subject"]
    assert (subject["checkpoint"], subject["phase"], subject["seed"]) == ("1", "test", 0)
    assert subject["data"]["resize_or_crop"] == "scale_width"
    numbers = {
        stem: entry["numbers"] for stem, entry in read_page(folder / "gallery" / "index.html")["results"].items()
    }
    for stem in translated:
        assert numbers[stem] == pytest.approx({m: closeness[m]["pictures"][stem] for m in closeness})


def test_a_run_on_drives(tmp_path):
    """The data set's optical flow is taken where it is, and every frame that follows another needs it."""
    save_run(tmp_path / "runs", "pix2pixHD")
    write_drives(tmp_path / "drives", "test", 2, 3, 64, 32)
    words = command("pix2pixHD", "warp_error", tmp_path / "drives")
    first = tmp_path / "drives" / "test_flow" / "drive_00000_0001.png"
    kept = first.rename(tmp_path / "kept.png")
    with pytest.raises(UserError, match=r"test_flow lacks the flow of 1 of 4 frames .*first: drive_00000_0001.png"):
        evaluate(words)
    assert not results(tmp_path, "pix2pixHD").exists()
    kept.rename(first)
    evaluate(words)
    found = measurements(results(tmp_path, "pix2pixHD"))
    made = found["synthesized_image", "steadiness", "warp_error"]
    floor = found["real images (floor)", "steadiness", "warp_error"]
    assert made["count"] == floor["count"] == 4 and "drives/test_flow" in made["protocol"]["flow"]
    translated = str(results(tmp_path, "pix2pixHD") / "images" / "drive_00001_000{}_synthesized_image.png")
    photo = str(tmp_path / "drives" / "test_img" / "drive_00001_000{}.png")
    fakes, reals = ([np.asarray(Image.open(name.format(t))) for t in (1, 2)] for name in (translated, photo))
    flow = read_flow(tmp_path / "drives" / "test_flow" / "drive_00001_0002.png")
    assert made["pictures"]["drive_00001_0002"] == pytest.approx(squared_error(*fakes, *flow))
    assert 0 < squared_error(*reals, *flow) < 0.01 and 0 < floor["value"] < 0.01


def translated_at(folder):
    return {p.name: p.stat().st_mtime_ns for p in (folder / "images").iterdir()}


def test_results_are_made_again_when_something_changed(data, tmp_path):
    save_run(tmp_path / "runs", "pix2pixHD")
    folder = results(tmp_path, "pix2pixHD")

    def run(**options):
        evaluate(command("pix2pixHD", options.pop("metrics", "psnr"), data, **options))
        return translated_at(folder)

    first = run()
    assert len(first) == 2  # all, although how_many is 50 unless it is given
    assert run(metrics="ssim", num_workers=1) == first
    next(iter((folder / "images").iterdir())).unlink()
    second = run()
    assert second.keys() == first.keys() and second != first
    os.utime(data / "test_label" / "scene_00000.png")
    third = run()
    assert third != second
    save_run(tmp_path / "runs" / "other", "pix2pixHD", seed=1)
    os.replace(tmp_path / "runs" / "other" / "pix2pixHD", tmp_path / "runs" / "newer")
    os.rename(tmp_path / "runs" / "pix2pixHD", tmp_path / "runs" / "older")
    os.rename(tmp_path / "runs" / "newer", tmp_path / "runs" / "pix2pixHD")
    assert run() != third
    # another checkpoint under the old name: both numbers stay
    with open(folder / "metrics.json") as file:
        kept = [m for m in json.load(file)["measurements"] if m["metric"] == "psnr"]
    assert len(kept) == 3 and len({m["subject"]["translation"] for m in kept}) == 3
    assert len(run(how_many=1)) == 1 and measurements(folder)["synthesized_image", "closeness", "psnr"]["count"] == 1


def test_an_unpaired_run(data, weights, tmp_path):
    """Content is compared with the source, the look with all pictures of the other side."""
    save_run(tmp_path / "runs", "cyclegan")
    options = {"resize_or_crop": "squash", "crop_width": 64, "crop_height": 48}
    evaluate(command("cyclegan", "ssim,kid", data, "cyclegan.yaml", direction="AtoB", **options, **weights))
    folder = results(tmp_path, "cyclegan")
    found = measurements(folder)
    assert found.keys() == {("fake_B", "content", "ssim"), ("fake_B", "realism", "kid")}
    content = found["fake_B", "content", "ssim"]
    for stem in ("a0", "a1"):
        fake = np.asarray(Image.open(folder / "images" / f"{stem}_fake_B.png"))
        assert content["pictures"][stem] == pytest.approx(ssim(fake, blocks(int(stem[1]))))
    protocol = found["fake_B", "realism", "kid"]["protocol"]
    assert (protocol["count_fake"], protocol["count_real"], protocol["size_real"]) == (2, 3, "64x48")
    # known before anything is translated again
    with pytest.raises(UserError, match="prdc_k 5 asks .* there are 2 measured and 3 real images"):
        evaluate(command("cyclegan", "prdc", data, "cyclegan.yaml", direction="AtoB", seed=1, **options, **weights))
    assert measurements(folder).keys() == found.keys()
    numbers = read_page(folder / "gallery" / "index.html")["results"]["a1"]["numbers"]
    assert numbers["ssim to source"] == content["pictures"]["a1"]
    evaluate(command("cyclegan", "ssim", data, "cyclegan.yaml", **options))
    both = {key for key in measurements(folder) if key[2] == "ssim"}
    assert both == {("fake_B", "content", "ssim"), ("fake_A", "content", "ssim")}


def test_pictures_that_come_with_styles(data, weights, tmp_path):
    save_run(tmp_path / "runs", "hierarchyflow")
    options = {"resize_or_crop": "squash", "crop_width": 48, "crop_height": 48}
    evaluate(command("hierarchyflow", "psnr", data, "hierarchyflow.yaml", **options))
    found = measurements(results(tmp_path, "hierarchyflow"))
    assert found["output", "content", "psnr"]["pictures"].keys() == {"a0_to_b0", "a1_to_b1"}


def test_styles_are_compared_with_all_images_that_have_them(data, weights, tmp_path):
    """Of a system that always takes a style: the set is that side of the data set, or another folder."""
    save_run(tmp_path / "runs", "hierarchyflow", resize_or_crop="squash", crop_width=48, crop_height=48)
    evaluate(command("hierarchyflow", "fid,kid", data, **weights))
    found = measurements(results(tmp_path, "hierarchyflow"))
    protocols = [found["output", "realism", metric]["protocol"] for metric in ("fid", "kid")]
    assert [(p["count_fake"], p["count_real"], p["size_real"]) for p in protocols] == [(2, 3, "48x48")] * 2
    # of images of the user's own there is no such side
    own = {"input": data / "testA", "style": data / "testB"} | weights
    with pytest.raises(UserError, match="kid, prdc compare with all images B: .*elsewhere.*; or pass --real FOLDER"):
        evaluate(command("hierarchyflow", "kid", "elsewhere", **own))
    evaluate(command("hierarchyflow", "kid", "elsewhere", real=data / "testB", **own))
    with pytest.raises(UserError, match="^command line: test_pairs False is not one of True$"):
        evaluate(command("hierarchyflow", "fid", data, test_pairs=False, **weights))


def test_samples_of_a_flow_are_measured_one_by_one(data, tmp_path):
    save_run(tmp_path / "runs", "fullglow")
    evaluate(command("fullglow", "psnr", data, "fullglow_streets.yaml", n_samples=2))
    found = measurements(results(tmp_path, "fullglow"))
    outputs = ("synthesized_image", "synthesized_image_2", "synthesized_image (2 samplings)")
    assert found.keys() == {(output, "closeness", "psnr") for output in outputs}
    first, second, both = (found[output, "closeness", "psnr"] for output in outputs)
    assert first["value"] != second["value"] and both["count"] == 4
    assert both["value"] == pytest.approx((first["value"] + second["value"]) / 2)
    assert both["spread"] == pytest.approx(abs(first["value"] - second["value"]) / 2**0.5)
    page = read_page(results(tmp_path, "fullglow") / "gallery" / "index.html")
    assert page["results"]["scene_00000"]["numbers"].keys() >= {"synthesized_image psnr", "synthesized_image_2 psnr"}
    # it would measure samples
    with pytest.raises(UserError, match="measures translations, not task reconstruct"):
        evaluate(command("fullglow", "psnr", data, "fullglow_streets.yaml", task="reconstruct"))


def test_pictures_to_pictures_have_a_source_too(data, tmp_path):
    for kind, start in (("A", 0), ("B", 10)):
        write_pictures(tmp_path / "pairs" / f"test_{kind}", {f"p{i}": blocks(start + i, 32, 64) for i in range(2)})
    save_run(tmp_path / "runs", "pictures")
    evaluate(command("pictures", "ssim", tmp_path / "pairs"))
    found = measurements(results(tmp_path, "pictures"))
    assert {key[1] for key in found} == {"closeness", "content"}


def test_reconstructions_of_hflow(data, tmp_path):
    write_pictures(tmp_path / "pictures", {f"p{i}": blocks(i) for i in range(3)})
    save_run(tmp_path / "runs", "hflow")
    evaluate(command("hflow", "psnr", tmp_path / "pictures", "hflow_tiny.yaml", held_out=2))
    assert measurements(results(tmp_path, "hflow"))["reconstructed_image", "closeness", "psnr"]["count"] == 2
    with pytest.raises(UserError, match="measures translations, not task fid"):
        evaluate(command("hflow", "psnr", tmp_path / "pictures", "hflow_tiny.yaml", task="fid"))


def test_label_maps_of_the_data_set_are_the_truth(data, tmp_path):
    save_run(tmp_path / "runs", "pix2pixHD")
    evaluate(command("pix2pixHD", "miou", data, segmenter=data / "test_label"))
    found = measurements(results(tmp_path, "pix2pixHD"))
    assert found["synthesized_image", "semantics", "miou"]["value"] == 1.0


def test_predictions_of_several_outputs_are_told_apart(data, tmp_path):
    """One with the name of the sample is of no output in particular, one of another output of none of them."""
    save_run(tmp_path / "runs", "fullglow")
    label = Image.open(data / "test_label" / "scene_00000.png")
    names = ["scene_00000", "scene_00000_synthesized_image_2"]
    write_pictures(tmp_path / "seen", {name: np.asarray(label) for name in names})
    options = {"segmenter": tmp_path / "seen", "how_many": 1}
    evaluate(command("fullglow", "miou", data, **options))
    assert measurements(results(tmp_path, "fullglow"))["synthesized_image", "semantics", "miou"]["value"] == 1.0
    with pytest.raises(UserError, match="lacks predictions for 1 of 1 image .*scene_00000_synthesized_image.png"):
        evaluate(command("fullglow", "miou", data, n_samples=2, **options))


def test_label_maps_that_are_not_there_are_missed_at_once(data, tmp_path):
    """Before anything is translated."""
    save_run(tmp_path / "runs", "cyclegan", resize_or_crop="squash", crop_width=64, crop_height=48)
    (tmp_path / "labels").mkdir()
    write_pictures(tmp_path / "labels", {"a0": np.zeros((48, 64), np.uint8)})
    options = {"segmenter": data / "testA", "direction": "AtoB"}
    with pytest.raises(UserError, match="no true label map for 2 of 2 images of fake_B"):
        evaluate(command("cyclegan", "miou", tmp_path / "unlabelled", input=data / "testA", **options))
    with pytest.raises(UserError, match="no true label map for 1 of 2 images of fake_B .first: a1"):
        evaluate(command("cyclegan", "miou", data, truth=tmp_path / "labels", **options))
    assert not (tmp_path / "results").exists()


def test_what_a_run_cannot_answer(data, weights, tmp_path):
    save_run(tmp_path / "runs", "pix2pixHD")
    with pytest.raises(UserError, match="--source goes with --fake"):
        evaluate(command("pix2pixHD", "ssim", data, source=data))
    with pytest.raises(UserError, match="inception_net_path is empty"):
        evaluate(command("pix2pixHD", "fid", data))
    assert not (tmp_path / "results").exists()  # nothing was translated for a number that cannot be had
    conditions = tmp_path / "conditions"
    for name in ("test_label", "test_inst"):
        write_pictures(conditions / name, {})
        for path in (data / name).iterdir():
            (conditions / name / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="psnr need images that are partners of the outputs, and the data set has none"):
        evaluate(command("pix2pixHD", "psnr", conditions))
    with pytest.raises(UserError, match="fid, kid need real images, and the data set has none: pass --real FOLDER"):
        evaluate(command("pix2pixHD", "fid,kid", conditions, **weights))
    assert not (tmp_path / "results").exists()
    evaluate(command("pix2pixHD", "kid", conditions, real=data / "test_img", **weights))
    found = measurements(results(tmp_path, "pix2pixHD"))["synthesized_image", "realism", "kid"]
    assert found["protocol"]["count_real"] == 2
