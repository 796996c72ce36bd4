"""Options: read once from YAML and the command line, checked, and written out resolved.

A configuration file has three YAML documents: values, help, choices. A choice is a list of what is allowed, or a
range ``{min: a, max: b}``. The default file holds the common keys and pix2pixHD's; an overlay changes values, may add
keys of its own system, and may build on another overlay with ``base: other.yaml``.
"""

__all__ = ["ALIASES", "Config", "load_config", "parse_options"]

import difflib
import math
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
# value of a flag that stands alone: right for switches, and no text that anyone means
_BARE = "True"
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


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
        values, help_, choices = _read_documents(path)
        base = values.pop("base", None)
        if base is not None:
            self.add(path.parent / str(base), may_add_keys, (*above, path.resolve()))
        # first, because an overlay may offer other choices than the file under it
        self.choices |= choices
        for key, value in values.items():
            key = ALIASES.get(key, key)
            if key not in self.values and may_add_keys and key in help_:
                self.values[key] = value
            if key in self.values:
                self.values[key] = self.check(key, value, str(path))
            else:
                raise UserError(f"{path}: unknown option {key}{_explain_unknown(key, self.values)}")
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
        options = ", ".join(str(a) for a in allowed)
        raise UserError(f"{source}: {key} {value} is not one of {options}{_closest(str(value), allowed)}")
    if isinstance(allowed, dict):
        low, high = allowed.get("min"), allowed.get("max")
        # written so that NaN is out of range, too
        if not ((low is None or value >= low) and (high is None or value <= high)):
            bounds = f"at least {low}" if high is None else f"at most {high}" if low is None else f"in {low}..{high}"
            raise UserError(f"{source}: {key} {value} is out of range: it must be {bounds}")


def _read_documents(path: Path) -> tuple[dict, dict, dict]:
    try:
        text = path.read_text(encoding="utf-8")
        documents = list(yaml.safe_load_all(text))
    except FileNotFoundError:
        near = ", ".join(sorted(p.name for p in path.parent.glob("*.yaml"))) or "no .yaml file"
        raise UserError(f"configuration {path} does not exist; {path.parent} holds {near}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"cannot read configuration {path}: {str(error).splitlines()[0]}") from None
    documents = [d if d is not None else {} for d in documents] + [{}, {}, {}]
    for document in documents[:3]:
        if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
            raise UserError(f"configuration {path}: each document must map option names to values")
    return documents[0], documents[1], documents[2]


def _convert(key: str, value: Any, default: Any, source: str) -> Any:
    """Give ``value`` the type of ``default``; text from the command line is read as YAML."""
    kind = type(default)
    if kind is bool:
        if isinstance(value, bool):
            return value
        if str(value).lower() in _TRUE | _FALSE:
            return str(value).lower() in _TRUE
        raise UserError(f"{source}: {key} {value} is not True or False")
    if kind is str:
        if isinstance(value, (dict, list)):
            raise UserError(f"{source}: {key} {value} is not a text")
        if source == _COMMAND_LINE and value == _BARE:
            raise UserError(f"{source}: --{key} has no value")
        return "" if value is None else str(value)
    if isinstance(value, str):
        try:
            # not YAML, to which 010 is eight and 1e-4 a text
            value = _number(value) if kind in (int, float) else yaml.safe_load(value)
        except (ValueError, yaml.YAMLError):
            raise UserError(f"{source}: {key} {value} is not {_named(kind)}") from None
    if isinstance(value, bool):
        raise UserError(f"{source}: {key} {value} is not {_named(kind)}")
    if kind is float and isinstance(value, (int, float)):
        if not math.isfinite(value):
            raise UserError(f"{source}: {key} {value} is not a finite number")
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind is list and isinstance(value, (list, tuple)):
        inner = default[0] if default else None
        return [item if inner is None else _convert(key, item, inner, source) for item in value]
    if not isinstance(value, kind):
        raise UserError(f"{source}: {key} {value} is not {_named(kind)}")
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
            raise UserError(f"unexpected word {word} on the command line: options look like --key value")
        key, equals, value = word[2:].partition("=")
        if not equals:
            value = words.pop(0) if words and not words[0].startswith("--") else _BARE
        options[ALIASES.get(key, key)] = value
    return options


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
        schema.add(path if path.exists() or path.is_absolute() else ROOT / path, may_add_keys=True)
    for key, value in options.items():
        if key not in schema.values:
            raise UserError(f"unknown option --{key}{_explain_unknown(key, schema.values)}")
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
