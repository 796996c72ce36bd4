"""The source of the package, as the tests of its structure see it."""

__all__ = ["MODULES", "ROOT", "SOURCE", "Module"]

import ast
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"


@dataclass(frozen=True)
class Module:
    """One Python file below ``src``."""

    path: Path

    @property
    def name(self) -> str:
        """Its path below src, for messages."""
        return self.path.relative_to(SOURCE).as_posix()

    @property
    def room(self) -> str:
        """The folder below ``src`` that it is in; empty for the package itself."""
        parts = self.path.relative_to(SOURCE).parts
        return parts[0] if len(parts) > 1 else ""

    @property
    def package(self) -> tuple[str, ...]:
        """The packages above it, below src."""
        return self.path.relative_to(SOURCE).parts[:-1]

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"))

    @cached_property
    def imports(self) -> list[tuple[str, ...]]:
        """Targets of imports inside the package, as paths below src; those for type checkers alone are left out."""
        skipped = {
            id(inner)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and id(node) not in skipped:
                if node.level:
                    base = self.package[: len(self.package) - node.level + 1]
                    target = (*base, *(node.module.split(".") if node.module else ()))
                    found += [target] if node.module else [(*target, alias.name) for alias in node.names]
                elif node.module and node.module.split(".")[0] in ("src", "mindi2i"):
                    raise AssertionError(f"{self.name} imports {node.module}: imports inside src are relative")
            elif isinstance(node, ast.Import) and any(a.name.split(".")[0] == "src" for a in node.names):
                raise AssertionError(f"{self.name} imports src: imports inside src are relative")
        return found


MODULES = [Module(path) for path in sorted(SOURCE.rglob("*.py"))]
