"""A pickle read as data: a stack machine for the opcodes of weight files.

No class or function named in the stream is looked up. ``collections.OrderedDict`` is a dict, the
rebuild functions of PyTorch make a :class:`Tensor` that is a note of where its values lie, and
everything else becomes an :class:`Opaque` that holds its name and nothing more. An opcode outside
the list, a wrong type under an opcode, or a count beyond the limits ends the reading with an error
that says the byte. Source of the opcodes: PEP 307, PEP 3154 and CPython's ``pickletools``.
"""

from __future__ import annotations

import reprlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_OPCODES = 10_000_000
MAX_STACK = 1_000_000
MAX_TEXT = 64 << 20
MAX_NDIM = 8


MAX_NAME = 1024

_short = reprlib.Repr()
_short.maxlevel = 2
_short.maxtuple = _short.maxlist = _short.maxdict = 8
_short.maxstring = _short.maxother = 80


def shown(value: Any) -> str:
    """A value of the file for an error's text: short however deep or long the value is."""
    return _short.repr(value)


class Refused(Exception):
    """What is wrong and at which byte of the pickle."""


@dataclass(frozen=True)
class Name:
    """A class or function by name: never resolved."""

    text: str


@dataclass(frozen=True)
class Opaque:
    """Something that was not built."""

    name: str


@dataclass(frozen=True)
class Storage:
    """A stretch of values in the file: ``count`` items of ``kind`` from item ``first`` on."""

    key: str
    kind: str
    count: int
    first: int = 0


@dataclass(frozen=True)
class Tensor:
    """A strided view of a storage."""

    storage: Storage
    kind: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


KINDS = {
    "torch.FloatStorage": "float32",
    "torch.DoubleStorage": "float64",
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
    "torch.ShortStorage": "int16",
    "torch.CharStorage": "int8",
    "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool",
    "torch.storage.UntypedStorage": "bytes",
}
DTYPES = {f"torch.{kind}": kind for kind in KINDS.values() if kind != "bytes"}


def _whole(*values: Any) -> bool:
    return all(type(v) is int and 0 <= v < 1 << 62 for v in values)


def _tensor(storage, offset, shape, strides, kind=None) -> Tensor:
    if not isinstance(storage, Storage):
        raise Refused(f"a tensor over {type(storage).__name__}, not over a storage")
    if not (isinstance(shape, tuple) and isinstance(strides, tuple) and _whole(offset, *shape)):
        raise Refused(f"a tensor of shape {shown(shape)} at {shown(offset)}")
    if len(shape) != len(strides) or len(shape) > MAX_NDIM or not _whole(*strides):
        raise Refused(f"a tensor of shape {shown(shape)} and strides {shown(strides)}")
    return Tensor(storage, kind or storage.kind, offset, shape, strides)


def _rebuild_v2(*args) -> Tensor:
    if not 4 <= len(args) <= 7:
        raise Refused(f"_rebuild_tensor with {len(args)} arguments")
    storage, offset, shape, strides = args[:4]
    return _tensor(storage, offset, shape, strides)


def _rebuild_v3(*args) -> Tensor:
    if not 7 <= len(args) <= 8 or not isinstance(args[6], Name) or args[6].text not in DTYPES:
        raise Refused("_rebuild_tensor_v3 without a known dtype")
    storage, offset, shape, strides = args[:4]
    return _tensor(storage, offset, shape, strides, DTYPES[args[6].text])


def _rebuild_parameter(*args):
    if len(args) != 3 or not isinstance(args[0], (Tensor, Opaque)):
        raise Refused("_rebuild_parameter without a tensor")
    return args[0]


def _ordered_dict(*args) -> dict:
    if not args:
        return {}
    pairs = args[0]
    if len(args) != 1 or not isinstance(pairs, list):
        raise Refused("OrderedDict of something that is not a list of pairs")
    found: dict = {}
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise Refused("OrderedDict of something that is not a list of pairs")
        _put(found, *pair)
    return found


def _size(*args) -> tuple:
    if len(args) != 1 or not isinstance(args[0], (tuple, list)) or not _whole(*args[0]):
        raise Refused("torch.Size of something that is not whole numbers")
    return tuple(args[0])


CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _rebuild_v2,
    "torch._utils._rebuild_tensor_v2": _rebuild_v2,
    "torch._utils._rebuild_tensor_v3": _rebuild_v3,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch.Size": _size,
}


def _key(value: Any, depth: int = 0) -> bool:
    if isinstance(value, tuple):
        return depth < 2 and len(value) <= 16 and all(_key(v, depth + 1) for v in value)
    return value is None or type(value) in (str, int, float, bool, bytes)


def _put(into: dict, key: Any, value: Any) -> None:
    if isinstance(key, (Name, Opaque)):
        return  # an entry nobody can ask for
    if not _key(key):
        raise Refused(f"a dict key of type {type(key).__name__}")
    if isinstance(key, str) and key in into:
        raise Refused(f"the dict key {shown(key)} twice")
    into[key] = value


