"""CycleGAN's calls: directions, images of any size, the model card's way to translate, and what the editor edits."""

from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor
from PIL import Image

from src.imaging.images import image_to_unit, write_png
from src.systems.cyclegan.calls import CycleGANModel
from src.systems.cyclegan.studio import CycleGANStudio
from src.systems.cyclegan.system import CycleGAN
from src.systems.programs import EDIT, EVAL, read_command
from src.utils.errors import UserError
from src.utils.runtime import Device

_TINY = {"model": "cyclegan", "ngf": 4, "n_residual_blocks": 1, "init_gain": 0.05}


def model_of(program=EVAL, **changes):
    words = [f"--{key}={value}" for key, value in (_TINY | changes).items()]
    config = read_command(program, words)[1]
    return CycleGANModel(CycleGAN(config, training=False), config, Path("run"), "1", Device("CPU"))


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def batch_of(**images):
    return {name: image_to_unit(image)[None] for name, image in images.items()}


@pytest.mark.parametrize("blocks", [0, 1])
@pytest.mark.parametrize("size", [(1, 1), (200, 4), (3, 30), (8, 8), (9, 13)])
def test_images_of_any_size_are_translated(size, blocks):
    """A and B differ in size: each translation has the size of the image that it is made from."""
    model = model_of(n_residual_blocks=blocks)
    outputs = model.run(batch_of(A=noise(*size), B=noise(5, 21)))
    assert outputs["fake_B"].shape == (1, 3, *size) and outputs["fake_A"].shape == (1, 3, 5, 21)
    alone = model.run(batch_of(B=noise(5, 21)))
    np.testing.assert_array_equal(alone["fake_A"], outputs["fake_A"])
    assert model.translate(noise(*size)).shape == (*size, 3)


def test_the_direction_is_that_of_the_call_or_else_of_the_options():
    model = model_of(direction="AtoB")
    both = batch_of(A=noise(8, 8), B=noise(8, 8, 1))
    assert set(model.run(both)) == {"fake_B"}
    assert set(model.run(both, direction="both")) == {"fake_A", "fake_B"}
    there, back = (model.translate(noise(8, 12), way) for way in ("A2B", "B2A"))
    assert np.abs(there.astype(int) - back).max() > 0
    np.testing.assert_array_equal(model.translate(noise(8, 12), "BtoA"), back)
    np.testing.assert_array_equal(model.translate(noise(8, 12)), there)
    # calls leave nothing behind
    assert model.config.direction == "AtoB" and set(model.run(both)) == {"fake_B"}


def test_a_missing_generator_is_named():
    model = model_of(direction="BtoA")
    del model.system.networks["G_BA"]
    assert model.directions == ("A2B",)
    with pytest.raises(UserError, match="--direction BtoA needs the generator G_BA"):
        model.run(batch_of(B=noise(8, 8)))
    with pytest.raises(UserError, match="direction B2A is not one of A2B of this checkpoint"):
        model.translate(noise(8, 8), "B2A")


def test_the_way_of_the_model_card():
    """Stretch to the size of the training, translate, make the extremes black and white, stretch back."""
    model = model_of(config_path="configs/cyclegan_sim2real_card.yaml", fine_size=32)
    images = {"A": noise(21, 37), "B": noise(50, 26, 1)}
    outputs = model.run(batch_of(**images))
    for source, network, output in (("A", "G_AB", "fake_B"), ("B", "G_BA", "fake_A")):
        image = Image.fromarray(images[source])
        stretched = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR))
        made = model.system.networks[network](Tensor(image_to_unit(stretched)[None])).asnumpy()[0]
        made = (made - made.min()) / (made.max() - made.min())
        back = [Image.fromarray(c).resize(image.size, Image.Resampling.BILINEAR) for c in made]
        np.testing.assert_allclose(outputs[output][0], np.stack([np.asarray(c) for c in back]) * 2 - 1, atol=1e-5)
        assert outputs[output].shape[2:] == images[source].shape[:2]
    drawn = model.translate(images["A"])
    np.testing.assert_array_equal(drawn, np.rint((outputs["fake_B"][0].transpose(1, 2, 0) + 1) * 127.5))


def test_each_image_of_a_batch_has_its_own_extremes():
    model = model_of(display="minmax", eval_size="original")
    made = model.translate([noise(8, 8), noise(8, 8, 1) // 2], batch_size=2)
    assert [(image.min(), image.max()) for image in made] == [(0, 255)] * 2


def test_the_editor_shows_both_domains_and_translates_both_ways(tmp_path):
    for folder, seed in (("trainA", 0), ("testA", 1), ("testB", 2)):
        write_png(tmp_path / folder / f"{folder}.png", noise(24, 48, seed))
    model = model_of(EDIT, data_root=tmp_path, load_size=16, fine_size=16, phase="test")
    studio = CycleGANStudio(model, model.config)
    assert studio.source.names == ["testA", "testB"]
    assert studio.controls()[0]["options"] == [["A2B", "A to B"], ["B2A", "B to A"]]
    document, _ = studio.open(1)
    assert document.rgb.shape == (16, 32, 3)
    there, back = (studio.draw(document, {"direction": way}) for way in ("A2B", "B2A"))
    assert there.shape == document.rgb.shape and np.abs(there.astype(int) - back).max() > 0
    with pytest.raises(UserError, match="direction sideways"):
        studio.draw(document, {"direction": "sideways"})

    wide = model_of(EDIT, data_root=tmp_path, view_width=12, phase="test")
    assert CycleGANStudio(wide, wide.config).open(0)[0].rgb.shape == (6, 12, 3)
    only = model_of(EDIT, data_root=tmp_path, pictures=tmp_path / "trainA", eval_size="original")
    studio = CycleGANStudio(only, only.config)
    assert studio.source.names == ["trainA"] and studio.open(0)[0].rgb.shape == (24, 48, 3)
