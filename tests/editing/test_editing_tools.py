"""What single tools of the editor's page promise, on small maps."""

import numpy as np
import pytest

from src.imaging.palette import CITYSCAPES
from tests.editing.pages import CAR, CONTROL, ROAD, SKY, TREE

BORDER, ROI, EGO, STATIC, PERSON = 2, 3, 1, 4, 24
VOID = [number for number, row in enumerate(CITYSCAPES) if row.category == "void"]


def maps(page):
    """Label and instance map as arrays (48, 96)."""
    return (np.array(page.array(name)).reshape(48, 96) for name in ("label", "inst"))


def remove(page, x, y):
    """Remove the object at a pixel, and return the maps."""
    page.tool("select")
    page.click(x, y)
    page.press("Delete")
    return maps(page)


# -- what an object leaves behind ----------------------------------------------------------------------------------


def test_void_at_the_border_stays_there(page):
    """An object at the edge, with the void strip of the border beside and below it."""
    page.paint(f"box({SKY}, 0, 0, 95, 19); box({ROAD}, 0, 20, 95, 47); box({EGO}, 0, 40, 95, 47);")
    page.paint(f"box({BORDER}, 0, 0, 1, 47); box({ROI}, 94, 0, 95, 47); box({ROI}, 0, 0, 95, 0);")
    wanted, _ = maps(page)
    page.paint(f"box({CAR}, 2, 10, 12, 39, 26000); box({CAR}, 85, 1, 93, 44, 26001);")
    remove(page, 5, 25)
    label, inst = remove(page, 90, 25)
    # the second one stood before the hood, whose outline nobody knows any more
    np.testing.assert_array_equal(label[:40], wanted[:40])
    assert set(np.unique(label[40:45, 85:94])) == {ROAD}
    np.testing.assert_array_equal(inst, label)


@pytest.mark.parametrize("void", VOID)
def test_void_fills_what_it_alone_surrounds(page, void):
    page.paint(f"box({ROAD}, 0, 0, 95, 47); box({void}, 40, 10, 70, 40); box({PERSON}, 50, 20, 55, 30, 24000);")
    label, inst = remove(page, 52, 25)
    assert (label[10:41, 40:71] == void).all() and (inst[10:41, 40:71] == void).all()
    # one pixel of something else is enough
    page.paint(f"box({PERSON}, 50, 20, 55, 30, 24000); box({TREE}, 49, 25, 49, 25);")
    label, _ = remove(page, 52, 25)
    assert (label[20:31, 50:56] == TREE).all() and label[19, 52] == void


def test_parts_of_an_object_are_filled_from_their_own_surroundings(page):
    page.paint(f"box({ROAD}, 0, 0, 95, 47); box({STATIC}, 40, 0, 95, 47);")
    page.paint(f"box({CAR}, 10, 10, 20, 20, 26000); box({CAR}, 60, 10, 70, 20, 26000);")
    label, _ = remove(page, 15, 15)
    assert (label[:, :40] == ROAD).all() and (label[:, 40:] == STATIC).all()


def test_no_object_comes_back(page):
    """Neither one that hides the ground nor a group, whose number is that of its class."""
    page.paint(f"box({ROAD}, 0, 0, 95, 47); box({STATIC}, 0, 0, 95, 20);")
    page.paint(
        f"box({CAR}, 20, 10, 50, 30, 26000); box({CAR}, 51, 10, 60, 30, 26); box({PERSON}, 10, 10, 19, 30, 24000);"
    )
    label, inst = remove(page, 30, 20)
    assert (label[10:31, 20:51] == ROAD).all() and (inst[10:31, 20:51] == ROAD).all()
    assert (label[10:31, 51:61] == CAR).all() and (label[10:31, 10:20] == PERSON).all()


def test_objects_alone(page):
    """Where there is nothing but objects they are the ground, and a single one stays."""
    page.paint(f"box({CAR}, 0, 0, 95, 47, 26000); box({PERSON}, 10, 10, 20, 20, 24000);")
    _, inst = remove(page, 15, 15)
    assert (inst == 26000).all()
    _, inst = remove(page, 15, 15)
    assert (inst == 26000).all()


