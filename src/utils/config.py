"""Options: read once from YAML and the command line, checked, and written out resolved.

A configuration file has three YAML documents: values, help, choices. A choice is a list of what is allowed, or a
range ``{min: a, max: b}``. The default file holds the common keys and pix2pixHD's; an overlay changes values, may add
keys of its own system, and may build on another overlay with ``base: other.yaml``.
"""

__all__ = ["ALIASES", "Config", "check_kinds", "load_config", "parse_options"]

import difflib
import functools
import os
import reprlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from src.utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_FILE = ROOT / "default_config.yaml"

# names of the PyTorch original for options that the MindSpore predecessor renamed
ALIASES = {
    "batchSize": "batch_size",
    "loadSize": "load_size",
    "fineSize": "fine_size",
    "checkpoints_dir": "save_ckpt_dir",
    "dataroot": "data_root",
    "nThreads": "num_workers",
    "gpu_ids": "device_id",
    "results_dir": "predict_dir",
    "grad_checkpoint": "recompute",
    "bsize": "batch_size",
    "max_step": "max_iter",
}

# options that predecessors listed and that do nothing here, with what to do instead
_GONE = {
    "pad_mode": "padding is always the published reflection padding",
    "device_num": "the number of devices is the argument of the distribute scripts",
    "use_dropout": "the published networks have no dropout",
    "ntest": "use --how_many",
    "aspect_ratio": "results keep the size of their input",
    "fp16": "use --precision fp16 --dynamic_loss_scale True",
    "data_type": "use --precision",
    "local_rank": "msrun numbers the workers",
    "verbose": "the networks and their sizes are always printed",
    "engine": "use export.py",
    "onnx": "use export.py",
    "export_onnx": "use export.py",
}

_COMMAND_LINE = "command line"
_KINDS = (bool, int, float, str, list)
_LARGEST = 2**63 - 1
_MOST_NESTED = 20
_MOST_SHOWN = 120
_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = _MOST_SHOWN
# value of a flag that stands alone: right for switches, and no text that anyone means
_BARE = "True"
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


class _Loader(yaml.SafeLoader):
    """Plain YAML without aliases: eight lines of them can unfold to more values than any memory holds."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "an alias (*name), which options have no use for", mark)
        return super().compose_node(parent, index)

    def fetch_flow_collection_start(self, token_class):
        # the scanner's time grows with the square of the open brackets
        if self.flow_level > _MOST_NESTED:
            raise yaml.scanner.ScannerError(None, None, "it is nested too deeply", self.get_mark())
        super().fetch_flow_collection_start(token_class)


# what PyYAML raises on texts that are no YAML, on values such as 2001-99-99, and on nesting without end
_YAML_ERRORS = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


class Config:
    """Resolved options with attribute access; immutable, :meth:`replace` makes a changed copy."""

    def __init__(self, values: Mapping[str, Any], explicit: Sequence[str] = (), own: Sequence[Mapping[str, Any]] = ()):
        object.__setattr__(self, "_values", dict(values))
        #: keys that the command line set, as opposed to files and defaults
        object.__setattr__(self, "explicit", frozenset(explicit))
        #: help and choices that an overlay adds to the default file's: without them a dump could not be read back
        object.__setattr__(self, "_own", tuple(own))

    def __getattr__(self, key: str) -> Any:
        values = object.__getattribute__(self, "_values")
        if key in values:
            return values[key]
        raise AttributeError(f"there is no option {key}{_closest(key, values)}")

    def __setattr__(self, key: str, value: Any) -> None:
        raise AttributeError("a configuration is immutable: use replace()")

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __reduce__(self):
        return Config, (self._values, tuple(self.explicit), self._own)

    def replace(self, **changes: Any) -> "Config":
        """A copy with ``changes``; keys must exist."""
        for key in changes:
            getattr(self, key)
        return Config(self._values | changes, self.explicit, self._own)

    def to_dict(self) -> dict[str, Any]:
        """All options as plain values."""
        return dict(self._values)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], explicit: Sequence[str] = ()) -> "Config":
        """Options from a checkpoint or a run folder, as they were resolved then."""
        return cls(values, explicit)

    def dump(self) -> str:
        """YAML text that ``--config_path`` reads back."""
        documents = [self._values, *self._own] if any(self._own) else [self._values]
        return yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True)


class _Schema:
    """Values with help and choices, from one or several layered files."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.help: dict[str, str] = {}
        self.choices: dict[str, Any] = {}

    def add(self, path: Path, may_add_keys: bool, above: tuple[Path, ...] = ()) -> None:
        if path.resolve() in above:
            raise UserError(f"configuration {path} is its own base: remove the key base")
        values, help_, choices = map(dict, _read_once(path) if path == DEFAULT_FILE else _read_documents(path))
        base = values.pop("base", None)
        if base is not None:
            base = _convert("base", base, "", str(path))
            self.add(path.parent / base, may_add_keys, (*above, path.resolve()))
        # first, because an overlay may offer other choices than the file under it
        self.choices |= choices
        for key, value in values.items():
            key = ALIASES.get(key, key)
            if key not in self.values and may_add_keys and key in help_:
                if not isinstance(value, _KINDS):
                    raise UserError(f"{path}: the new option {key} {_shown(value)} is no text, number, switch or list")
                self.values[key] = value
            if key in self.values:
                self.values[key] = self.check(key, value, str(path))
            else:
                raise UserError(f"{path}: unknown option {_shown(key)}{_explain_unknown(key, self.values)}")
        self.help |= help_

    def check(self, key: str, value: Any, source: str) -> Any:
        """Convert to the type of the default and test against the choices."""
        value = _convert(key, value, self.values[key], source)
        allowed = self.choices.get(key)
        for item in value if isinstance(value, list) and isinstance(allowed, dict) else [value]:
            _check_allowed(key, item, allowed, source)
        return value


