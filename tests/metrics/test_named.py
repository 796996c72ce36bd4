"""Files of a folder by the names that samples have."""

import os
from pathlib import Path

from src.metrics.labels import Named


def test_true_labels_are_found_by_the_names_of_samples(tmp_path):
    names = (b"aachen/000.png", b"bonn/000.png", b"bonn/shot.0001.png", b"bonn/stra\xdfe.png")
    for name in names:
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    named = Named(tmp_path)
    assert list(named.by_stem) == ["aachen_000", "bonn_000", "bonn_shot.0001", "bonn_stra=DFe"]
    assert named.owner("bonn_000_fake_B") == tmp_path / "bonn" / "000.png"
    assert named.owner("bonn_stra=DFe_to_style").parent.name == "bonn"
    assert named.owner("cologne_000") is None
