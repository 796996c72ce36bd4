"""An object's class is that of most of its pixels, in the page and in the list of objects to add."""

import numpy as np

from src.editing.documents import Document, Source
from src.editing.objects import harvest
from tests.editing.pages import CAR, ROAD, TREE


def test_the_page_names_and_styles_an_object_by_its_most_frequent_label(page):
    """Label and instance map disagree in the object's first row, as those of a resized pair may."""
    page.paint(f"box({ROAD}, 0, 0, 95, 47); box({CAR}, 10, 10, 30, 30, 26000);")
    page.paint(f"for (let x = 10; x <= 30; x++) s.label[10 * s.width + x] = {TREE};")
    page.tool("select")
    page.click(20, 20)
    assert page.value("[s.selected, document.querySelector('#object-class').value]") == [26000, str(CAR)]
    page.browser.click("#all-random")
    page.rest()
    assert page.value(f"editor.about.styles.clusters[{CAR}].some((c) => c.every((v, k) => v === s.styles[26000][k]))")


def test_objects_to_add_have_the_most_frequent_label():
    label = np.full((20, 30), ROAD, np.uint16)
    label[5:15, 8:20] = CAR
    inst = np.where(label == CAR, 26000, ROAD).astype(np.uint16)
    label[5, 8:20] = TREE
    source = Source("labels", ["one"], lambda index: Document("one", label, inst), "")
    assert [entry["label"] for entry in harvest(source, 35)] == [CAR]
