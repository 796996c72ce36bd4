"""Which CANN belongs to which MindSpore, read from folders as CANN lays them out."""

import re

import pytest

from src.options.owner import ROOT
from src.utils.cann import PAIRS, cann_notice, installed_cann


@pytest.mark.parametrize(
    "home, file, text, version",
    [
        ("cann", "compiler/version.info", "Version=8.5.0\nversion_dir=cann\n", "8.5.0"),
        ("latest", "version.cfg", "# version\n[compiler]\nversion=[8.3.RC1:8.3.RC1]\n", "8.3.RC1"),
        ("latest", "../version.cfg", "toolkit_installed_version=[7.0.0.5.242:8.2.RC1]\n", "7.0.0.5.242"),
        ("latest", "aarch64-linux/ascend_toolkit_install.info", "package_name=x\nversion=9.0.0\npath=/x\n", "9.0.0"),
        ("cann", "compiler/version.info", "nothing\n", ""),
    ],
)
def test_the_version_is_read_from_the_files_of_cann(tmp_path, home, file, text, version):
    folder = tmp_path / home
    folder.mkdir()
    path = folder / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert installed_cann(str(folder)) == version


def test_a_cann_that_does_not_match_names_the_pair_that_would():
    assert not cann_notice("2.9.0", "9.0.0") and not cann_notice("2.7.1", "8.3.RC2")
    words = cann_notice("2.9.0", "8.5.0")
    assert "CANN 8.5.0 does not belong to MindSpore 2.9.0, which is released with CANN 9.0.0" in words
    assert words.endswith("or install MindSpore 2.7.2, the pair of CANN 8.5.0")
    assert "no published pair" in cann_notice("2.10.0", "9.1.0") and "MindSpore 3.0" in cann_notice("3.0", "9.1.0")
    assert "source its set_env.sh" in cann_notice("2.9.0", "")


def test_every_known_pair_has_its_source():
    assert all(bool(pair) == source.startswith("https://") for pair, source in PAIRS.values())


def test_the_page_has_the_same_pairs():
    page = (ROOT / "docs" / "ascend.md").read_text(encoding="utf-8")
    rows = {row[0]: row[1:] for row in re.findall(r"^\| (2\.\d+\.\d+) \| (\S+) \| .*? \| (.*) \|$", page, re.MULTILINE)}
    assert rows.keys() == PAIRS.keys()
    for version, (pair, source) in PAIRS.items():
        assert rows[version][0] == (pair or "unknown") and source in rows[version][1]