def _check_allowed(key: str, value: Any, allowed: Any, source: str) -> None:
    if isinstance(allowed, list) and value not in allowed:
        options = ", ".join(_shown(a) for a in allowed)
        raise UserError(f"{source}: {key} {_shown(value)} is not one of {options}{_closest(str(value), allowed)}")
    if isinstance(allowed, dict):
        low, high = allowed.get("min"), allowed.get("max")
        if not isinstance(value, (int, float)):
            raise UserError(f"{source}: {key} {_shown(value)} is not a number")
        # written so that NaN is out of range, too
        if not ((low is None or value >= low) and (high is None or value <= high)):
            bounds = f"at least {low}" if high is None else f"at most {high}" if low is None else f"in {low}..{high}"
            raise UserError(f"{source}: {key} {_shown(value)} is out of range: it must be {bounds}")


def _shown(value: Any) -> str:
    """A value as it was given, cut where it is long."""
    if not isinstance(value, str):
        try:
            value = _brief.repr(value)
        except ValueError:
            return "of thousands of digits"
    return value if len(value) <= _MOST_SHOWN else f"{value[:_MOST_SHOWN]}..."


def _read_documents(path: Path) -> tuple[dict, dict, dict]:
    try:
        text = path.read_text(encoding="utf-8")
        documents = list(yaml.load_all(text, _Loader))
    except FileNotFoundError:
        near = ", ".join(sorted(p.name for p in path.parent.glob("*.yaml"))) or "no .yaml file"
        raise UserError(f"configuration {_shown(str(path))} does not exist; {path.parent} holds {near}") from None
    except (OSError, *_YAML_ERRORS) as error:
        raise UserError(f"cannot read configuration {_shown(str(path))}: {_reason(error)}") from None
    documents = [d if d is not None else {} for d in documents] + [{}, {}, {}]
    for document in documents[:3]:
        if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
            raise UserError(f"configuration {path}: each document must map option names to values")
    for key, allowed in documents[2].items():
        if not isinstance(allowed, list) and not _is_range(allowed):
            raise UserError(f"configuration {path}: the choices of {key} are neither a list nor {{min: a, max: b}}")
    return documents[0], documents[1], documents[2]


@functools.cache
def _read_once(path: Path) -> tuple[dict, dict, dict]:
    return _read_documents(path)


def _is_range(allowed: Any) -> bool:
    return isinstance(allowed, dict) and all(
        name in ("min", "max") and (bound is None or type(bound) in (int, float)) for name, bound in allowed.items()
    )


