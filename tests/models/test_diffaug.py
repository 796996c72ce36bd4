"""DiffAugment: the published policies in NumPy, in both modes, with gradients, draws and what is refused."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from src.models.diffaug import POLICIES, DiffAugment, draw_augmentation, policies_of
from src.utils.errors import UserError

SIZE = (10, 13)


def published(image, draw, policies, channels):
    """One image (C, H, W) as the published code changes it, in float64, pixel by pixel."""
    brightness, saturation, contrast, down, right, row, column = draw.astype(np.float64)
    image = image.astype(np.float64)
    (_, height, width), picture = image.shape, image[-channels:]
    for policy in policies:
        if policy == "color":
            picture = picture + brightness
            picture = (picture - picture.mean(0)) * saturation + picture.mean(0)
            picture = (picture - picture.mean()) * contrast + picture.mean()
            image = np.concatenate([image[:-channels], picture])
        elif policy == "translation":
            padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
            rows = np.clip(np.arange(height) + int(down) + 1, 0, height + 1)
            columns = np.clip(np.arange(width) + int(right) + 1, 0, width + 1)
            image = padded[:, rows][:, :, columns]
        else:
            sides = int(height * 0.5 + 0.5), int(width * 0.5 + 0.5)
            rows = np.clip(np.arange(sides[0]) + int(row) - sides[0] // 2, 0, height - 1)
            columns = np.clip(np.arange(sides[1]) + int(column) - sides[1] // 2, 0, width - 1)
            image = image.copy()
            image[:, rows[:, None], columns] = 0
        picture = image[-channels:]
    return image


class Loss(nn.Cell):
    """A weighted sum of the augmented images, which are returned, too."""

    def __init__(self, policies, weights):
        super().__init__()
        self.augment, self.weights = DiffAugment(policies, 3), Tensor(weights)

    def construct(self, images, draws):
        augmented = self.augment(images, (draws,))
        return (augmented * self.weights).sum(), augmented


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])
def test_policies_and_gradients_are_the_published_ones(mode):
    """Gradients against central differences of the version in NumPy, in random directions."""
    ms.set_context(mode=mode)
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (4, 5, *SIZE)).astype(np.float32)
    weights = rng.standard_normal(images.shape).astype(np.float32)

    for policies in (*[(policy,) for policy in POLICIES], ("cutout", "color"), POLICIES):
        (draws,) = draw_augmentation(policies, 4, SIZE, 3, 1)

        def in_numpy(batch, draws=draws, policies=policies):
            return np.stack([published(x, draw, policies, 3) for x, draw in zip(batch, draws, strict=True)])

        (_, out), gradient = ms.value_and_grad(Loss(policies, weights), 0, has_aux=True)(Tensor(images), Tensor(draws))
        np.testing.assert_allclose(out.asnumpy(), in_numpy(images), atol=2e-6)
        assert np.abs(out.asnumpy() - images).max(axis=(1, 2, 3)).min() > 0.1
        for _ in range(3):
            direction = rng.standard_normal(images.shape)
            ends = (in_numpy(images + sign * 1e-3 * direction) for sign in (1, -1))
            change = np.subtract(*((end * weights).sum() for end in ends)) / 2e-3
            assert (gradient.asnumpy() * direction).sum() == pytest.approx(change, rel=1e-4, abs=1e-3)


def test_conditions_move_with_their_image_and_keep_their_colours():
    images = np.random.default_rng(2).uniform(-1, 1, (2, 5, *SIZE)).astype(np.float32)
    (draws,) = draw_augmentation(POLICIES, 2, SIZE, 0, 0)
    out = DiffAugment(("color",), 3)(Tensor(images), (Tensor(draws),)).asnumpy()
    np.testing.assert_array_equal(out[:, :2], images[:, :2])
    assert np.abs(out[:, 2:] - images[:, 2:]).max() > 0.1
    same = np.repeat(images[:, :1], 5, 1)
    out = DiffAugment(("translation", "cutout"), 3)(Tensor(same), (Tensor(draws),)).asnumpy()
    np.testing.assert_array_equal(out[:, :1].repeat(4, 1), out[:, 1:])


def test_without_policies_nothing_is_drawn_or_changed():
    images = Tensor(np.ones((1, 3, 4, 4), np.float32))
    assert draw_augmentation((), 1, (4, 4), 0, 0) == () and DiffAugment((), 3)(images, ()) is images


def test_draws_have_the_published_ranges():
    drawn = np.concatenate([draw_augmentation(POLICIES, 50, (16, 31), step, 0)[0] for step in range(100)])
    for column, (low, high) in enumerate([(-0.5, 0.5), (0, 2), (0.5, 1.5)]):
        values = drawn[:, column]
        assert low <= values.min() < low + 0.01 * (high - low) and high - 0.01 * (high - low) < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.02)
    # an eighth of 16 and 31 is 2 and 4, and middles of even squares may lie one beyond the image
    for column, (low, high) in enumerate([(-2, 2), (-4, 4), (0, 16), (0, 31)], 3):
        assert sorted(set(drawn[:, column])) == list(range(low, high + 1))
    again = draw_augmentation(POLICIES, 50, (16, 31), 7, 0)[0]
    np.testing.assert_array_equal(again, drawn[350:400])
    assert (again != draw_augmentation(POLICIES, 50, (16, 31), 7, 1)[0]).any()


def test_policies_from_text():
    assert policies_of("") == () and policies_of(" Color, cutout") == ("color", "cutout")
    with pytest.raises(UserError, match="diffaug colour: colour is not one of color, translation, cutout"):
        policies_of("colour")
    with pytest.raises(UserError, match="names cutout twice"):
        policies_of("cutout,cutout")