# -- fill ----------------------------------------------------------------------------------------------------------


def test_fill_is_one_click_on_an_object_or_a_patch(page):
    page.paint(f"box({ROAD}, 0, 0, 95, 47); box({TREE}, 30, 0, 31, 47); box({SKY}, 60, 0, 61, 47);")
    page.paint(f"box({CAR}, 25, 10, 40, 20, 26000); box({SKY}, 30, 0, 31, 47);")
    before, _ = maps(page)
    # a patch: what is connected, and no more
    page.tool("fill", 8)
    page.click(80, 30)
    label, inst = maps(page)
    assert (label[:, 62:] == 8).all() and (inst[:, 62:] == 8).all() and (label[:, :62] == before[:, :62]).all()
    # an object: all of it, on both sides of what hides it
    page.tool("fill", ROAD)
    page.click(26, 12)
    label, _ = maps(page)
    assert CAR not in label and (label[10:21, 25:30] == ROAD).all() and (label[10:21, 32:41] == ROAD).all()
    # an object class makes a new object of each patch
    page.tool("fill", CAR)
    for x, number in ((10, 26000), (50, 26001)):
        page.click(x, 40)
        _, inst = maps(page)
        assert page.value("s.selected") == number and inst[40, x] == number
    assert (inst == 26000).sum() == 48 * 30 and (inst == 26001).sum() == 48 * 28
    assert page.value("s.done.length") == 4


def test_fill_leaves_what_has_the_class(page):
    """Not even its number, its style and its place in the history change."""
    page.paint(f"box({ROAD}, 0, 0, 95, 47); box({CAR}, 25, 10, 40, 20, 26000); box({CAR}, 60, 10, 70, 20, 26001);")
    page.browser.evaluate("editor.session.styles[26001] = [0.25, 0.5, 0.75]")
    # maps of a data set may disagree in a pixel: an object has the class of most of its pixels
    page.paint("s.label[15 * s.width + 65] = 7;")
    page.tool("select")
    page.click(30, 15)
    page.tool("fill", CAR)
    page.click(65, 15)
    _, inst = maps(page)
    assert inst[15, 65] == 26001 and inst[15, 30] == 26000 and page.value("s.selected") == 26000
    assert page.value("s.styles[26001]") == [0.25, 0.5, 0.75] and page.value("s.done.length") == 0
    assert page.browser.texts("#hint") == [
        "Click an object or a patch of a class to give it the chosen class. An object class makes a new object of it."
    ]


def test_a_click_that_paints_nothing_is_no_edit(page):
    page.tool("lasso", CAR)
    styles = page.value("s.styles")
    page.click(30, 30)
    assert (
        page.value("s.done.length") == 0 and page.value("s.styles") == styles and page.browser.texts("#message") == [""]
    )


# -- the keyboard --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pane", ["#map", "#picture"])
@pytest.mark.parametrize("field", ["#search", "#object-class"])
def test_keys_are_for_the_image_after_a_click_on_it(page, field, pane):
    """Not for the field that was used before."""
    page.tool("select")
    page.click(10, 45)  # the list of classes is shown for a selection
    page.tool("brush", TREE)
    page.browser.evaluate(f"document.querySelector('{field}').focus()")
    page.click(30, 30, pane=pane)
    assert page.value("s.done.length") == 1
    page.press("z", CONTROL)
    assert page.value("s.done.length") == 0
    page.press("r")
    assert page.value("editor.tool") == "rectangle"


def test_the_search_goes_on_after_a_click_on_the_image(page):
    page.browser.click("#search")
    page.browser.type("car")
    page.click(30, 30)
    assert page.browser.evaluate("document.querySelector('#search').value") == "car"
    assert page.browser.texts("#palette button:not([hidden])") == ["car", "caravan"]
    page.browser.click("#search")
    for letter in "avan":
        page.browser.key(letter)
    assert page.browser.texts("#palette button:not([hidden])") == ["caravan"]
    assert page.value("editor.tool") == "brush"
