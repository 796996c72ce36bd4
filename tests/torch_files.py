"""Write files in the two layouts of ``torch.save`` without PyTorch, byte by byte as it does."""

import collections
import io
import pickle
import struct
import sys
import types
import zipfile
from contextlib import contextmanager

import numpy as np

STORAGES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


class Block:
    """Raw numbers of one storage; ``count`` may lie."""

    def __init__(self, values, dtype=None, count=None):
        self.values = np.ascontiguousarray(values).reshape(-1)
        self.dtype = dtype or self.values.dtype.name
        self.count = self.values.size if count is None else count


class Tensor:
    """A strided view of a block, as PyTorch pickles it."""

    def __init__(self, values, dtype=None, offset=0, size=None, stride=None, block=None):
        values = np.asarray(values)
        self.block = block or Block(values, dtype)
        self.offset = offset
        self.size = values.shape if size is None else size
        self.stride = tuple(np.cumprod((1, *self.size[:0:-1]))[::-1].tolist()) if stride is None else stride
        self.stride = self.stride[: len(self.size)]

    def __reduce__(self):
        arguments = (self.block, self.offset, tuple(self.size), self.stride, False, collections.OrderedDict())
        return sys.modules["torch._utils"]._rebuild_tensor_v2, arguments


class Parameter:
    """A tensor that is trained."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __reduce__(self):
        arguments = (self.tensor, True, collections.OrderedDict())
        return sys.modules["torch._utils"]._rebuild_parameter, arguments


def state_dict(**items):
    """An ordered dictionary with the ``_metadata`` attribute that modules leave on theirs."""
    result = collections.OrderedDict(items)
    result._metadata = collections.OrderedDict([("", {"version": 1})])
    return result


@contextmanager
def _torch():
    """Modules by whose names pickle refers to what it stores; they exist while a file is written."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in STORAGES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    for name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
        function = types.FunctionType((lambda: None).__code__, {}, name)
        function.__module__, function.__qualname__ = "torch._utils", name
        setattr(utils, name, function)
    torch._utils = utils
    sys.modules.update({"torch": torch, "torch._utils": utils})
    try:
        yield torch
    finally:
        del sys.modules["torch"], sys.modules["torch._utils"]


class _Pickler(pickle.Pickler):
    def __init__(self, stream, protocol, torch, legacy):
        super().__init__(stream, protocol)
        self._torch, self._legacy = torch, legacy
        self.blocks = []

    def persistent_id(self, item):
        if not isinstance(item, Block):
            return None
        if item not in self.blocks:
            self.blocks.append(item)
        number = self.blocks.index(item)
        key = str(94000 + number) if self._legacy else str(number)
        view = (None,) if self._legacy else ()
        return ("storage", getattr(self._torch, STORAGES[item.dtype]), key, "cpu", item.count, *view)


def save_zip(path, tree, protocol=2, order="little", compression=zipfile.ZIP_STORED):
    """Write the layout of PyTorch 1.6 and later."""
    with _torch() as torch:
        stream = io.BytesIO()
        pickler = _Pickler(stream, protocol, torch, legacy=False)
        pickler.dump(tree)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", stream.getvalue())
        archive.writestr("archive/byteorder", order)
        for number, block in enumerate(pickler.blocks):
            sign = "<" if order == "little" else ">"
            data = block.values.astype(block.values.dtype.newbyteorder(sign)).tobytes()
            archive.writestr(f"archive/data/{number}", data)
        archive.writestr("archive/version", "3\n")
    return path


def save_legacy(path, tree, protocol=2):
    """Write the layout of PyTorch before 1.6, which torchvision's old weights have."""
    with _torch() as torch, open(path, "wb") as stream:
        pickle.dump(0x1950A86A20F9469CFC6C, stream, protocol)
        pickle.dump(1001, stream, protocol)
        machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4, "long": 4}}
        pickle.dump(machine, stream, protocol)
        pickler = _Pickler(stream, protocol, torch, legacy=True)
        pickler.dump(tree)
        keys = [str(94000 + number) for number in range(len(pickler.blocks))]
        pickle.dump(keys, stream, protocol)
        for block in pickler.blocks:
            stream.write(struct.pack("<q", block.values.size) + block.values.tobytes())
    return path
