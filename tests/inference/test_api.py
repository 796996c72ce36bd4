"""Every system from Python: numpy and PIL in and out, one, lists and stacks, any size, and clear refusals."""

import numpy as np
import pytest
from PIL import Image

from eval import main as evaluate
from src import load
from src.imaging.images import read_image, read_instances, read_labels
from src.runs.checkpoint_reader import CheckpointReader
from src.runs.checkpoints import CheckpointStore, Position
from src.utils.errors import UserError
from tests.saved_runs import save_clusters, save_run
from tests.tiny_runs import make_streets

_RNG = np.random.default_rng(1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A function from a run's name to its folder, each written once."""
    folder = tmp_path_factory.mktemp("runs")
    return lambda name: folder / name if (folder / name).is_dir() else save_run(folder, name)


def opened(run, **options):
    return load(run, device_target="CPU", mode="pynative", **options)


def noise(height, width, channels=3):
    return _RNG.integers(0, 256, (height, width, channels)).astype(np.uint8)


def street(height, width):
    """A label map with its instance map."""
    label = np.full((height, width), 7, np.int32)
    label[: height // 2] = 23
    inst = label.copy()
    label[height // 2 :, 3:9] = label[height // 2 :, 12:20] = 26
    inst[height // 2 :, 3:9], inst[height // 2 :, 12:20] = 26000, 26001
    return label, inst


# -- pix2pixHD -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def feat(runs):
    folder = runs("feat")
    save_clusters(folder)
    return folder


def test_pictures_are_those_of_the_evaluation(feat, tmp_path):
    """The same labels, instances and seed give, to the last bit, what eval.py writes."""
    root = make_streets(tmp_path / "data", train=1, test=2)
    words = [f"--load_ckpt={feat}", "--name=feat", f"--data_root={root}", "--predict_dir=results", "--seed=4"]
    assert evaluate([*words, "--device_target=CPU", "--mode=pynative"]) == 0
    stems = ["scene_00000", "scene_00001"]
    labels = [read_labels(root / "test_label" / f"{stem}.png") for stem in stems]
    instances = [read_instances(root / "test_inst" / f"{stem}.png") for stem in stems]
    model = opened(feat)
    made = model.translate(labels, instances, seed=4)
    for stem, picture in zip(stems, made, strict=True):
        written = read_image(tmp_path / "results" / "feat" / "test_1" / "images" / f"{stem}_synthesized_image.png")
        np.testing.assert_array_equal(picture, written)
    # together as one by one
    stacked = model.translate(np.stack(labels), np.stack(instances), seed=4, batch_size=2)
    assert stacked.shape == (2, 32, 64, 3) and np.abs(stacked.astype(int) - np.stack(made)).max() <= 1


def test_styles_change_their_instance(feat):
    model = opened(feat)
    label, inst = street(24, 28)
    plain = model.translate(label, inst, seed=3)
    assert plain.shape == (24, 28, 3) and plain.dtype == np.uint8
    styles = model.styles(26)
    assert styles.shape == (3, 3) and model.styles(9).shape == (0, 3)
    by_number = model.translate(label, inst, {26001: 2, 26000: 0}, output="float")
    by_value = model.translate(label, inst, {26001: styles[2], 26000: styles[0].tolist()}, output="float")
    np.testing.assert_array_equal(by_number, by_value)
    other = model.translate(label, inst, {26001: 1, 26000: 0}, output="float")
    assert np.abs(other - by_number).max() > 1e-4
    for wrong, message in (
        ({26001: 3}, "class 26 has 3 clusters"),
        ({26001: [0.5, 0.5]}, "3 numbers"),
        ({26001: [np.nan] * 3}, "3 numbers"),
        ({99: 0}, "instance 99"),
    ):
        with pytest.raises(UserError, match=message):
            model.translate(label, inst, wrong)


def test_encoded_styles_reproduce_the_encoded_picture(feat):
    model = opened(feat)
    label, inst = street(32, 64)
    photo = noise(32, 64)
    styles = model.encode(photo, label, inst)
    assert styles.keys() == {7, 23, 26000, 26001} and all(s.shape == (3,) for s in styles.values())
    batch = {"label": label[None, None], "inst": np.unique(inst, return_inverse=True)[1].reshape(1, 1, 32, 64)}
    batch = {name: array.astype(np.int32) for name, array in batch.items()}
    batch["image"] = (photo.transpose(2, 0, 1)[None] / np.float32(127.5) - 1).astype(np.float32)
    encoding = opened(feat, use_encoded_image=True)
    wanted = encoding.system.translate(batch)["synthesized_image"][0].transpose(1, 2, 0)
    got = model.translate(label, inst, styles, output="float")
    np.testing.assert_allclose(got, wanted, atol=1e-5)
    assert isinstance(model.encode([photo], [label], [inst]), list)


def test_forms_of_pictures(runs):
    """PIL stays PIL, lists may mix types and sizes, numpy of one size stays an array."""
    model = opened(runs("pictures"))
    small, large = noise(9, 13), noise(12, 16)
    one = model.translate(small)
    assert one.shape == small.shape
    image = model.translate(Image.fromarray(small))
    assert isinstance(image, Image.Image) and image.size == (13, 9)
    np.testing.assert_array_equal(np.asarray(image), one)
    mixed = model.translate([Image.fromarray(large).convert("RGBA"), small, large], batch_size=2)
    assert [isinstance(m, Image.Image) for m in mixed] == [True, False, False]
    np.testing.assert_array_equal(mixed[1], one)
    np.testing.assert_allclose(np.asarray(mixed[0]), mixed[2], atol=1)
    assert model.translate(np.stack([small, small])).shape == (2, 9, 13, 3)
    assert model.translate(small, output="pil").size == (13, 9)
    floats = model.translate(small.astype(np.float32) / 127.5 - 1, output="float")
    assert floats.dtype == np.float32 and np.abs((floats + 1) * 127.5 - one).max() <= 0.51
    for wrong, message in (
        (small[:, :, :2], r"takes \(H, W, 3\)"),
        (small.astype(np.float32), r"in \[-1, 1\]"),
        (small.astype(np.int64), "of type int64"),
        ([], "is empty"),
        ("cat.png", "not str"),
        (np.zeros((0, 4, 3), np.uint8), "0 pixels"),
        (Image.fromarray(np.zeros((4, 4), np.int32)), "mode I"),
    ):
        with pytest.raises(UserError, match=message):
            model.translate(wrong)
    with pytest.raises(UserError, match="output jpeg"):
        model.translate(small, output="jpeg")
    with pytest.raises(UserError, match="pix2pixHD has no sample: it has translate$"):
        model.sample()


def test_label_maps_are_checked(runs, feat):
    model = opened(runs("pix2pixHD"))
    label, inst = street(24, 28)
    assert model.translate(Image.fromarray(label.astype(np.uint8)), inst).size == (28, 24)
    for arguments, message in (
        ((label,), "needs instance maps"),
        ((np.full_like(label, 35), inst), "holds 35"),
        ((label - 8, inst), "holds -1"),
        ((label, inst[1:]), "shape"),
        ((label, inst, {7: 0}), "without features"),
        ((label.astype(np.float32), inst), "of integers"),
        ((Image.fromarray(noise(4, 4)), inst), "mode RGB"),
        (([label, label, label], [inst, inst]), "2 maps for 3"),
        ((np.arange(24 * 28).reshape(24, 28) % 30, np.arange(24 * 28).reshape(24, 28)), "max_instances=1024"),
    ):
        with pytest.raises(UserError, match=message):
            model.translate(*arguments)
    with pytest.raises(UserError, match="has no encode"):
        model.encode(label, label, inst)
    no_clusters = opened(feat, cluster_path="nowhere.npy")
    with pytest.raises(UserError, match="no clusters"):
        no_clusters.translate(label, inst)
    assert no_clusters.translate(label, inst, dict.fromkeys((7, 23, 26000, 26001), [0, 0.5, -1])).shape == (24, 28, 3)


def test_styles_of_classes(runs):
    folder = runs("label_feat")
    save_clusters(folder)
    model = opened(folder)
    label, _ = street(24, 28)
    encoded = model.encode(noise(24, 28), label)
    assert encoded.keys() == {7, 23, 26}
    assert model.translate(label, styles={26: 1}).shape == (24, 28, 3)
    with pytest.raises(UserError, match="without instance maps"):
        model.translate(label, label)


# -- unpaired --------------------------------------------------------------------------------------------------


def test_cyclegan(runs):
    folder = runs("cyclegan")
    model = opened(folder)
    assert model.directions == ("A2B", "B2A")
    picture = noise(18, 27)
    there, back = model.translate(picture), model.translate(picture, direction="B2A")
    assert there.shape == back.shape == (18, 27, 3) and np.abs(there.astype(int) - back).max() > 0
    np.testing.assert_array_equal(model.translate(picture, direction="AtoB"), there)
    with pytest.raises(UserError, match="direction C2A"):
        model.translate(picture, direction="C2A")
    half = CheckpointReader(folder).load()
    one_way = folder.parent / "one_way"
    CheckpointStore(one_way).save(Position(1), {"G_BA": half.networks["G_BA"]}, {}, half.config, "cyclegan")
    model = opened(one_way)
    assert model.directions == ("B2A",)
    np.testing.assert_array_equal(model.translate(picture), back)
    with pytest.raises(UserError, match="direction A2B"):
        model.translate(picture, direction="A2B")


def test_cut(runs):
    model = opened(runs("cut"))
    pictures = [noise(18, 27), noise(1, 9)]
    made = model.translate(pictures, batch_size=2)
    assert [image.shape for image in made] == [image.shape for image in pictures]
    np.testing.assert_array_equal(model.translate(pictures[0]), made[0])
    assert np.abs(made[0].astype(int) - pictures[0]).max() > 0


def test_hierarchyflow(runs):
    model = opened(runs("hierarchyflow"))
    content, style = noise(18, 27), Image.fromarray(noise(12, 12))
    made = model.translate([content, content], style)
    assert made[0].shape == content.shape
    np.testing.assert_array_equal(made[0], made[1])
    other = model.translate(content, noise(12, 12))
    assert np.abs(other.astype(int) - made[0]).max() > 0
    # smaller than what mirroring its border needs
    assert model.translate(noise(1, 9), style).shape == (1, 9, 3)
    with pytest.raises(UserError, match="2 styles for 3"):
        model.translate([content] * 3, [style] * 2)


# -- flows -----------------------------------------------------------------------------------------------------


def test_conditional_flow_samples_as_its_system_does(runs):
    model = opened(runs("fullglow"))
    assert model.size == (20, 40) and model.label_nc == 35
    label, _ = street(20, 40)
    batch = {"condition": model._samples(label, None)[0][0]["condition"][None], "id": np.array([0])}
    wanted = model.system.sample(batch, 0.5, seed=9, index=1)[0].transpose(1, 2, 0)
    got = model.sample(label, 0.5, seed=9, n=2, output="float")
    assert got.shape == (2, 20, 40, 3)
    np.testing.assert_allclose(got[1], wanted, atol=1e-6)
    # one temperature and seed for each level; the mode does not depend on the seed
    assert len(model.latent_shapes) == 2
    mode = model.sample(label, [0.0, 0.0], seed=1, output="float")
    np.testing.assert_array_equal(mode, model.sample(label, 0, seed=2, output="float"))
    coarse = model.sample(label, [0.0, 0.8], seed=[1, 7], output="float")
    np.testing.assert_array_equal(coarse, model.sample(label, [0.0, 0.8], seed=[2, 7], output="float"))
    assert np.abs(coarse - model.sample(label, [0.0, 0.8], seed=[1, 8], output="float")).max() > 1e-4
    resized = model.translate(np.repeat(np.repeat(label, 2, 0), 2, 1))
    assert resized.shape == (20, 40, 3)
    for options, message in (
        ({"temperature": -1}, "below zero"),
        ({"temperature": [1, 1, 1]}, "3 temperatures"),
        ({"seed": -1}, "seed -1"),
        ({"n": 0}, "n 0"),
        ({"instances": label}, "without boundary maps"),
    ):
        with pytest.raises(UserError, match=message):
            model.sample(label, **options)


@pytest.mark.parametrize("name", ["fullglow_bmaps", "cglow", "dualglow"])
def test_conditional_flow_goes_there_and_back(runs, name):
    model = opened(runs(name))
    label, inst = street(*model.size)
    more = {"instances": inst} if name == "fullglow_bmaps" else {}
    photo = noise(*model.size)
    latents = model.encode(photo, label, **more)
    assert [z.shape[1:] for z in latents] == model.latent_shapes
    again = model.decode(latents, label, **more)
    assert np.abs(again.astype(int) - photo).max() <= 1
    assert model.sample([label, label], **more)[0].shape == (*model.size, 3)
    kept = model.resample(photo, label, [], **more)
    assert np.abs(kept.astype(int) - photo).max() <= 1
    redrawn = model.resample(photo, label, [0], seed=3, **more)
    assert np.abs(redrawn.astype(int) - photo).max() > 1
    with pytest.raises(UserError, match="level 7"):
        model.resample(photo, label, [7], **more)
    with pytest.raises(UserError, match="2 images for 1"):
        model.decode([np.repeat(z, 2, 0) for z in latents], label, **more)
    for wrong in (latents[:-1], [0.0], [z[:, :1] for z in latents]):
        with pytest.raises(UserError, match="do not fit"):
            model.decode(wrong, label, **more)
    if more:
        with pytest.raises(UserError, match="boundary maps"):
            model.sample(label)


def test_hflow(runs):
    folder = runs("hflow")
    model = opened(folder / "latest_net_F_ema.safetensors")
    assert model.resolution == 32
    samples = model.sample(2, std=0.5, seed=3)
    assert samples.shape == (2, 32, 32, 3) and samples.dtype == np.uint8
    # sums of another batch size may round otherwise
    assert np.abs(model.sample(1, std=0.5, seed=3)[0].astype(int) - samples[0]).max() <= 1
    assert np.abs(samples[1].astype(int) - samples[0]).max() > 1
    photo = Image.fromarray(noise(4, 6)).resize((48, 32), Image.Resampling.BILINEAR)
    latents = model.encode([photo, np.asarray(photo)], batch_size=2)
    assert [z.shape[1:] for z in latents] == model.latent_shapes
    np.testing.assert_array_equal(latents[0][0], latents[0][1])
    back = model.decode(latents, output="pil")
    squashed = np.asarray(photo.resize((32, 32), Image.Resampling.LANCZOS)).astype(int)
    assert len(back) == 2 and np.abs(np.asarray(back[1]) - squashed).max() <= 1
    for call, message in (
        (lambda: model.translate(photo), "hflow has no translate"),
        (lambda: model.sample(0), "n 0"),
        (lambda: model.sample(1, std=-1), "below zero"),
        (lambda: model.sample(1, std=[1, 1]), "2 standard deviations"),
        (lambda: model.decode(latents[:2]), "2 latents"),
        (lambda: model.encode(photo, fit="stretch"), "fit stretch"),
    ):
        with pytest.raises(UserError, match=message):
            call()


# -- loading ---------------------------------------------------------------------------------------------------


def test_what_load_takes(runs):
    folder = runs("fullglow")
    assert opened(folder / "1_net_glow.safetensors").tag == "1"
    assert opened(folder, which_epoch=1, temp=0.1).config.temp == 0.1
    for path, options, message in (
        (folder.parent / "fulglow", {}, "there is no run .*fulglow; did you mean fullglow"),
        (folder / "manifest.json", {}, "not a checkpoint file"),
        (folder, {"which_epoch": 7}, "no checkpoint '7'"),
        (folder, {"tempp": 0.1}, "did you mean temp"),
        (folder, {"temp": "hot"}, "temp hot is not a number"),
        (folder, {"n_block": 3}, "contradicts"),
        (folder, {"seed": -1}, "out of range"),
        (folder, {"precision": "fp16"}, "fp32"),
    ):
        with pytest.raises(UserError, match=message):
            opened(path, **options)


def test_a_size_is_compiled_once(runs):
    """In graph mode the second picture of a size finds its graph, and pads to a stride share one."""
    model = load(runs("pictures"), device_target="CPU")
    try:
        model.translate(noise(12, 16))
        compiled = len(model.system._generate.compile_cache)
        model.translate([noise(12, 16), noise(11, 15), noise(9, 13)])
        assert len(model.system._generate.compile_cache) == compiled == 1
        model.translate(noise(16, 16))
        assert len(model.system._generate.compile_cache) == 2
    finally:
        load(runs("pictures"), device_target="CPU", mode="pynative")
