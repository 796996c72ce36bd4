"""A pickle reader that can build plain data and tensor descriptions, and nothing else.

It is the standard library's reader in Python without the instructions that call or look up anything. Names in a pickle
become inert, and the memory of its values is limited by a budget.
"""

__all__ = ["Budget", "Damaged", "ObjectRef", "Refused", "Storage", "TensorRef", "Unpickled", "unpickle"]

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NoReturn

from .errors import shown

_MAX_DIMENSIONS = 32
# of numbers in a tensor and between its neighbours; more than any storage holds
_MAX_COUNT = 1 << 48
# characters of a dictionary's key or a storage's; long ones that are equal are compared in full
_MAX_TEXT = 1000
# the hashes of numbers can be made to collide, and each look-up then searches through all of them
_MAX_NUMBERS = 20_000
# bytes in memory of the result of one instruction, and of a set or an object
_INSTRUCTION, _OBJECT = 48, 192
_DTYPES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_STORAGES = {(module, name) for module in ("torch", "torch.cuda", "torch.storage") for name in _DTYPES}
_DICT = ("collections", "OrderedDict")
_SIZE = ("torch", "Size")
_TENSORS = {("torch._utils", "_rebuild_tensor"), ("torch._utils", "_rebuild_tensor_v2")}
_PARAMETERS = {
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_parameter_with_state"),
    ("torch.nn.parameter", "Parameter"),
}
_KNOWN = _STORAGES | _TENSORS | _PARAMETERS | {_DICT, _SIZE}


class Damaged(Exception):
    """The pickle is cut short, malformed or claims impossible sizes."""


class Refused(Exception):
    """The pickle names or does something that plain data and tensors do not need; the message names it."""


class Budget:
    """Bytes that the values in a file of ``size`` bytes may take in memory, so that a small file stays small."""

    def __init__(self, size: int):
        self._left = min((32 << 20) + 16 * size, 1 << 30)

    def spend(self, count: int) -> None:
        """Take ``count`` bytes.

        Raises:
            Damaged: nothing is left.
        """
        self._left -= count
        if self._left < 0:
            raise Damaged("its values expand to far more bytes than the file has")


@dataclass(frozen=True)
class Storage:
    """A block of ``count`` numbers that lies outside the pickle."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True)
class TensorRef:
    """A strided view of a storage; offset and strides count numbers, not bytes."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(eq=False)
class ObjectRef:
    """An object that the pickle describes and that is not built: the name of its class and its attributes."""

    name: str
    attributes: dict[str, object] = field(default_factory=dict)


@dataclass
class Unpickled:
    """The value of a pickle and the storages it mentions, by key."""

    value: object
    storages: dict[str, Storage]


