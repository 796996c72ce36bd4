"""Rooms of the source: imports go down only, and no two rooms import each other."""

import ast

import pytest

from tests.architecture.source import MODULES

#: rooms from the ground up; a room imports from those below its own level, and from itself
LEVELS = (
    ("utils",),
    ("options",),
    ("imaging",),
    ("models", "dataset", "runs", "scenes"),
    ("gallery",),
    ("contracts",),
    ("inference",),
    ("metrics",),
    ("training", "evaluation", "export", "editing"),
    ("systems",),
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
# what is run, not imported, and the door of the package may use everything
ENTRIES = ("__init__.py", "editing/__main__.py", "systems/hflow/published_calls.py")


def test_every_room_has_a_level():
    assert {module.room for module in MODULES} - {""} == set(LEVEL)


@pytest.mark.parametrize("module", [m for m in MODULES if m.name not in ENTRIES], ids=lambda module: module.name)
def test_imports_go_down(module):
    upwards = [
        ".".join(target)
        for target in module.imports
        if target and target[0] != module.room and LEVEL[target[0]] >= LEVEL[module.room]
    ]
    assert not upwards


def test_nothing_imports_an_entry():
    entries = {tuple(name.removesuffix(".py").split("/")) for name in ENTRIES}
    for module in MODULES:
        assert not entries & set(module.imports), module.name


def test_systems_do_not_know_each_other():
    for module in MODULES:
        if module.room == "systems" and len(module.package) > 1 and module.name not in ENTRIES:
            others = {target[1] for target in module.imports if target[0] == "systems" and len(target) > 1}
            assert others <= {module.package[1], "shared"}, module.name


def test_networks_take_explicit_arguments():
    """A Cell never sees a configuration or a system."""
    for module in MODULES:
        if module.room == "models":
            names = {node.arg for node in ast.walk(module.tree) if isinstance(node, ast.arg)}
            assert not names & {"config", "system"}, module.name


def test_a_configuration_is_not_asked_for_what_it_may_lack():
    """No ``hasattr`` and no ``getattr`` with a default on options: every option has an owner that is there or not."""
    for module in MODULES:
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in ("hasattr", "getattr"):
                continue
            asked = ast.unparse(node.args[0])
            careless = node.func.id == "hasattr" or len(node.args) == 3
            assert not (careless and asked.rpartition(".")[2] in ("config", "command", "options")), (
                f"{module.name}: {ast.unparse(node)}"
            )
