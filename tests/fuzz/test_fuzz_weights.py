"""Foreign weights: files of torch.save in both layouts, the pickles in them, whole pickled modules, and conversion."""

import io
import os
import pickle
import pickletools
import struct
import zipfile
from pathlib import Path

import numpy as np

from data import convert_checkpoint
from src.models.vgg import load_vgg
from src.systems.hflow.published import read_published
from src.systems.registry import descriptions
from src.utils.errors import UserError
from src.utils.pickles import Budget, Damaged, Refused, unpickle
from src.utils.pth import read_pth, read_pth_tree
from src.utils.tensorfile import read_arrays, read_metadata
from tests.fuzz.mutations import INPUTS, Trial, damaged, spliced, try_inputs
from tests.torch_files import Block, Parameter, Tensor, save_legacy, save_zip, state_dict

CYCLEGAN = Path(__file__).resolve().parents[1] / "reference" / "cyclegan_small" / "G_AB.pth"
ODD_NUMBERS = (0, -1, 1, 2**31, 2**63 - 1, 2**64, -(2**70), 10**4000, 1.5, None, "4", (), True)


class Call:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def weights(rng):
    return {
        "model.1.weight": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "model.1.bias": rng.standard_normal(4).astype(np.float32),
        "count": np.int64(7),
    }


def odd(rng):
    return ODD_NUMBERS[int(rng.integers(len(ODD_NUMBERS)))]


def tensors(rng):
    """A tree as torch.save writes it, in which something may be odd: sizes, steps, counts, keys, nesting, calls."""
    tree = {name: Tensor(array) for name, array in weights(rng).items()}
    victim = tree["model.1.weight"]
    kind = int(rng.integers(12))
    if kind == 0:
        victim.size = tuple(odd(rng) if rng.random() < 0.4 else n for n in victim.size)
    elif kind == 1:
        victim.stride = tuple(odd(rng) if rng.random() < 0.4 else n for n in victim.stride)
    elif kind == 2:
        victim.offset = odd(rng)
    elif kind == 3:
        victim.block = Block(np.zeros(108, np.float32), count=odd(rng))
    elif kind == 4:
        victim.size, victim.stride = ((n,) * int(rng.choice([1, 2, 33, 70])) for n in (int(rng.integers(2)), 2**70))
        victim.stride = victim.stride[: len(victim.size)]
    elif kind == 5:
        tree = {odd(rng): victim, "b": [tree, (victim,)], b"c": {1: Parameter(victim)}}
    elif kind == 6:
        command = "touch it_ran"
        tree["x"] = (Call(os.system, command), Call(eval, "1"), Call(exec, "import os"))[int(rng.integers(3))]
    elif kind == 7:
        for _ in range(int(rng.integers(1, 200))):
            tree = [tree] if rng.random() < 0.5 else {"a": tree}
    elif kind == 8:
        knot = []
        knot.append(knot)
        tree["x"] = knot
    elif kind == 9:
        tree = (victim, [victim], 5, "text", None, {1, 2}, 2**80)[int(rng.integers(7))]
    elif kind == 10:
        tree = state_dict(state_dict=state_dict(**tree), optimizer={"state": {0: {"step": odd(rng)}}})
    else:
        tree |= {"a.b": victim, "a": {"b": victim}}
    return tree


