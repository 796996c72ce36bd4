"""Hierarchy Flow's calls: images of any size, results of their size, and what the editor edits."""

from pathlib import Path

import numpy as np
import pytest

from src.imaging.images import image_to_unit, write_png
from src.systems.hierarchyflow.calls import HierarchyFlowModel
from src.systems.hierarchyflow.studio import HierarchyFlowStudio
from src.systems.hierarchyflow.system import HierarchyFlowSystem
from src.systems.programs import EDIT, EVAL, EXPORT, read_command
from src.utils.errors import UserError
from src.utils.runtime import Device

_TINY = {"model": "hierarchyflow", "out_channels": "[6,12]", "pad_size": 4}


def model_of(program=EVAL, **changes):
    words = [f"--{key}={value}" for key, value in (_TINY | changes).items()]
    config = read_command(program, words)[1]
    return HierarchyFlowModel(HierarchyFlowSystem(config, training=False), config, Path("run"), "1", Device("CPU"))


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("pad_size", [0, 4])
@pytest.mark.parametrize(("content", "style"), [((1, 1), (1, 1)), ((4, 200), (3, 2)), ((3, 30), (40, 8))])
def test_images_of_any_size_are_translated(content, style, pad_size):
    made = model_of(pad_size=pad_size).translate(noise(*content), noise(*style, seed=1))
    assert made.shape == (*content, 3)


def test_styles_are_one_or_as_many_as_contents():
    model = model_of()
    contents, styles = [noise(18, 27), noise(9, 9, 1)], [noise(12, 12, 2), noise(20, 11, 3)]
    each = model.translate(contents, styles)
    np.testing.assert_array_equal(each[1], model.translate(contents[1], styles[1]))
    one = model.translate(contents, styles[0], batch_size=2)
    np.testing.assert_array_equal(one[0], each[0])
    assert np.abs(one[1].astype(int) - each[1]).max() > 0
    with pytest.raises(UserError, match="2 styles for 3"):
        model.translate(contents + contents[:1], styles)


def test_results_are_brought_back_to_the_size_of_their_contents():
    content, style = noise(40, 50), noise(30, 26, 1)
    batch = {"A": image_to_unit(content)[None], "B": image_to_unit(style)[None]}
    sizes = {"crop_width": 32, "crop_height": 24}
    restored = model_of(eval_size="restored", **sizes).run(batch)["output"]
    assert restored.shape == batch["A"].shape
    model = model_of(**sizes)
    small = {name: image_to_unit(model.at_evaluation_size(i))[None] for name, i in (("A", content), ("B", style))}
    assert small["A"].shape == small["B"].shape == (1, 3, 24, 32)
    made = model.run(small)["output"]
    assert made.shape == (1, 3, 24, 32)
    # a stretched image has the mean of what was stretched
    np.testing.assert_allclose(restored.mean((2, 3)), made.mean((2, 3)), atol=0.02)


@pytest.mark.parametrize("program", [EVAL, EDIT, EXPORT])
def test_contents_always_come_with_styles(program):
    config = read_command(program, ["--model=hierarchyflow"])[1]
    assert config.test_pairs and config.direction == "AtoB"
    for words, message in (("--test_pairs=False", "is not one of True"), ("--direction=both", "is not one of AtoB")):
        with pytest.raises(UserError, match=message):
            read_command(program, ["--model=hierarchyflow", words])


def test_every_style_can_be_compared_with_whatever_is_translated(tmp_path):
    """Metrics of sets look at all images of B, of which pairs need not show each."""
    for folder, seed in (("testA/a", 0), ("testB/b", 1), ("testB/c", 2)):
        write_png(tmp_path / f"{folder}.png", noise(24, 48, seed))
    model = model_of(data_root=tmp_path, phase="test")
    assert [set(row) for row in _files(model.data("test"))] == [{"A", "B"}]
    kind, config = model.system.data, model.config.replace(**model.system.data.whole)
    data = kind.open(model.system.request(config, training=False), config, "test", training=False)
    assert [path.stem for row in _files(data) for path in row.values()] == ["a", "b", "c"]


def _files(data):
    return [data.files(i) for i in range(data.num_samples)]


def test_the_editor_gives_contents_the_style_of_a_chosen_image(tmp_path):
    for folder, seed in (("testA", 0), ("trainB", 1), ("styles", 2)):
        write_png(tmp_path / folder / f"{folder}.png", noise(24, 48, seed))
    write_png(tmp_path / "styles" / "second.png", noise(24, 48, 3))
    options = {"data_root": tmp_path, "phase": "test", "crop_width": 32, "crop_height": 16}
    model = model_of(EDIT, **options)
    studio = HierarchyFlowStudio(model, model.config)
    assert studio.source.names == ["testA"] and studio.styles.names == ["trainB"]
    assert studio.open(0)[0].rgb.shape == (16, 32, 3)

    model = model_of(EDIT, **options, styles=tmp_path / "styles", view_width=24)
    studio = HierarchyFlowStudio(model, model.config)
    document, _ = studio.open(0)
    assert document.rgb.shape == (12, 24, 3) and studio.styles.names == ["second", "styles"]
    first, second = (studio.draw(document, {"look": i}) for i in range(2))
    assert first.shape == document.rgb.shape and np.abs(first.astype(int) - second).max() > 0
    with pytest.raises(UserError, match="look 2 is not a number from 0 to 1"):
        studio.draw(document, {"look": 2})
