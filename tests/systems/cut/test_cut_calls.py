"""CUT's calls: images of any size, the sizes of evaluation, pairs for the measures, and what the editor edits."""

from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor
from PIL import Image

from src.imaging.images import image_to_unit, write_png
from src.systems.cut.calls import CUTModel
from src.systems.cut.studio import CUTStudio
from src.systems.cut.system import CUTSystem
from src.systems.programs import EDIT, EVAL, read_command
from src.utils.errors import UserError
from src.utils.runtime import Device

_TINY = {"model": "cut", "ngf": 4, "n_residual_blocks": 1, "init_gain": 1.0}


def model_of(program=EVAL, **changes):
    words = [f"--{key}={value}" for key, value in (_TINY | changes).items()]
    config = read_command(program, words)[1]
    return CUTModel(CUTSystem(config, training=False), config, Path("run"), "1", Device("CPU"))


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("blocks", [0, 1])
@pytest.mark.parametrize("size", [(1, 1), (200, 4), (8, 8), (9, 13)])
def test_images_of_any_size_are_translated(size, blocks):
    model = model_of(n_residual_blocks=blocks)
    assert set(model.system.networks) == {"G"}
    assert model.translate(noise(*size)).shape == (*size, 3)


def test_restored_images_are_translated_at_the_size_of_training():
    model = model_of(eval_size="restored", resize_or_crop="squash", fine_size=32)
    image = Image.fromarray(noise(21, 37))
    stretched = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR))
    made = model.system.networks["G"](Tensor(image_to_unit(stretched)[None])).asnumpy()[0]
    back = np.stack([np.asarray(Image.fromarray(c).resize(image.size, Image.Resampling.BILINEAR)) for c in made])
    drawn = model.translate(np.asarray(image))
    np.testing.assert_array_equal(drawn, np.rint((back.transpose(1, 2, 0) + 1) * 127.5))
    assert drawn.std() > 1


def test_there_is_one_direction():
    with pytest.raises(UserError, match="direction"):
        model_of(direction="BtoA")


def test_what_is_shown():
    model, batch = model_of(), {"A": image_to_unit(noise(8, 12))[None], "B": image_to_unit(noise(9, 9, 1))[None]}
    made = model.run(batch)
    assert set(made) == {"fake_B"} and made["fake_B"].shape == (1, 3, 8, 12)
    assert list(model.system.visuals(batch, made)) == ["real_A", "fake_B", "real_B"]


def test_the_editor_shows_images_of_a(tmp_path):
    for folder, seed in (("trainA", 0), ("testA", 1), ("testB", 2)):
        write_png(tmp_path / folder / f"{folder}.png", noise(24, 48, seed))
    model = model_of(EDIT, data_root=tmp_path, load_size=16, fine_size=16, phase="test", eval_size="original")
    studio = CUTStudio(model, model.config)
    assert studio.source.names == ["testA"]
    document, _ = studio.open(0)
    assert document.rgb.shape == (24, 48, 3)
    np.testing.assert_array_equal(studio.draw(document, {}), model.translate(noise(24, 48, 1)))
    wide = model_of(EDIT, data_root=tmp_path, view_width=12, phase="test")
    assert CUTStudio(wide, wide.config).open(0)[0].rgb.shape == (6, 12, 3)