def _storage(pid: Any) -> Storage:
    """From a persistent id: ('storage', type, key, location, count), old files with a view after
    it."""
    if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
        raise Refused("a persistent id that is not a storage")
    _, kind, key, _, count = pid[:5]
    if not isinstance(kind, Name) or kind.text not in KINDS:
        name = kind.text if isinstance(kind, Name) else type(kind).__name__
        raise Refused(f"a storage of the type {name}; known: {', '.join(KINDS)}")
    if type(key) is not str or not 0 < len(key) <= 64 or not key.isascii() or not key.isalnum():
        raise Refused("a storage key that is not digits")
    if not _whole(count):
        raise Refused(f"a storage of {shown(count)} items")
    view = pid[5] if len(pid) == 6 else None
    if view is None:
        return Storage(key, KINDS[kind.text], count)
    if not isinstance(view, tuple) or len(view) != 3 or not _whole(*view[1:]):
        raise Refused("a storage view that is not (key, offset, size)")
    if view[1] + view[2] > count:
        raise Refused(f"a storage view of {view[2]} items at {view[1]} of {count}")
    return Storage(key, KINDS[kind.text], count, view[1])


class Machine:
    """Runs one pickle of ``data`` from ``at`` on.

    Attributes
    ----------
    at : int
        The byte after the pickle, once :meth:`run` has returned.
    refused : dict of str to int
        Names that were not built, and how often.
    """

    def __init__(self, data: bytes | memoryview, at: int = 0):
        self.data, self.at = memoryview(data), at
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.refused: dict[str, int] = {}
        self.names: dict[tuple[str, str], Name] = {}
        self.copied = 0

    def run(self) -> Any:
        """The value of the pickle.

        Raises
        ------
        Refused
        """
        for _ in range(MAX_OPCODES):
            start = self.at
            code = self._bytes(1)[0]
            if code == 0x2E:  # STOP
                if len(self.stack) != 1 or self.marks:
                    raise Refused(f"byte {start}: STOP over {len(self.stack)} values")
                return self.stack.pop()
            action = OPCODES.get(code)
            if action is None:
                raise Refused(f"byte {start}: opcode {bytes([code])!r} is not one of weight files")
            try:
                action(self)
            except Refused as error:
                raise Refused(f"byte {start}: {error}") from None
            if len(self.stack) > MAX_STACK or len(self.memo) > MAX_STACK:
                raise Refused(f"byte {start}: more than {MAX_STACK} values at once")
        raise Refused(f"more than {MAX_OPCODES} opcodes")

    # ---- the stream

    def _bytes(self, n: int) -> memoryview:
        if n > len(self.data) - self.at:
            raise Refused(f"ends at byte {len(self.data)}, {n} more wanted at {self.at}")
        self.at += n
        return self.data[self.at - n : self.at]

    def number(self, form: str) -> int:
        return struct.unpack(form, self._bytes(struct.calcsize(form)))[0]

    def text(self, n: int, encoding: str = "utf-8") -> str:
        if n > MAX_TEXT:
            raise Refused(f"a text of {n} bytes")
        try:
            return str(self._bytes(n), encoding)
        except UnicodeDecodeError:
            raise Refused(f"a text that is not {encoding}") from None

    def line(self) -> str:
        raw = bytes(self.data[self.at : self.at + 1025])
        end = raw.find(b"\n")
        if end < 0:
            raise Refused("a name without an end, or longer than 1024 bytes")
        return self.text(end + 1)[:-1]

    # ---- the stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise Refused("takes a value from an empty stack")
        return self.stack.pop()

    def top(self, *kinds: type) -> Any:
        value = self.pop()
        self.push(value)
        if not isinstance(value, kinds):
            wanted = " or ".join(k.__name__ for k in kinds)
            raise Refused(f"works on {type(value).__name__}, wanted {wanted}")
        return value

    def since_mark(self) -> list:
        if not self.marks:
            raise Refused("no mark on the stack")
        at = self.marks.pop()
        items = self.stack[at:]
        del self.stack[at:]
        return items

    def remember(self, index: int) -> None:
        self.memo[index] = self.top(object)

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise Refused(f"recalls value {index}, which was never stored")
        self.push(self.memo[index])

    def opaque(self, name: str) -> Opaque:
        self.refused[name] = self.refused.get(name, 0) + 1
        return Opaque(name)

    # ---- what opcodes with meaning do

    def set_items(self, items: list) -> None:
        target = self.top(dict, Opaque)
        if len(items) % 2:
            raise Refused("a key without a value")
        if isinstance(target, dict):
            for i in range(0, len(items), 2):
                _put(target, items[i], items[i + 1])

    def append(self, items: list) -> None:
        target = self.top(list, Opaque)
        if isinstance(target, list):
            target.extend(items)

    def reduce(self) -> None:
        args, function = self.pop(), self.pop()
        if not isinstance(args, tuple):
            raise Refused("arguments that are not a tuple")
        if isinstance(function, Opaque):
            self.push(self.opaque(function.name))
        elif not isinstance(function, Name):
            raise Refused(f"calls a {type(function).__name__}")
        elif function.text in CALLS:
            # A value that is recalled costs the file two bytes however long it is.
            self.copied += sum(len(a) for a in args if isinstance(a, (list, tuple, dict)))
            if self.copied > len(self.data):
                raise Refused("copies its values more often than the file is long")
            self.push(CALLS[function.text](*args))
        else:
            self.push(self.opaque(function.text))

    def new_object(self, parts: int) -> None:
        for _ in range(parts):
            self.pop()
        made = self.pop()
        if not isinstance(made, (Name, Opaque)):
            raise Refused(f"makes an object of a {type(made).__name__}")
        name = made.text if isinstance(made, Name) else made.name
        self.push({} if name == "collections.OrderedDict" else self.opaque(name))

    def build(self) -> None:
        self.pop()  # the state: metadata of modules, fields of objects
        self.top(dict, Opaque, Tensor)

    def global_name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise Refused("a name that is not text")
        if len(module) + len(name) > MAX_NAME:
            raise Refused(f"a name of {len(module) + len(name)} characters")
        found = self.names.get((module, name))
        if found is None:
            found = self.names[module, name] = Name(f"{module}.{name}")
        self.push(found)

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        self.global_name(module, name)

    def long1(self) -> None:
        n = self.number("<B")
        if n > 16:
            raise Refused(f"a whole number of {n} bytes")
        self.push(int.from_bytes(self._bytes(n), "little", signed=True))

    def raw(self, n: int) -> None:
        if n > MAX_TEXT:
            raise Refused(f"{n} bytes of raw data")
        self.push(bytes(self._bytes(n)))

    def take(self, n: int) -> None:
        items = [self.pop() for _ in range(n)]
        self.push(tuple(reversed(items)))

    def as_dict(self) -> None:
        items = self.since_mark()
        self.push({})
        self.set_items(items)

    def pair(self) -> list:
        value, key = self.pop(), self.pop()
        return [key, value]


