"""What an editor's document holds, and what is said where it lacks what a drawing needs."""

import numpy as np
import pytest

from src.editing.documents import Document
from src.utils.errors import UserError


def test_what_a_document_lacks_is_said():
    rgb = np.zeros((4, 6, 3), np.uint8)
    document = Document("street", rgb=rgb)
    assert document.array("rgb") is rgb and document.size == (6, 4)
    with pytest.raises(UserError, match="street: it lacks its inst map"):
        document.array("inst")
