"""Options from anywhere: words of a command line, files of a configuration."""

import time

import numpy as np
import pytest
import yaml

from src.options.owner import ROOT
from src.systems.programs import load_config
from src.utils.errors import UserError
from tests.fuzz.mutations import INPUTS, Trial, damaged, spliced, try_inputs

OVERLAYS = sorted((ROOT / "configs").glob("*.yaml"))
RUNS = "!!python/object/apply:os.system ['touch it_ran']"
VALUES = (
    "", " ", "nan", "-inf", "1e999", "9" * 5000, "-9" * 400, "-1", "0", "1", "2.5", "1e-4", "010", "0x10", "1_000",
    "٣", "２", "True", "truE", "yes please", "null", "~", "[1, 2", "[]", "[1, [2, [3]]]", "{a: b}", "{a", "[" * 4000,
    "- " * 500, "&a [*a]", "*nobody", RUNS, "!!binary x", "!!timestamp x", "2001-99-99", "!!int ''", "a" * 50_000,
    "../../..", "/", "\x1b[2J", "ü‮😀", "\ud800", "a\nb", "x\0y", "--ngf", "=", "%s{0}", "[.nan]", "[!!float x]",
)  # fmt: skip


def words(rng, keys):
    """One option of a command line, and a second one at times."""
    result = []
    for _ in range(1 + int(rng.random() < 0.3)):
        key, value = str(rng.choice(keys)), VALUES[int(rng.integers(len(VALUES)))]
        if rng.random() < 0.15:
            key = damaged(key.encode(), rng, 1).decode("utf-8", "replace")
        result.append(f"--{key}={value}")
        if rng.random() < 0.1:
            result[-1:] = [f"--{key}", value]
    return result


def test_values_on_the_command_line(working_folder):
    rng = np.random.default_rng(1)
    overlays = [None, *map(str, OVERLAYS)]
    known = {}
    for overlay in overlays:
        schema = load_config([], overlay).schema
        known[overlay] = [*schema.options, *schema.other_names, "config_path"]

    def read(argv, overlay):
        text = load_config(argv, overlay).dump()
        assert "model" in next(iter(yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))))

    def trials():
        for _ in range(INPUTS["values on the command line"]):
            overlay = overlays[int(rng.integers(len(overlays)))]
            argv = words(rng, known[overlay])
            yield Trial(lambda argv=argv, overlay=overlay: read(argv, overlay), working_folder)

    try_inputs("values on the command line", trials())
    assert not list(working_folder.iterdir())


def with_another_value(documents, rng):
    """A configuration in which one value, or a description of it, is of another kind."""
    part = documents[int(rng.integers(len(documents)))]
    odd = [
        VALUES[int(rng.integers(len(VALUES)))],
        None,
        [],
        {},
        {"min": "x"},
        [[]],
        1.5,
        True,
        {1: 2},
        -1,
        10**400,
        [None],
    ]
    key = str(rng.choice([*part, "base", "model", "unknown"])) if part else "base"
    part[key] = odd[int(rng.integers(len(odd)))]
    return documents


def bomb(kind):
    """Eight lines that unfold to 10**8 values."""
    names = "abcdefgh"
    if kind == "lists":
        lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
        lines += [f"{n}: &{n} [{', '.join([f'*{m}'] * 10)}]" for m, n in zip(names, names[1:], strict=False)]
        return "\n".join([*lines, "name: *h", "---", "h: *h"])
    lines = ["a: &a {x: 1}"]
    lines += [f"{n}: &{n} {{<<: [{', '.join([f'*{m}'] * 10)}]}}" for m, n in zip(names, names[1:], strict=False)]
    return "\n".join([*lines, "<<: *h"])


HANDMADE = (
    bomb("lists"), bomb("merges"), "ngf: " + "[" * 5000, "? {a: b}\n: c", "- a\n- b", "text", "1",
    "---\n---\n---\n---", f"name: {RUNS}", f"{RUNS}: 1", "name: !!python/name:os.system", "base: itself.yaml",
    "base: ..", "base: /", "base: [1]", 'base: "x\\0y"', 'name: "a\\0b"', "base: " + "a" * 5000, "base: nobody.yaml",
    "ngf: 1\nngf: [", "\ufeffngf: 8", "ngf:\t8", "? !!set {a}\n: 1", "name: !!omap [a: 1]", "? [a]\n: 1",
    "ngf: 2001-99-99", "ngf: !!int ''", "ngf: !!float x", "ngf: 0b", "ngf: 0o", "ngf: 190:20:30", "x: 1\n---\nx: [",
    "own: 1\n---\nown: help\n---\nown: {min: [1]}", "own: 1\n---\nown: help\n---\nown: {min: x}",
    "own: a\n---\nown: help\n---\nown: 5", "own: [1]\n---\nown: help\n---\nown: {max: null}",
    "own: null\n---\nown: help", "own: 2001-01-01\n---\nown: help", "own: !!binary aaaa\n---\nown: help",
    "model: nobody", "own: {a: 1}\n---\nown: help\n---\nown: [{a: 1}]", "ngf: &a 8\nndf: *a", "ngf: 8 # ü", "ngf: 08",
    "ngf: +8", "ngf: 8.0",
)  # fmt: skip


def test_configuration_files(working_folder):
    rng = np.random.default_rng(2)
    texts = [path.read_bytes() for path in OVERLAYS]
    folder = working_folder / "configs"
    folder.mkdir()
    for path in OVERLAYS:  # what a mutated file builds on
        (folder / path.name).write_bytes(path.read_bytes())

    def mutated(number):
        if number < len(HANDMADE):
            return HANDMADE[number].encode()
        data = texts[int(rng.integers(len(texts)))]
        if number % 3 == 0:
            return damaged(data, rng)
        if number % 3 == 1:
            documents = [part or {} for part in yaml.safe_load_all(data)]
            text = yaml.safe_dump_all(with_another_value(documents, rng), allow_unicode=True)
            return text.encode("utf-8", "surrogatepass")
        return spliced(data, texts[int(rng.integers(len(texts)))], rng)

    def trials():
        for number in range(INPUTS["configuration files"]):
            path = folder / "itself.yaml"
            path.write_bytes(mutated(number))
            yield Trial(lambda path=path: load_config(["--config_path", str(path)]).dump(), folder)

    try_inputs("configuration files", trials())
    assert not (working_folder / "it_ran").exists()


def test_the_reason_is_said_in_a_few_words(working_folder):
    """A value that unfolds to gigabytes must not be unfolded into the message about it."""
    path = working_folder / "bomb.yaml"
    for kind in ("lists", "merges"):
        path.write_text(bomb(kind))
        with pytest.raises(UserError, match=r"bomb\.yaml: .*alias"):
            load_config(["--config_path", str(path)])


def test_a_long_file_is_refused_at_once(working_folder):
    """PyYAML takes a minute for a megabyte."""
    path = working_folder / "long.yaml"
    path.write_text("ngf: 8\n" + "# " + "x" * 1_000_000)
    began = time.monotonic()
    with pytest.raises(UserError, match=r"long\.yaml is larger than 128 KiB"):
        load_config(["--config_path", str(path)])
    assert time.monotonic() - began < 2