OPCODES: dict[int, Callable[[Machine], Any]] = {
    ord(code): action
    for code, action in {
        "\x80": lambda m: m.number("<B"),  # PROTO
        "\x95": lambda m: m.number("<Q"),  # FRAME
        "(": lambda m: m.marks.append(len(m.stack)),
        "0": lambda m: m.pop(),
        "}": lambda m: m.push({}),
        "]": lambda m: m.push([]),
        ")": lambda m: m.push(()),
        "\x8f": lambda m: m.push([]),  # EMPTY_SET: order and doubles kept
        "t": lambda m: m.push(tuple(m.since_mark())),
        "\x85": lambda m: m.take(1),
        "\x86": lambda m: m.take(2),
        "\x87": lambda m: m.take(3),
        "l": lambda m: m.push(m.since_mark()),
        "d": lambda m: m.as_dict(),
        "a": lambda m: m.append([m.pop()]),
        "e": lambda m: m.append(m.since_mark()),
        "\x90": lambda m: m.append(m.since_mark()),  # ADDITEMS
        "s": lambda m: m.set_items(m.pair()),
        "u": lambda m: m.set_items(m.since_mark()),
        "N": lambda m: m.push(None),
        "\x88": lambda m: m.push(True),
        "\x89": lambda m: m.push(False),
        "J": lambda m: m.push(m.number("<i")),
        "K": lambda m: m.push(m.number("<B")),
        "M": lambda m: m.push(m.number("<H")),
        "\x8a": lambda m: m.long1(),
        "G": lambda m: m.push(m.number(">d")),
        "X": lambda m: m.push(m.text(m.number("<I"))),
        "\x8c": lambda m: m.push(m.text(m.number("<B"))),
        "\x8d": lambda m: m.push(m.text(m.number("<Q"))),
        "U": lambda m: m.push(m.text(m.number("<B"), "latin-1")),  # Python 2's
        "T": lambda m: m.push(m.text(m.number("<I"), "latin-1")),
        "C": lambda m: m.raw(m.number("<B")),
        "B": lambda m: m.raw(m.number("<I")),
        "q": lambda m: m.remember(m.number("<B")),
        "r": lambda m: m.remember(m.number("<I")),
        "\x94": lambda m: m.remember(len(m.memo)),
        "h": lambda m: m.recall(m.number("<B")),
        "j": lambda m: m.recall(m.number("<I")),
        "c": lambda m: m.global_name(m.line(), m.line()),
        "\x93": lambda m: m.stack_global(),
        "R": lambda m: m.reduce(),
        "\x81": lambda m: m.new_object(1),
        "\x92": lambda m: m.new_object(2),
        "b": lambda m: m.build(),
        "Q": lambda m: m.push(_storage(m.pop())),
    }.items()
}
