"""Translating with pix2pixHD: styles, the encoder's width, sizes, norms, and what belongs to a run with features."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from src.models.layers import norm_layer
from src.models.parameters import load_arrays, named_parameters, state_arrays
from src.systems.pix2pixhd.clusters import FeatureClusters
from src.systems.pix2pixhd.system import Pix2PixHD
from src.systems.programs import load_config
from src.utils.errors import UserError
from src.utils.runtime import Device
from tests.systems.pix2pixhd.tiny_pix2pixhd import batch_of, mean_model, one_step, system_of


def test_translation_with_features_encodes_or_samples():
    system = system_of("--instance_feat", training=False)
    batch = batch_of(system, n=2)
    with pytest.raises(UserError, match=r"needs the clusters .* --use_encoded_image True"):
        system.translate(batch)
    system.clusters = FeatureClusters(np.array([[k, 0.2 * k, 0.0, -0.2 * k] for k in range(5)]))
    sampled = system.translate(batch, seed=1)["synthesized_image"]
    np.testing.assert_array_equal(system.translate(batch, seed=1)["synthesized_image"], sampled)
    # a sample's style follows its id, whatever it is batched with
    alone = {name: array[1:] for name, array in batch.items()}
    np.testing.assert_allclose(system.translate(alone, seed=1)["synthesized_image"], sampled[1:], atol=1e-5)
    system.uses_encoded_image = True
    system.clusters = None
    encoded = system.translate(batch)["synthesized_image"]
    features = system.encode_image(batch["image"], batch["inst"])
    want = mean_model(system.networks["E"](Tensor(batch["image"])).asnumpy(), batch["inst"])
    np.testing.assert_allclose(features, want, atol=1e-5)
    given = system.translate(batch | {"feat": features})["synthesized_image"]
    np.testing.assert_allclose(encoded, given, atol=1e-5)
    del system.networks["E"]
    with pytest.raises(UserError, match="this checkpoint has no encoder"):
        system.translate(batch)


def test_the_encoder_sees_the_width_it_was_trained_at():
    system = system_of("--instance_feat", "--use_encoded_image", training=False)
    batch = batch_of(system, height=32, width=64)
    large = {name: a.repeat(2, 2).repeat(2, 3) if a.ndim == 4 else a for name, a in batch.items()}
    means = system.encode_means(batch)
    assert np.abs(system.encode_means(large) - means).max() > 1e-3
    system.config = system.config.replace(encode_load_size=64)
    np.testing.assert_allclose(system.encode_means(large), means, atol=1e-5)
    assert means.shape == (1, 8, 3)


@pytest.mark.parametrize("pretrained, width", [(("scale_width", 512), 512), (("none", 512), 0)])
def test_runs_with_precomputed_features_remember_the_width_of_the_encoder(pretrained, width):
    config = load_config(["--instance_feat", "--load_features"])
    earlier = {"resize_or_crop": pretrained[0], "load_size": pretrained[1]}
    complete = Pix2PixHD.companions.complete
    completed = complete(config, None, earlier)
    assert completed.encode_load_size == width
    assert complete(config, completed.to_dict(), None).encode_load_size == width
    assert complete(load_config([]), None, earlier).encode_load_size == 0
    with pytest.raises(UserError, match="the options of the earlier run: encode_load_size"):
        complete(config, {"encode_load_size": "wide"}, None)


def test_a_run_with_precomputed_features_keeps_the_encoder_untrained():
    donor = system_of("--instance_feat")
    system = system_of("--instance_feat", "--load_features")
    assert set(system.networks) == {"G", "D"}
    system.companions.adopt(system, {"E": state_arrays(donor.networks["E"])}, donor.config.to_dict())
    assert set(system.networks) == {"G", "D", "E"} and not system.trainable("E")
    objective = system.objective((16, 32))
    assert not [name for name in objective.groups(1)[0].parameters if name.startswith("E.")]
    assert system.stride == 4 and system.request(system.config, True).feature_channels == 3
    # the generator is trained on the precomputed features, not on those of the encoder that is kept
    gradients, batch = objective.gradients(objective.groups(1)), batch_of(system)

    def fake(batch):
        return gradients(Tensor(1.0, ms.float32), *map(Tensor, objective.inputs(batch)))[2][0].asnumpy()

    assert np.abs(fake(batch | {"feat": -batch["feat"]}) - fake(batch)).max() > 1e-3
    np.testing.assert_array_equal(fake(batch | {"image": -batch["image"]}), fake(batch))


# -- sizes and norms -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("height, width", [(1, 1), (1, 17), (5, 2), (9, 13)])
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--n_downsample_global", "1", "--n_blocks_global", "0"),
        ("--netG", "local"),
        ("--netG", "local", "--n_local_enhancers", "2", "--n_downsample_global", "1"),
        ("--instance_feat", "--use_encoded_image", "--n_downsample_E", "1"),
        ("--instance_feat", "--use_encoded_image", "--n_downsample_E", "4"),
        ("--instance_feat", "--use_encoded_image", "--n_downsample_E", "1", "--encode_load_size", "4"),
    ],
)
def test_images_of_any_size_are_translated(tmp_path, options, height, width):
    system = system_of(*options, training=False)
    model = system.model_class()(system, system.config, tmp_path, "1", Device("CPU"))
    batch = {name: a[:, :, :height, :width] if a.ndim == 4 else a for name, a in batch_of(system).items()}
    made = model.run(batch)["synthesized_image"]
    assert made.shape == (1, 3, height, width) and np.isfinite(made).all()


def batch_norm_model(x, gamma, beta):
    mean, variance = (f(x.astype(np.float64), (0, 2, 3), keepdims=True) for f in (np.mean, np.var))
    return (x - mean) / np.sqrt(variance + 1e-5) * gamma.reshape(1, -1, 1, 1) + beta.reshape(1, -1, 1, 1)


def test_batch_statistics_against_a_model(mode):
    rng = np.random.default_rng(0)
    x = (3 + 2 * rng.standard_normal((2, 4, 5, 6))).astype(np.float32)
    norm = norm_layer("batch_statistics", 4)
    arrays = {name: rng.uniform(0.5, 2, 4).astype(np.float32) for name in named_parameters(norm)}
    load_arrays(norm, arrays)
    assert arrays.keys() == named_parameters(nn.BatchNorm2d(4)).keys()
    for training in (False, True):
        norm.set_train(training)
        got = norm(Tensor(x)).asnumpy()
        np.testing.assert_allclose(got, batch_norm_model(x, arrays["gamma"], arrays["beta"]), atol=1e-5)
    # looking at a batch changes nothing
    assert all((state_arrays(norm)[name] == array).all() for name, array in arrays.items())
    assert norm(Tensor(x).astype(ms.float16)).dtype == ms.float16


@pytest.mark.parametrize("batch_statistics", [True, False])
def test_evaluation_normalises_by_the_batch_as_published_or_by_running_statistics(batch_statistics):
    trained = system_of("--norm", "batch")
    trained.set_train(True)
    batch = batch_of(trained)
    one_step(trained, batch)
    weights = state_arrays(trained.networks["G"])
    # what the published code computes: the network as it is in training
    published = trained.translate(batch)["synthesized_image"]
    system = system_of("--norm", "batch", "--batch_statistics", str(batch_statistics), training=False)
    load_arrays(system.networks["G"], weights)
    system.set_train(False)
    got = system.translate(batch)["synthesized_image"]
    assert (np.abs(got - published).max() < 1e-4) == batch_statistics
    np.testing.assert_array_equal(system.translate(batch)["synthesized_image"], got)
