"""The engine rooms know contracts: no system's name and no system's option outside its own folders."""

import ast
import re

import pytest

from src.systems.programs import ANY, schema_of
from src.systems.registry import descriptions
from tests.architecture.source import MODULES, ROOT, SOURCE

#: the registry is the only table of names
KNOWS_ALL = ("systems/registry.py",)
#: its example commands name options
EXAMPLES = "systems/programs.py"


def owned_options():
    """Options of systems by name, with the folder that owns them."""
    return {
        option.name: description.package.rpartition(".")[2]
        for description in descriptions()
        for option in schema_of(ANY, description).options.values()
        if option.owner.path.is_relative_to(SOURCE / "systems")
    }


OPTIONS = owned_options()
NAMES = sorted({d.name.lower() for d in descriptions()} | {d.package.rpartition(".")[2] for d in descriptions()})


def folder_of(module):
    """The system that a module belongs to, or nothing."""
    parts = module.package
    if len(parts) > 1 and parts[0] in ("systems", "models"):
        return parts[1]
    return ""


ENGINE = [module for module in MODULES if not folder_of(module) and module.name not in KNOWS_ALL]


@pytest.mark.parametrize("module", ENGINE, ids=lambda module: module.name)
def test_no_system_is_named(module):
    """Neither in names nor in strings; comments and docstrings may give a published system as an example."""
    words = set()
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(module.tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name):
            words.add(node.id)
        elif isinstance(node, ast.Attribute):
            words.add(node.attr)
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            words.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            words |= {alias.name for alias in node.names} | {getattr(node, "module", "") or ""}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            # commands that prepare data are named after what they make
            words.add(re.sub(r"data/create_\w+\.py", "", node.value))
    named = {name for name in NAMES for word in words if re.search(rf"(?<![a-z]){name}(?![a-z])", word.lower())}
    assert not named


@pytest.mark.parametrize("module", ENGINE, ids=lambda module: module.name)
def test_no_option_of_a_system_is_read(module):
    """Neither ``config.OPTION`` nor a string ``OPTION`` or ``--OPTION``."""
    read = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).rpartition(".")[2] in (
            "config",
            "command",
            "options",
        ):
            read.add(node.attr)
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value).rpartition(".")[2] in ("config", "command"):
            read.add(getattr(node.slice, "value", ""))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            read |= set(re.findall(r"--(\w+)", node.value))
    assert not read & set(OPTIONS) or module.name == EXAMPLES


def test_scripts_outside_the_package_know_no_system():
    for path in [*ROOT.glob("*.py"), ROOT / "data" / "convert_checkpoint.py"]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, (ast.Name, ast.Attribute)):
                word = node.id if isinstance(node, ast.Name) else node.attr
                assert word.lower() not in NAMES and word not in OPTIONS, f"{path.name}: {word}"


def test_one_name_has_one_meaning():
    """An option has the same owner in every system that has it; others only give it another default."""
    owners = {}
    for description in descriptions():
        for option in schema_of(ANY, description).options.values():
            owners.setdefault(option.name, set()).add(option.owner.path)
    assert not {name: paths for name, paths in owners.items() if len(paths) > 1}