@dataclass(frozen=True, eq=False)
class _Name:
    """A global that the pickle mentions. It is only ever compared, never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"the global {shown(self.module)}.{shown(self.name)}"


def unpickle(stream: BinaryIO, budget: Budget, knows: Callable[[str, str], bool] | None = None) -> Unpickled:
    """Interpret one pickle and leave the stream just behind it.

    ``knows(module, name)`` says which classes and functions may be mentioned beside those of tensors. What the pickle
    would build or call with them becomes an inert :class:`ObjectRef`.

    Raises:
        Damaged: the pickle is malformed, or its values take more than the budget.
        Refused: it holds an instruction or a name that plain data and tensors do not need.
    """
    reader = _Reader(stream, budget, knows or _knows_nothing)
    try:
        value = reader.load()
        if reader.stack or reader.metastack:
            raise Damaged("its pickle ends in the middle")
        return Unpickled(value, reader.storages)
    except (Damaged, Refused):
        raise
    except Exception as error:  # every error of the library means a malformed file
        raise Damaged(f"its pickle is malformed: {type(error).__name__}: {error}") from error


class _Instructions(dict):
    """The functions of the instructions; an instruction that is not allowed raises an error."""

    def __missing__(self, code: int) -> NoReturn:
        if code in pickle._Unpickler.dispatch:
            raise Refused(f"the pickle instruction {bytes([code])!r}")
        raise Damaged(f"its pickle has the unknown instruction {bytes([code])!r}")


class _Reader(pickle._Unpickler):
    # attributes of the library's class that its type stubs leave out
    stack: list[Any]
    metastack: list[list[Any]]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, stream: BinaryIO, budget: Budget, knows: Callable[[str, str], bool]):
        # Python 2 has no bytes type, so its strings may hold any bytes
        super().__init__(stream, encoding="latin1")
        self.storages: dict[str, Storage] = {}
        self._budget, self._knows, self._numbers = budget, knows, 0

    def find_class(self, module: str, name: str) -> _Name:
        if (module, name) not in _KNOWN and not self._knows(module, name):
            raise Refused(str(_Name(module, name)))
        return _Name(module, name)

    def persistent_load(self, item: object) -> object:
        """('storage', type, key, device, count, [view]): a block of numbers outside the pickle."""
        self._budget.spend(_OBJECT)
        if isinstance(item, tuple) and len(item) == 4 and item[0] == "module":
            if not isinstance(item[1], _Name) or not self._knows(item[1].module, item[1].name):
                raise Refused("a pickled module with its source code")
            return item[1]
        if not isinstance(item, tuple) or len(item) not in (5, 6) or item[0] != "storage":
            raise Damaged("its pickle refers to something other than a storage")
        kind, key, count = item[1], item[2], item[4]
        if not isinstance(kind, _Name) or (kind.module, kind.name) not in _STORAGES:
            raise Refused(f"a storage of the type {kind}" if isinstance(kind, _Name) else "a storage without a type")
        if not isinstance(key, str) or len(key) > _MAX_TEXT:
            raise Damaged("the name of a storage is not a short string")
        if type(count) is not int or not 0 <= count <= _MAX_COUNT:
            raise Damaged(f"storage {shown(key)} claims an impossible size")
        if len(item) == 6 and item[5] is not None:
            raise Refused("a view of a storage (PyTorch before 0.4)")
        storage = Storage(key, _DTYPES[kind.name], count)
        if self.storages.setdefault(key, storage) != storage:
            raise Damaged(f"storage {shown(key)} is described in two ways")
        return storage

    def _key(self, key: object) -> object:
        # the hash of a tuple nested a million deep overflows the C stack, and no state dict has such a key
        if isinstance(key, (str, bytes)):
            if len(key) > _MAX_TEXT:
                raise Damaged(f"it has a name of {len(key)} characters")
        elif key is None or isinstance(key, (int, float)):
            self._numbers += 1
            if self._numbers > _MAX_NUMBERS or (isinstance(key, int) and key.bit_length() > 64):
                raise Damaged(f"it has numbers beyond 64 bits or more than {_MAX_NUMBERS} of them as names")
        else:
            raise Refused(f"a key of the type {type(key).__name__}")
        return key

    def _top(self, kind: type | tuple[type, ...]) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise Damaged(f"its pickle adds items to a {type(self.stack[-1]).__name__}")
        return self.stack[-1]

    def _fill(self, items: list) -> None:
        target = self._top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[self._key(key)] = value

    def _build(self, name: _Name, arguments: tuple) -> object:
        identity = (name.module, name.name)
        if identity in _TENSORS:
            return _tensor(arguments)
        if identity in _PARAMETERS and arguments and isinstance(arguments[0], TensorRef):
            return arguments[0]
        if identity in (_DICT, _SIZE) and len(arguments) <= 1:
            items = arguments[0] if arguments else ()
            if isinstance(items, (tuple, list)):
                self._budget.spend(_INSTRUCTION * len(items))
                if identity == _SIZE:
                    return tuple(items)
                return {self._key(key): value for key, value in map(_pair, items)}
        if self._knows(*identity):
            return ObjectRef(name.name)
        raise Refused(f"a call of {name}")

    # ------------------------------------------------------------- instructions

    def load_empty_set(self) -> None:
        self._budget.spend(_OBJECT)
        self.append(set())

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._fill([key, value])

    def load_setitems(self) -> None:
        self._fill(self.pop_mark())

    def load_additems(self) -> None:
        items = self.pop_mark()
        self._top(set).update(map(self._key, items))

    def load_reduce(self) -> None:
        self._budget.spend(_OBJECT)
        arguments, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, _Name) or not isinstance(arguments, tuple):
            raise Refused(f"a call of {name if isinstance(name, _Name) else type(name).__name__}")
        self.append(self._build(name, arguments))

    def load_newobj(self) -> None:
        self._budget.spend(_OBJECT)
        _, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, _Name) or not self._knows(name.module, name.name):
            raise Refused(f"an object of {name if isinstance(name, _Name) else type(name).__name__}")
        self.append(ObjectRef(name.name))

    def load_build(self) -> None:
        """Attributes of anything but an :class:`ObjectRef` (``_metadata`` of a state dict) are dropped."""
        state = self.stack.pop()
        target = self._top((ObjectRef, dict, TensorRef))
        # numpy's types have a tuple there, which says nothing about arrays
        if isinstance(target, ObjectRef) and isinstance(state, dict):
            target.attributes = state


def _knows_nothing(module: str, name: str) -> bool:
    return False


def _pair(item: object) -> tuple | list:
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise Damaged("its pickle describes a dictionary by something other than pairs")
    return item


def _tensor(arguments: tuple) -> TensorRef:
    if len(arguments) < 4 or not isinstance(arguments[0], Storage):
        raise Damaged("its pickle describes a tensor without a storage")
    storage, offset, size, stride = arguments[:4]
    if len(arguments) > 6 and arguments[6]:
        raise Refused("a tensor with metadata")
    if not isinstance(size, tuple) or not isinstance(stride, tuple) or len(size) != len(stride):
        raise Damaged("its pickle describes a tensor whose shape and strides do not belong together")
    if len(size) > _MAX_DIMENSIONS or any(
        type(n) is not int or not 0 <= n <= _MAX_COUNT for n in (offset, *size, *stride)
    ):
        raise Damaged("a tensor claims a shape, strides or an offset that no tensor has")
    return TensorRef(storage, offset, size, stride)


def _charged(action: Callable[[_Reader], None]) -> Callable[[_Reader], None]:
    def run(reader: _Reader) -> None:
        reader._budget.spend(_INSTRUCTION)
        action(reader)

    return run


# the standard library's instructions that are used never call, import or hash contents of a file
_PLAIN = (
    pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE,
    pickle.INT, pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG, pickle.LONG1, pickle.LONG4,
    pickle.BINFLOAT, pickle.BINSTRING, pickle.SHORT_BINSTRING, pickle.BINUNICODE, pickle.SHORT_BINUNICODE,
    pickle.BINUNICODE8, pickle.BINBYTES, pickle.SHORT_BINBYTES, pickle.BINBYTES8, pickle.EMPTY_TUPLE, pickle.TUPLE1,
    pickle.TUPLE2, pickle.TUPLE3, pickle.TUPLE, pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS, pickle.EMPTY_DICT,
    pickle.BINPUT, pickle.LONG_BINPUT, pickle.MEMOIZE, pickle.BINGET, pickle.LONG_BINGET, pickle.GLOBAL,
    pickle.STACK_GLOBAL, pickle.BINPERSID,
)  # fmt: skip
_OWN = {
    pickle.EMPTY_SET: _Reader.load_empty_set,
    pickle.SETITEM: _Reader.load_setitem,
    pickle.SETITEMS: _Reader.load_setitems,
    pickle.ADDITEMS: _Reader.load_additems,
    pickle.REDUCE: _Reader.load_reduce,
    pickle.NEWOBJ: _Reader.load_newobj,
    pickle.BUILD: _Reader.load_build,
}
_ACTIONS: dict[bytes, Callable[[Any], None]] = {code: pickle._Unpickler.dispatch[code[0]] for code in _PLAIN} | _OWN
_Reader.dispatch = _Instructions({code[0]: _charged(action) for code, action in _ACTIONS.items()})
