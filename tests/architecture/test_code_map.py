"""docs/code_map.md: every file of the source is in it, and everything in it exists."""

import ast
import re

from tests.architecture.source import ROOT, SOURCE

PAGE = (ROOT / "docs" / "code_map.md").read_text(encoding="utf-8")


def listed():
    """Paths in the first columns of the tables, from the root; folders end in a slash."""
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        folder = title.strip("`").removeprefix("./") if title.endswith("/`") and title != "Beside `src/`" else ""
        for cell in re.findall(r"^\| (`.*?) \| .+ \|$", text, re.MULTILINE):
            for name in re.findall(r"`([^`]+)`", cell):
                yield folder + name


LISTED = list(listed())


def has_code(path):
    """Whether a Python file does more than name itself: imports, classes, functions."""
    statements = ast.parse(path.read_text(encoding="utf-8")).body
    return any(isinstance(node, (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef)) for node in statements)


def test_every_file_of_the_source_is_listed_once():
    files = [path for path in SOURCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    wanted = {
        f"{path.parent.relative_to(ROOT).as_posix()}/"
        if path.parent.name == "assets"
        else path.relative_to(ROOT).as_posix()
        for path in files
        if path.name != "__init__.py" or has_code(path)
    }
    inside = [name for name in LISTED if name.startswith("src/")]
    assert set(inside) == wanted
    assert len(inside) == len(set(inside))


def test_every_entry_exists():
    for name in LISTED:
        path = ROOT / name
        assert path.is_dir() if name.endswith("/") else path.is_file(), name


def test_every_other_folder_with_code_is_listed_or_mirrors_the_source():
    folders = {
        path.parent.relative_to(ROOT).as_posix()
        for place in ("scripts", "configs", "data", "benchmarks", "tests")
        for path in (ROOT / place).rglob("*")
        if path.suffix in (".py", ".sh", ".yaml") and not {"__pycache__", "fixtures"} & set(path.parts)
    }
    mirrors = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*") if path.is_dir()}
    mirrors |= {"data", "benchmarks"}
    unlisted = {
        folder
        for folder in folders
        if f"{folder}/" not in LISTED
        and folder.removeprefix("tests/") not in mirrors
        and not any(folder.startswith(name) for name in LISTED if name.startswith("tests/") and name != "tests/")
    }
    assert not unlisted
