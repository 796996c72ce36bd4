"""How pictures become what Inception sees, what is kept of it, and networks that are fed one sample at a time."""

import threading

import numpy as np
import pytest
from mindspore import Tensor, ops

from src.dataset.batches import Batched, ahead
from src.metrics.features import FeatureStore, to_inception


def test_bilinear_is_what_the_network_does_itself():
    picture = np.random.default_rng(0).integers(0, 256, (40, 531, 3)).astype(np.uint8)
    image = Tensor(picture.transpose(2, 0, 1)[None].astype(np.float32))
    expected = ops.interpolate(image, size=(299, 299), mode="bilinear", align_corners=False).asnumpy()[0]
    np.testing.assert_allclose(to_inception(picture, "bilinear"), expected, atol=0.02)


@pytest.mark.parametrize("resizer", ["bilinear", "pillow"])
def test_flat_colours_and_ramps_stay_what_they_are(resizer):
    flat = np.full((20, 700, 3), (10, 128, 255), np.uint8)
    assert np.abs(to_inception(flat, resizer) - np.array([10, 128, 255])[:, None, None]).max() < 1e-3
    ramp = np.broadcast_to(np.arange(598, dtype=np.float64)[None, :, None] / 3, (598, 598, 3))
    resized = to_inception(np.rint(ramp).astype(np.uint8), resizer)[0, 150]
    np.testing.assert_allclose(resized[5:-5], ((np.arange(299) + 0.5) * 2 - 0.5)[5:-5] / 3, atol=0.5)


def test_pillow_averages_a_fine_pattern_that_bilinear_turns_into_another():
    pattern = np.indices((700, 700)).sum(0) % 2 * 255
    picture = np.repeat(pattern[:, :, None], 3, 2).astype(np.uint8)
    averaged, aliased = (to_inception(picture, resizer)[0, 20:-20, 20:-20] for resizer in ("pillow", "bilinear"))
    assert np.abs(averaged - 127.5).max() < 12 < aliased.std()


def test_kept_features_come_back_and_the_oldest_go(tmp_path, monkeypatch):
    folder = tmp_path / "runs" / ".features"
    store = FeatureStore(folder, "net")
    store.put(b"a" * 32, np.arange(4, dtype=np.float32))
    store.save()
    assert not folder.exists()  # nobody's folder is made for it
    folder.parent.mkdir()
    store.save()
    again = FeatureStore(folder, "net")
    np.testing.assert_array_equal(again.get(b"a" * 32), np.arange(4))
    assert again.get(b"b" * 32) is None
    monkeypatch.setattr("src.metrics.features._KEPT", 2)
    for letter in (b"b", b"c"):
        again.put(letter * 32, np.ones(4, np.float32))
    again.save()
    last = FeatureStore(folder, "net")
    assert last.get(b"a" * 32) is None and last.get(b"c" * 32) is not None
    (folder / "net.safetensors").write_bytes(b"damaged")
    assert FeatureStore(folder, "net").get(b"c" * 32) is None


def test_samples_of_any_shape_come_back_in_order():
    seen = []

    def double(batch):
        seen.append(batch.shape)
        return 2 * batch.sum(1)

    batched = Batched(double, lambda shape: 3)
    for i in range(7):
        batched.add(np.full(2 if i % 2 else 5, i))
    assert [int(value) for value in batched.results()] == [2 * i * (2 if i % 2 else 5) for i in range(7)]
    assert sorted(set(seen)) == [(3, 2), (3, 5)] and len(seen) == 3


def test_work_is_done_ahead_in_order_and_not_too_far():
    most, running = [0], []
    lock = threading.Lock()

    def work(i):
        with lock:
            running.append(i)
        return i * i

    for count, value in enumerate(ahead(work, range(50), 2)):
        assert value == count * count
        most[0] = max(most[0], len(running) - count)
    assert most[0] <= 8
    with pytest.raises(ZeroDivisionError):
        list(ahead(lambda i: 1 // (3 - i), range(9), 2))