def _reason(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        return f"{error.problem}{line}"
    text = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return _shown(text.splitlines()[0] if text else type(error).__name__)


def _convert(key: str, value: Any, default: Any, source: str) -> Any:
    """Give ``value`` the type of ``default``; text from the command line is read as YAML."""
    kind = type(default)
    if kind is bool:
        if isinstance(value, bool):
            return value
        if str(value).lower() in _TRUE | _FALSE:
            return str(value).lower() in _TRUE
        raise UserError(f"{source}: {key} {_shown(value)} is not True or False")
    if kind is str:
        if isinstance(value, (bytes, dict, list, set, tuple)) or (type(value) is int and abs(value) > _LARGEST):
            raise UserError(f"{source}: {key} {_shown(value)} is not a text")
        if source == _COMMAND_LINE and value == _BARE:
            raise UserError(f"{source}: --{key} has no value")
        text = "" if value is None else str(value)
        # no path can hold a zero byte, and half of a surrogate pair can be written to no file
        if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
            raise UserError(f"{source}: {key} {_shown(ascii(text))} holds a character that cannot be written to files")
        return text
    if isinstance(value, str):
        try:
            # not YAML, to which 010 is eight and 1e-4 a text
            value = _number(value) if kind in (int, float) else yaml.load(value, _Loader)
        except _YAML_ERRORS:
            raise UserError(f"{source}: {key} {_shown(value)} is not {_named(kind)}") from None
    if isinstance(value, bool):
        raise UserError(f"{source}: {key} {value} is not {_named(kind)}")
    if kind is float and isinstance(value, (int, float)):
        if not abs(value) <= sys.float_info.max:  # NaN, infinities, and whole numbers that no float can hold
            raise UserError(f"{source}: {key} {_shown(value)} is not a finite number")
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind is list and isinstance(value, (list, tuple)):
        inner = default[0] if default else None
        return [item if inner is None else _convert(key, item, inner, source) for item in value]
    if not isinstance(value, kind):
        raise UserError(f"{source}: {key} {_shown(value)} is not {_named(kind)}")
    if kind is int and abs(value) > _LARGEST:
        raise UserError(f"{source}: {key} {_shown(value)} is larger than any number that is of use here")
    return value


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _named(kind: type) -> str:
    return {int: "a whole number", float: "a number", list: "a list"}.get(kind, f"a {kind.__name__}")


def _closest(word: str, words: Any) -> str:
    matches = difflib.get_close_matches(word, [str(w) for w in words], 1, 0.6)
    return f"; did you mean {matches[0]}?" if matches else ""


def _explain_unknown(key: str, known: Mapping[str, Any]) -> str:
    if key in _GONE:
        return f" (no longer there: {_GONE[key]})"
    return _closest(key, known)


def parse_options(argv: Sequence[str]) -> dict[str, str]:
    """Split ``--key value``, ``--key=value`` and bare ``--flag`` (True) into a dict of texts.

    Raises:
        UserError: a word that belongs to no option.
    """
    options: dict[str, str] = {}
    words = list(argv)
    while words:
        word = words.pop(0)
        if not word.startswith("--") or len(word) < 3:
            raise UserError(f"unexpected word {_shown(word)} on the command line: options look like --key value")
        key, equals, value = word[2:].partition("=")
        if not equals:
            value = words.pop(0) if words and not words[0].startswith("--") else _BARE
        options[ALIASES.get(key, key)] = value
    return options


def check_kinds(values: Mapping[str, Any], source: str) -> None:
    """Compare stored options with the kinds (text, number, switch, list) of the default file's, where it has them.

    Raises:
        UserError: an option of another kind; ``source`` says where it was stored.
    """
    defaults = _read_once(DEFAULT_FILE)[0]
    for key in values.keys() & defaults.keys():
        if _convert(key, values[key], defaults[key], source) != values[key]:
            raise UserError(f"{source}: {key} {_shown(values[key])} is not {_named(type(defaults[key]))}")


def load_config(argv: Sequence[str], config_path: str | None = None) -> Config:
    """Layer the default file, the overlay of ``--config_path`` and the command line.

    Prints the options and exits on ``--help``.

    Raises:
        UserError: unknown key (with the closest known one), wrong type, value out of range, unreadable file.
    """
    if any(word in ("--help", "-h") for word in argv):
        argv = [word for word in argv if word not in ("--help", "-h")]
        wants_help = True
    else:
        wants_help = False
    options = parse_options(argv)
    overlay = options.pop("config_path", config_path)
    schema = _Schema()
    schema.add(DEFAULT_FILE, may_add_keys=True)
    common = dict(schema.help), dict(schema.choices)
    if overlay:
        path = Path(overlay)
        # os.path, because Path.exists raises on names that are too long
        schema.add(path if os.path.exists(path) or path.is_absolute() else ROOT / path, may_add_keys=True)
    for key, value in options.items():
        if key not in schema.values:
            raise UserError(f"unknown option --{_shown(key)}{_explain_unknown(key, schema.values)}")
        schema.values[key] = schema.check(key, value, _COMMAND_LINE)
    if wants_help:
        print(_help_text(schema))
        raise SystemExit(0)
    layered = schema.help, schema.choices
    own = [{k: new[k] for k in new if new[k] != old.get(k)} for old, new in zip(common, layered, strict=True)]
    return Config(schema.values, options, own)


def _help_text(schema: _Schema) -> str:
    lines = ["options (--key value), with their defaults:"]
    for key, value in schema.values.items():
        allowed = schema.choices.get(key)
        note = f" [{', '.join(str(a) for a in allowed)}]" if isinstance(allowed, list) else ""
        lines.append(f"  --{key} {value!r}{note}\n      {schema.help.get(key, '')}")
    lines.append("other names that are understood: " + ", ".join(f"{a} = {k}" for a, k in ALIASES.items()))
    return "\n".join(lines)
