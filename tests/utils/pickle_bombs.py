"""Small torch.save files whose values, copies or messages unfold. As a script: read each file named on the command line
and print, as JSON, what became of it, the seconds it took and by how many bytes the process grew."""

__all__ = ["BOMBS", "ESCAPES", "legacy", "zipped"]

import json
import pickle
import struct
import sys
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

FLOATS, REBUILD, SIZE = b"ctorch\nFloatStorage\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nSize\n"
ORDERED = b"ccollections\nOrderedDict\n"


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def doubled(depth=26):
    """A list of ever larger shared tuples; ``g`` is the last, which unfolds to 2**depth."""
    program = b"])q\x00a"
    for k in range(depth):
        program += b"h" + bytes([k]) + b"h" + bytes([k]) + b"\x86q" + bytes([k + 1]) + b"a"
    return program


g = b"h\x1a"
HEAD = b"(" + text("storage") + FLOATS
STORAGE = HEAD + text("0") + text("cpu") + b"K\x10tQ"
LIST = b"](" + b"K\x01" * 150_000 + b"eq\x00"
COLLIDING = b"".join(pickle.dumps(k * (2**61 - 1), 2)[2:-1] for k in range(1, 60_000))
LONG = text("a" * 2_000_000)
LONG_NUMBER = pickle.dumps(1 << 16_000_000, 2)[2:-1] + b"q\x00"


def shared_dictionary(levels, key):
    """Dictionaries of ``levels`` levels that all hold the same next one twice, above a tensor without numbers."""
    program = REBUILD + b"(" + STORAGE + b"K\x00K\x00\x85K\x01\x85tRq\x00"
    for _ in range(levels):
        program += b"}(" + text("a" + key) + b"h\x00" + text("b" + key) + b"h\x00uq\x00"
    return program


#: programs, each of which leaves any number of values
BOMBS = {
    "key of a storage": doubled() + HEAD + g + text("cpu") + b"K\x10tQa",
    "count of a storage": doubled() + HEAD + text("0") + text("cpu") + g + b"tQa",
    "type of a storage": doubled() + b"(" + text("storage") + g + text("0") + text("cpu") + b"K\x10tQa",
    "size of a tensor": doubled() + REBUILD + b"(" + STORAGE + b"K\x00(" + g + b"t(K\x01ttRa",
    "stride of a tensor": doubled() + REBUILD + b"(" + STORAGE + b"K\x00(K\x01t(" + g + b"ttRa",
    "offset of a tensor": doubled() + REBUILD + b"(" + STORAGE + g + b"(K\x01t(K\x01ttRa",
    "metadata of a tensor": doubled() + REBUILD + b"(" + STORAGE + b"K\x00(K\x01t(K\x01t\x89})" + g + b"\x86tRa",
    "key of a dictionary": doubled() + b"}" + g + b"K\x01sa",
    "copies of a size": LIST + b"" + (SIZE + b"h\x00\x85R") * 1000,
    "copies of a dictionary": b"](" + b"".join(text(f"{k}") + b"N\x86" for k in range(30_000)) + b"eq\x00"
    + (ORDERED + b"h\x00\x85R") * 300,
    "copies of a tensor": shared_dictionary(17, ""),
    "empty sets": b"\x8f" * 2_000_000,
    "empty dictionaries": b"}" * 4_000_000,
    "marks": b"(" * 4_000_000,
    "remembered": b"N" + b"\x94" * 2_000_000,
    "calls": ORDERED + b"q\x00" + b"h\x00)R" * 1_000_000,
    "numbers that collide in a set": b"\x8f(" + COLLIDING + b"\x90",
    "numbers that collide in a dictionary": b"}(" + b"".join(
        pickle.dumps(k * (2**61 - 1), 2)[2:-1] + b"N" for k in range(1, 60_000)
    ) + b"u",
    "long texts that are equal": LONG + b"q\x00" + LONG + b"q\x01}" + b"h\x00Nsh\x01Ns" * 60_000,
    "storages with long equal names": HEAD + LONG + text("cpu") + b"K\x10tq\x00" + HEAD + LONG + text("cpu")
    + b"K\x10tq\x01" + b"h\x00Qh\x01Q" * 60_000,
    "long numbers": LONG_NUMBER + b"}" + b"h\x00Ns" * 20_000,
    "long names": shared_dictionary(15, "n" * 900),
}  # fmt: skip

#: names that would clear a terminal, write a title or turn the direction of writing
_EVIL = "\x1b[2J\x1b]0;x\x07‮\x9b\n"
ESCAPES = {
    "global": b"c" + b"\x1b[2J\x07\nsystem\n",
    "global of protocol 4": text(_EVIL) + text(_EVIL) + b"\x93",
    "storage": REBUILD + b"(" + HEAD + text(_EVIL) + text("cpu") + b"K\x10tQK\x00)" + b")tR",
    "array": b"}" + text(_EVIL) + REBUILD + b"(" + STORAGE + b"K\x00K\x00\x85K\x01\x85tRs",
    "instruction": b"P" + _EVIL.encode() + b"\n",
}


def _whole(program):
    """Protocol, a dictionary with one list of the program's values, and the end."""
    return b"\x80\x02}" + text("x") + b"](" + program + b"es."


def zipped(path, program):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", _whole(program))
        archive.writestr("a/data/0", bytes(64))


def legacy(path, program, place=3):
    """The older layout with ``program`` as one of its pickles: 2 describes the machine, 3 is the value, 4 the keys."""
    parts = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {}, {}, ["0"])]
    parts[place] = _whole(program)
    path.write_bytes(b"".join(parts) + struct.pack("<q", 16) + bytes(64))


def _main(paths):
    import resource
    import time

    from src.utils.errors import UserError
    from src.utils.pth import read_pth

    for path in paths:
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        try:
            end = f"{len(read_pth(path))} arrays"
        except UserError as error:
            end = str(error)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(json.dumps([path, end, time.process_time() - start, grown << 10]), flush=True)


if __name__ == "__main__":
    _main(sys.argv[1:])
