"""A pickle interpreter that can build plain data and tensor descriptions, and cannot do anything else."""

__all__ = ["Damaged", "ObjectRef", "Refused", "Storage", "TensorRef", "Unpickled", "unpickle"]

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

# pix2pixHD's widest network has about 100 tensors and 30 instructions for each; this is for huge flows
_MAX_INSTRUCTIONS = 5_000_000
_MAX_DIMENSIONS = 32
# of numbers in a tensor and between its neighbours; more than any storage holds
_MAX_COUNT = 1 << 48
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
    """The pickle names or does something that plain data and tensors do not need; the text says what."""


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


@dataclass(frozen=True)
class _Name:
    """A global that the pickle mentions. It is only ever compared, never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"the global {self.module}.{self.name}"


class _Mark:
    """The one object between the items of a collection and what lies below them on the stack."""


_MARK = _Mark()


def unpickle(source: bytes | BinaryIO, knows: Callable[[str, str], bool] | None = None) -> Unpickled:
    """Interpret one pickle; a stream is left just behind it.

    ``knows(module, name)`` says which classes and functions may be mentioned beside those of tensors. What the
    pickle would build or call with them becomes an inert :class:`ObjectRef`.

    Raises:
        Damaged: the pickle is malformed.
        Refused: it holds an instruction or a name that plain data and tensors do not need.
    """
    machine = _Machine(knows=knows or _knows_nothing)
    stream = io.BytesIO(source) if isinstance(source, (bytes, bytearray)) else source
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count > _MAX_INSTRUCTIONS:
                raise Damaged("its pickle is absurdly long")
            action = _ACTIONS.get(opcode.name)
            if action is None:
                raise Refused(f"the pickle instruction {opcode.name}")
            action(machine, argument)
        if len(machine.stack) != 1:
            raise Damaged("its pickle ends in the middle")
        return Unpickled(machine.stack.pop(), machine.storages)
    except (ArithmeticError, LookupError, MemoryError, RecursionError, TypeError, ValueError) as error:
        raise Damaged(f"its pickle is malformed: {type(error).__name__}: {error}") from error


@dataclass
class _Machine:
    stack: list = field(default_factory=list)
    memo: dict[int, object] = field(default_factory=dict)
    storages: dict[str, Storage] = field(default_factory=dict)
    knows: Callable[[str, str], bool] | None = None

    def pop_to_mark(self) -> list:
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is _MARK:
                items = self.stack[place + 1 :]
                del self.stack[place:]
                return items
        raise Damaged("its pickle closes a collection that was not opened")

    def pop(self) -> object:
        value = self.stack.pop()
        if value is _MARK:
            raise Damaged("its pickle closes a collection too early")
        return value

    def top(self, kind: type) -> object:
        value = self.stack[-1]
        if not isinstance(value, kind):
            raise Damaged(f"its pickle adds items to a {type(value).__name__}")
        return value

    # ------------------------------------------------------------- instructions

    def push(self, value: object) -> None:
        self.stack.append(value)

    def store(self, place: int) -> None:
        value = self.stack[-1]
        if value is _MARK:
            raise Damaged("its pickle remembers a mark")
        self.memo[place] = value

    def memoize(self, _: None) -> None:
        self.store(len(self.memo))

    def recall(self, place: int) -> None:
        self.stack.append(self.memo[place])

    def fill_dict(self, _: None) -> None:
        items = self.pop_to_mark()
        target = self.top(dict)
        target.update(_pairs(items))

    def fill_dict_once(self, _: None) -> None:
        value, key = self.pop(), self.pop()
        self.top(dict).update(_pairs([key, value]))

    def fill_list(self, _: None) -> None:
        items = self.pop_to_mark()
        self.top(list).extend(items)

    def fill_list_once(self, _: None) -> None:
        value = self.pop()
        self.top(list).append(value)

    def fill_set(self, _: None) -> None:
        items = self.pop_to_mark()
        self.top(set).update(map(_scalar, items))

    def make_dict(self, _: None) -> None:
        self.push(dict(_pairs(self.pop_to_mark())))

    def make_list(self, _: None) -> None:
        self.push(self.pop_to_mark())

    def make_tuple(self, _: None) -> None:
        self.push(tuple(self.pop_to_mark()))

    def make_short_tuple(self, length: int) -> None:
        items = [self.pop() for _ in range(length)]
        self.push(tuple(items[::-1]))

    def name(self, text: str) -> None:
        module, name = text.split(" ", 1)
        self._push_name(module, name)

    def name_to_call(self, text: str) -> None:
        self.name(text)
        raise Refused(f"a call of {self.stack[-1]}")

    def name_from_stack(self, _: None) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(module, str) or not isinstance(name, str):
            raise Damaged("its pickle names a global by something that is no text")
        self._push_name(module, name)

    def _push_name(self, module: str, name: str) -> None:
        name_ = _Name(module, name)
        if (module, name) not in _KNOWN and not self.knows(module, name):
            raise Refused(str(name_))
        self.push(name_)

    def persistent(self, _: None) -> None:
        """('storage', type, key, device, count, [view]): a block of numbers outside the pickle."""
        item = self.pop()
        if isinstance(item, tuple) and len(item) == 4 and item[0] == "module":
            if not isinstance(item[1], _Name) or not self.knows(item[1].module, item[1].name):
                raise Refused("a pickled module with its source code")
            self.push(item[1])
            return
        if not isinstance(item, tuple) or len(item) not in (5, 6) or item[0] != "storage":
            raise Damaged("its pickle refers to something other than a storage")
        kind, key, count = item[1], item[2], item[4]
        if not isinstance(kind, _Name) or (kind.module, kind.name) not in _STORAGES:
            raise Refused(f"a storage of the type {kind}")
        if not isinstance(key, str) or type(count) is not int or count < 0:
            raise Damaged(f"storage {key!r} claims {count!r} numbers")
        if len(item) == 6 and item[5] is not None:
            raise Refused("a view of a storage (PyTorch before 0.4)")
        storage = Storage(key, _DTYPES[kind.name], count)
        if self.storages.setdefault(key, storage) != storage:
            raise Damaged(f"storage {key!r} is described in two ways")
        self.push(storage)

    def reduce(self, _: None) -> None:
        arguments, name = self.pop(), self.pop()
        if not isinstance(name, _Name) or not isinstance(arguments, tuple):
            raise Refused(f"a call of {name if isinstance(name, _Name) else type(name).__name__}")
        self.push(self._build(name, arguments))

    def _build(self, name: _Name, arguments: tuple) -> object:
        identity = (name.module, name.name)
        if identity in _TENSORS:
            return _tensor(arguments)
        if identity in _PARAMETERS and arguments and isinstance(arguments[0], TensorRef):
            return arguments[0]
        if identity == _SIZE and len(arguments) == 1 and isinstance(arguments[0], (tuple, list)):
            return tuple(arguments[0])
        if identity == _DICT:
            if not arguments:
                return {}
            if len(arguments) == 1 and isinstance(arguments[0], (list, tuple)):
                return dict(_pairs([part for pair in arguments[0] for part in _pair(pair)]))
        if self.knows(*identity):
            return ObjectRef(name.name)
        raise Refused(f"a call of {name}")

    def new_object(self, _: None) -> None:
        self.pop()
        name = self.pop()
        if not isinstance(name, _Name) or not self.knows(name.module, name.name):
            raise Refused(f"an object of {name if isinstance(name, _Name) else type(name).__name__}")
        self.push(ObjectRef(name.name))

    def set_attributes(self, _: None) -> None:
        """Attributes of anything but an :class:`ObjectRef` (``_metadata`` of a state dict) are dropped."""
        state = self.pop()
        if isinstance(self.stack[-1], ObjectRef):
            # numpy's types have a tuple there, which says nothing about arrays
            self.stack[-1].attributes.update(state if isinstance(state, dict) else {})
            return
        if not isinstance(self.stack[-1], (dict, TensorRef)):
            raise Refused(f"setting attributes of a {type(self.stack[-1]).__name__}")


def _knows_nothing(module: str, name: str) -> bool:
    return False


def _scalar(key: object) -> object:
    # the hash of a tuple nested a million deep overflows the C stack, and no state dict has such a key
    if key is None or isinstance(key, (bool, int, float, str, bytes)):
        return key
    raise Refused(f"a key of the type {type(key).__name__}")


def _pair(item: object) -> tuple:
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise Damaged("its pickle describes a dictionary by something other than pairs")
    return tuple(item)


def _pairs(items: list) -> list[tuple]:
    if len(items) % 2:
        raise Damaged("its pickle gives a key without a value")
    return [(_scalar(key), value) for key, value in zip(items[::2], items[1::2], strict=True)]


def _tensor(arguments: tuple) -> TensorRef:
    if len(arguments) < 4 or not isinstance(arguments[0], Storage):
        raise Damaged("its pickle describes a tensor without a storage")
    storage, offset, size, stride = arguments[:4]
    if len(arguments) > 6 and arguments[6]:
        raise Refused(f"a tensor with the metadata {arguments[6]!r}")
    if not isinstance(size, tuple) or not isinstance(stride, tuple) or len(size) != len(stride):
        raise Damaged("its pickle describes a tensor whose shape and strides do not belong together")
    if len(size) > _MAX_DIMENSIONS or any(
        type(n) is not int or not 0 <= n <= _MAX_COUNT for n in (offset, *size, *stride)
    ):
        raise Damaged(f"a tensor claims the shape {size}, strides {stride} and offset {offset}")
    return TensorRef(storage, offset, size, stride)


def _nothing(machine: _Machine, argument: object) -> None:
    pass


def _constant(make):
    return lambda machine, argument: machine.push(make())


_LITERALS = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT "
    "STRING BINSTRING SHORT_BINSTRING UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 "
    "BINBYTES SHORT_BINBYTES BINBYTES8"
)
_ACTIONS = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _nothing),
    **dict.fromkeys(_LITERALS.split(), _Machine.push),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.store),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.recall),
    "NONE": _constant(lambda: None),
    "NEWTRUE": _constant(lambda: True),
    "NEWFALSE": _constant(lambda: False),
    "EMPTY_TUPLE": _constant(tuple),
    "EMPTY_LIST": _constant(list),
    "EMPTY_DICT": _constant(dict),
    "EMPTY_SET": _constant(set),
    "MARK": _constant(lambda: _MARK),
    "MEMOIZE": _Machine.memoize,
    "TUPLE1": lambda machine, _: machine.make_short_tuple(1),
    "TUPLE2": lambda machine, _: machine.make_short_tuple(2),
    "TUPLE3": lambda machine, _: machine.make_short_tuple(3),
    "TUPLE": _Machine.make_tuple,
    "LIST": _Machine.make_list,
    "DICT": _Machine.make_dict,
    "APPEND": _Machine.fill_list_once,
    "APPENDS": _Machine.fill_list,
    "SETITEM": _Machine.fill_dict_once,
    "SETITEMS": _Machine.fill_dict,
    "ADDITEMS": _Machine.fill_set,
    "GLOBAL": _Machine.name,
    "INST": _Machine.name_to_call,
    "STACK_GLOBAL": _Machine.name_from_stack,
    "BINPERSID": _Machine.persistent,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.set_attributes,
    "NEWOBJ": _Machine.new_object,
}
