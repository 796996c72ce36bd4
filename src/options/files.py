"""Reading YAML files of options and presets, with bounds on their size and nesting."""

__all__ = ["YAML_ERRORS", "read_documents", "read_value"]

from pathlib import Path
from typing import Any

import yaml

from ..utils.errors import UserError
from .text import shown

_MOST_BYTES = 1 << 17
_MOST_NESTED = 20


class _Loader(yaml.SafeLoader):
    """Plain YAML without aliases, because eight lines of aliases can unfold to more values than fit into memory."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "an alias (*name), which options have no use for", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        first: dict[str, yaml.Node] = {}
        for key in keys:
            # PyYAML keeps the last of equal keys without a word
            if first.setdefault(key.value, key) is not key:
                problem = f"{shown(key.value)} is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
        return super().construct_mapping(node, deep)

    def fetch_flow_collection_start(self, token_class: type) -> None:
        # the scanner's time grows with the square of the open brackets
        if self.flow_level > _MOST_NESTED:
            raise yaml.scanner.ScannerError(None, None, "it is nested too deeply", self.get_mark())
        super().fetch_flow_collection_start(token_class)


#: errors of PyYAML on texts that are not YAML, on values such as 2001-99-99, and on endless nesting
YAML_ERRORS = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


def read_value(text: str) -> Any:
    """The value of a word of the command line; raises one of :data:`YAML_ERRORS`."""
    return yaml.load(text, _Loader)


def read_documents(path: Path) -> list[dict[str, Any]]:
    """The mappings in a file, at least five, empty ones at the end.

    Raises:
        UserError: the file is missing, larger than 128 KiB, not YAML, or holds anything but mappings.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise UserError(
                f"configuration {shown(str(path))} is larger than {_MOST_BYTES >> 10} KiB: no preset is that long; "
                "check the path"
            )
        documents = list(yaml.load_all(data.decode("utf-8"), _Loader))
    except FileNotFoundError:
        near = ", ".join(sorted(p.name for p in path.parent.glob("*.yaml"))) or "no .yaml file"
        raise UserError(f"configuration {shown(str(path))} does not exist; {path.parent} holds {near}") from None
    except (OSError, *YAML_ERRORS) as error:
        raise UserError(f"cannot read configuration {shown(str(path))}: {_reason(error)}") from None
    documents = [d if d is not None else {} for d in documents] + [{}] * 5
    for document in documents[:5]:
        if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
            raise UserError(f"configuration {path}: each document must map option names to values")
    return documents[:5]


def _reason(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        return f"{error.problem}{line}"
    text = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    # what follows is Python's advice to programmers
    return shown(text.splitlines()[0].partition("; use sys.")[0] if text else type(error).__name__)