def test_torch_files(working_folder):
    rng = np.random.default_rng(8)
    folder = working_folder / "data"
    folder.mkdir()
    path = folder / "weights.pth"

    def whole(number):
        if number % 2:
            tree = tensors(rng)
        else:
            tree = state_dict(**{name: Tensor(array) for name, array in weights(rng).items()})
        save = (save_zip, save_legacy)[number // 2 % 2]
        try:
            save(path, tree, protocol=int(rng.choice([2, 4])))
        except (struct.error, TypeError, ValueError):  # too odd to be written
            save(path, {"a": Tensor(np.zeros(2, np.float32))})
        return path.read_bytes()

    def read():
        arrays = read_pth(path)
        assert arrays and all(isinstance(array, np.ndarray) for array in arrays.values())
        read_pth_tree(path)

    def trials():
        other = whole(0)
        for number in range(INPUTS["torch files"]):
            data = whole(number)
            if number % 10 == 4:
                data = repacked(data, rng)
            elif number % 2 == 0:
                data = spliced(data, other, rng) if number % 8 == 0 else damaged(data, rng)
            path.write_bytes(data)
            yield Trial(read, folder, path.name)

    try_inputs("torch files", trials())
    assert not list(working_folder.rglob("it_ran"))


def repacked(data, rng):
    """The archive written anew with something wrong inside, so that its own checksums are right."""
    if not data.startswith(b"PK"):
        return data
    result = io.BytesIO()
    kind = int(rng.integers(5))
    packing = (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED)[int(kind > 0)]
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(result, "w", packing) as new:
        for entry in old.infolist():
            body = old.read(entry)
            if kind == 1:
                body = damaged(body, rng)
            if kind == 2 and "/data/" in entry.filename:
                continue
            new.writestr(entry.filename.replace("archive", "../../up" if kind == 3 else "archive"), body)
        if kind == 4:
            new.writestr("archive/constants.pkl", b"")
    return result.getvalue()


def test_pickles(working_folder):
    """Programs of random pickle instructions: all are read or refused, none is run."""
    rng = np.random.default_rng(9)
    codes = [code.code.encode("latin1") for code in pickletools.opcodes]
    pieces = [pickle.dumps(x, 2)[2:-1] for x in ({"a": 1}, [1, (2,)], {1, 2}, 2**90, b"x", "ü", 1.5, None, [[]] * 9)]
    pieces += [
        b"cos\nsystem\n",
        b"cbuiltins\neval\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ccollections\nOrderedDict\n",
    ]
    pieces += [
        b"X\x05\x00\x00\x00abcde",
        b"(",
        b")",
        b"R",
        b"Q",
        b"b",
        b"u",
        b"s",
        b"h\x00",
        b"q\x00",
        b"\x8d" + b"\xff" * 8,
    ]

    def read(program):
        try:
            unpickle(io.BytesIO(program), Budget(len(program)))
        except (Damaged, Refused) as reason:
            raise UserError(str(reason)[:500] or "no reason") from reason

    def trials():
        for number in range(INPUTS["pickles"]):
            if number % 4 == 0:
                program = pickle.dumps([{"a": [1, (2, 3)]}, "x" * 40], int(rng.integers(2, 6)))
                program = damaged(program, rng, 2) if number % 8 else program
            else:
                parts = [
                    pieces[int(rng.integers(len(pieces)))]
                    if rng.random() < 0.7
                    else codes[int(rng.integers(len(codes)))] + rng.bytes(int(rng.integers(3)))
                    for _ in range(int(rng.integers(1, 25)))
                ]
                program = b"\x80\x02" + b"".join(parts) + b"."
            yield Trial(lambda program=program: read(program), working_folder)

    try_inputs("pickles", trials())


def test_whole_pickled_modules(working_folder):
    """Published hflow files, whose source must not be run either."""
    rng = np.random.default_rng(10)
    folder = working_folder / "data"
    folder.mkdir()
    path = folder / "model_iter_1.bin"

    def block(data):
        return struct.pack("<I", len(data)) + data

    tree = save_legacy(folder / "tree", {"a": Tensor(np.zeros(3, np.float32))}).read_bytes()
    (folder / "tree").unlink()
    source = b"import os; os.system('touch it_ran')"
    whole = block(b"hflow.network") + block(source) + tree + tree + block(b'{"prior": null}')
    # an empty module of the published class instead of the dictionary, which is refused
    head = tree[: tree.index(b"\x80\x02", 60)]
    module = b"\x80\x02chflow.network\nMultiStep\n)\x81}X\x0b\x00\x00\x00_parametersx}sb.".replace(b"x}sb", b"}sb")
    good = head + module + b"\x80\x02]."
    for number in range(4):  # where the pickles of a file begin is found by reading it
        whole_module = block(b"hflow.network") + block(source) + good + good + block(b"{}")[: None if number else 0]
        path.write_bytes(whole_module)
        read_published(path)

    def trials():
        for number in range(INPUTS["whole pickled modules"]):
            data = whole if number % 3 == 0 else whole_module
            path.write_bytes(damaged(data, rng, 2) if number > 2 else data)
            yield Trial(lambda: read_published(path), folder, path.name)

    try_inputs("whole pickled modules", trials())
    assert not list(working_folder.rglob("it_ran"))


def test_conversions(working_folder, capsys):
    """The command itself on published weights in which an array is missing, misshapen or of another kind."""
    rng = np.random.default_rng(11)
    folder = working_folder / "data"
    folder.mkdir()
    published = read_pth(CYCLEGAN)
    names = list(published)
    options = [
        "--config_path",
        "configs/cyclegan.yaml",
        "--ngf",
        "8",
        "--n_residual_blocks",
        "3",
        "--save_ckpt_dir",
        "runs",
    ]
    path = folder / "net_G_AB.pth"

    def changed(number):
        arrays = dict(published)
        name = names[int(rng.integers(len(names)))]
        kind = number % 8
        if kind == 1:
            del arrays[name]
        elif kind == 2:
            arrays[name] = arrays[name].reshape(-1)[:1].reshape(())
        elif kind == 3:
            arrays[name] = arrays[name].astype((np.float64, np.float16, np.int64, np.bool_, np.uint8)[number % 5])
        elif kind == 4:
            arrays[name] = np.full_like(arrays[name], (np.nan, np.inf)[number % 2])
        elif kind == 5:
            arrays[f"model.{'9' * 300}.block.1.weight"] = arrays.pop(name)
        elif kind == 6:
            arrays = {f"module.{key}": value for key, value in arrays.items()}
        elif kind == 7:
            arrays[name] = arrays[name][..., :0]
        return {key: Tensor(value) for key, value in arrays.items()}

    def trials():
        for number in range(INPUTS["conversions"]):
            save_zip(path, changed(number))
            words = ["--source", str(path), *options, "--name", f"run{number}"]
            yield Trial(lambda words=words: convert_checkpoint.main(words), folder, path.name)

    try_inputs("conversions", trials())


def test_every_system_looks_at_foreign_arrays_without_falling_over():
    """What the converter asks the systems before anything is compared: names, options, layouts."""
    strange = {
        "": np.zeros(()),
        "model.1.weight": np.zeros(3),
        "module.": np.zeros((0, 2)),
        "a" * 500: np.zeros(1, bool),
    }
    for description in descriptions():
        published = description.load().published
        for arrays in ({}, strange, {f"module.{key}": value for key, value in strange.items()}):
            for network in ("G", "G_AB", "glow", "F", "F_ema", "HF", ""):
                for ask in (published.names, published.options):
                    try:
                        ask(network, arrays)
                    except UserError as error:
                        assert str(error)


def safetensors(header, body=b"", length=None):
    text = header if isinstance(header, bytes) else header.encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def test_network_files(working_folder):
    rng = np.random.default_rng(12)
    folder = working_folder / "data"
    folder.mkdir()
    path = folder / "vgg.safetensors"
    entry = '"a":{"dtype":"%s","shape":%s,"data_offsets":%s}'
    good = safetensors("{" + entry % ("F32", "[2]", "[0,8]") + "}", bytes(8))
    handmade = [
        b"", b"\0" * 8, safetensors("{}"), safetensors("{", b""), safetensors("[]"), safetensors("null"),
        safetensors("{}", length=2**63), safetensors("{}", length=10**9), safetensors("[" * 5000),
        safetensors('{"__metadata__":5}'), safetensors('{"__metadata__":{"a":5}}'), safetensors('{"a":5}'),
        safetensors('{"a":{}}'), safetensors("{" + entry % ("F32", "[2]", "[0,8]") + "}"),
        safetensors("{" + entry % ("F32", "[3]", "[0,8]") + "}", bytes(8)),
        safetensors("{" + entry % ("F32", "[-1]", "[0,8]") + "}", bytes(8)),
        safetensors("{" + entry % ("F32", f"[{2**62},4]", "[0,0]") + "}"),
        safetensors("{" + entry % ("F32", "[0,18446744073709551615]", "[0,0]") + "}"),
        safetensors("{" + entry % ("F32", str([1] * 70), "[0,4]") + "}", bytes(4)),
        safetensors("{" + entry % ("BF16", "[2]", "[0,4]") + "}", bytes(4)),
        safetensors("{" + entry % ("F8_E4M3", "[2]", "[0,2]") + "}", bytes(2)),
        safetensors("{" + entry % ("F8_E8M0", "[2]", "[0,2]") + "}", bytes(2)),
        safetensors("{" + entry % ("F4", "[4]", "[0,2]") + "}", bytes(2)),
        safetensors("{" + entry % ("C64", "[1]", "[0,8]") + "}", bytes(8)),
        safetensors("{" + entry % ("X", "[2]", "[0,8]") + "}", bytes(8)),
        safetensors("{" + entry % ("F32", "[2]", "[8,0]") + "}", bytes(8)),
        safetensors(b'{"\xff":1}'), good + b"more",
    ]  # fmt: skip

    def read():
        read_metadata(path)
        arrays, _ = read_arrays(path)
        assert all(isinstance(array, np.ndarray) for array in arrays.values())

    def is_no_vgg():
        read()
        try:
            load_vgg(str(path))
        except UserError as error:
            assert "holds no VGG19" in str(error)

    def trials():
        for number in range(INPUTS["network files"]):
            if number < len(handmade):
                path.write_bytes(handmade[number])
            else:
                path.write_bytes(damaged(good if number % 2 else handmade[number % len(handmade)], rng))
            yield Trial(is_no_vgg if number % 12 == 0 else read, folder, path.name)

    try_inputs("network files", trials())
