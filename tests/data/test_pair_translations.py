"""Images and their translations become pairs of one name."""

import os

import numpy as np
import pytest
from PIL import Image

from data import pair_translations
from src.dataset.unpaired import UNPAIRED, UnpairedRequest
from src.imaging.images import read_image
from src.options.config import Config
from src.utils.errors import UserError


def picture(path, colour):
    os.makedirs(os.path.dirname(os.fsencode(path)), exist_ok=True)
    with open(path, "wb") as file:
        Image.fromarray(np.full((16, 24, 3), colour, np.uint8)).save(file, "PNG")


FOLDERS = {
    "dots": ["shot.0001.png", "shot.0002.png"],
    "nested": ["aachen/000.png", "bonn/000.png", "bonn/001.png"],
    "types": ["x.png", "x.PNG"],
    "cityscapes": ["jena_000_leftImg8bit.png", "ulm_000_leftImg8bit.png"],
    "words": ["back.png", "back_to_school.png", "a_fake_B.png"],
    "long": ["n" * 200 + ".png", "n" * 240 + "a.png", "n" * 240 + "b.png"],
    "bytes": [os.fsdecode(b"stra\xdfe.png"), "straße.png"],
}


@pytest.mark.parametrize("form", ["{}", "{}_fake_B", "{}_to_"])
@pytest.mark.parametrize("kind", FOLDERS)
def test_names_are_those_of_the_translation(tmp_path, kind, form):
    """The samples of the data set and this command name the same images alike."""
    for i, name in enumerate(FOLDERS[kind]):
        picture(f"{tmp_path}/in/{name}", (i, 0, 0))
    style = f"{tmp_path}/style/the_style.png"
    picture(style, (0, 0, 0))
    options = {"input": f"{tmp_path}/in", "style": style, "test_pairs": form == "{}_to_", "direction": "AtoB"}
    options |= {"data_root": "", "resize_or_crop": "none", "load_size": 0, "fine_size": 16, "label_root": ""}
    options |= {"crop_width": 0, "crop_height": 0, "scale_l": 0.8, "scale_h": 1.0, "eval_size": "original"}
    options |= {"no_flip": True, "v_flip": False, "max_dataset_size": 0, "num_workers": 1, "seed": 0}
    data = UNPAIRED.opens(UnpairedRequest(), Config(options), "test", 0, 1, False)
    assert data.num_samples == len(FOLDERS[kind])
    for i in range(data.num_samples):
        name = data.name(i) if "_to_" in form else form.format(data.name(i))
        red = read_image(data.files(i)["A"])[0, 0, 0]
        picture(f"{tmp_path}/made/{name}.png", (red, 100, 0))
    pair_translations.main([f"{tmp_path}/{name}" for name in ("in", "made", "out")])
    seen = []
    for phase in ("train", "test"):
        for file in (tmp_path / "out" / f"{phase}_A").iterdir():
            partner = tmp_path / "out" / f"{phase}_B" / file.name
            red, other = (np.asarray(Image.open(path))[0, 0, 0] for path in (file, partner))
            assert red == other
            seen.append(int(red))
    assert sorted(seen) == list(range(len(FOLDERS[kind])))


def test_two_translations_of_one_image_are_refused(tmp_path):
    picture(tmp_path / "in" / "a.png", (0, 0, 0))
    for name in ("a_to_x", "a_to_y"):
        picture(tmp_path / "made" / f"{name}.png", (0, 0, 0))
    with pytest.raises(UserError, match="a_to_x.png and .*a_to_y.png are translations of one image"):
        pair_translations.main([str(tmp_path / name) for name in ("in", "made", "out")])


@pytest.mark.parametrize("form", ["{}", "{}_fake_B", "{}_to_x"])
def test_images_without_a_translation_are_named(tmp_path, form):
    for i in range(9):
        picture(tmp_path / "in" / "town" / f"{i}.png", (i, 0, 0))
    for i in (3, 8):
        picture(tmp_path / "made" / f"{form.format(i)}.png", (i, 0, 0))
    said = r"made lacks the translations of 7 of 9 images in .*in \(town/0.png, .*, town/5.png, ...\): add them"
    with pytest.raises(UserError, match=said):
        pair_translations.main([str(tmp_path / name) for name in ("in", "made", "out")])
    assert not (tmp_path / "out").exists()
