"""Files of ``torch.save`` that lie: pickles and archives put together by hand."""

import io
import struct
import warnings
import zipfile

FLOATS = struct.pack("<6f", *range(6))


def text(s: str) -> bytes:
    return b"X" + struct.pack("<I", len(s.encode())) + s.encode()


def whole(n: int) -> bytes:
    raw = n.to_bytes(8, "little", signed=True)
    return b"J" + struct.pack("<i", n) if abs(n) < 1 << 31 else b"\x8a\x08" + raw


def numbers(values) -> bytes:
    return b"(" + b"".join(whole(v) for v in values) + b"t"


def storage(kind="FloatStorage", key="0", count=6) -> bytes:
    return (
        b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu")
        + whole(count) + b"tQ"
    )  # fmt: skip


def tensor(shape=(2, 3), strides=(3, 1), offset=0, **of) -> bytes:
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage(**of) + whole(offset) + numbers(shape) + numbers(strides)
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )  # fmt: skip


def state(**tensors: bytes) -> bytes:
    items = b"".join(text(k) + v for k, v in tensors.items())
    return b"\x80\x02}(" + items + b"u."


def archive(pickle: bytes, records=None, *, compress=False, extra=(), prefix="archive/") -> bytes:
    out = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", method) as z:
        warnings.simplefilter("ignore")  # of names that come twice
        z.writestr(f"{prefix}data.pkl", pickle)
        for key, raw in ({"0": FLOATS} if records is None else records).items():
            z.writestr(f"{prefix}data/{key}", raw)
        for name, raw in extra:
            z.writestr(name, raw)
    return out.getvalue()


def running(command: str) -> bytes:
    """What the classic attack looks like: os.system with a command."""
    return b"\x80\x02cos\nsystem\n(" + text(command) + b"tR."


def files(marker: str) -> dict[str, tuple[bytes, str]]:
    """Name -> (bytes, what the error must say). ``marker`` is a file that must never appear."""
    touch = f"touch {marker}"
    good = state(w=tensor())
    whole_file = archive(good)
    return {
        "os.system alone": (archive(running(touch)), "os.system"),
        "posix.system in a stream": (running(touch), "not of torch.save"),
        "a dict over os.system": (archive(b"\x80\x02}" + text("w") + running(touch)[2:-1] + b"s."),
                                  "no dict of tensors"),
        "builtins.eval by STACK_GLOBAL": (
            archive(b"\x80\x04" + text("builtins") + text("eval") + b"\x93("
                    + text(touch) + b"tR."), "builtins.eval"),
        "INST": (archive(b"\x80\x02(" + text(touch) + b"ios\nsystem\n."), "opcode b'i'"),
        "OBJ": (archive(b"\x80\x02(cos\nsystem\n" + text(touch) + b"o."), "opcode b'o'"),
        "EXT1": (archive(b"\x80\x02\x82\x01."), "opcode"),
        "a call of a tensor": (archive(state(w=tensor() + b")R")), "calls a Tensor"),
        "a rebuild of nothing": (archive(state(w=b"ctorch._utils\n_rebuild_tensor_v2\n)R")),
                                 "0 arg"),
        "a stack of nothing": (archive(b"\x80\x02R."), "empty stack"),
        "a mark that is not there": (archive(b"\x80\x02t."), "no mark"),
        "a memo that is not there": (archive(b"\x80\x02h\x07."), "recalls value 7"),
        "SETITEM on a list": (archive(b"\x80\x02]K\x01K\x02s."), "works on list"),
        "APPEND on a dict": (archive(b"\x80\x02}K\x01a."), "works on dict"),
        "no STOP": (archive(b"\x80\x02}"), "ends at byte"),
        "a text longer than the file": (archive(b"\x80\x02X\xff\xff\xff\x7f."), "text of"),
        "raw bytes longer than the file": (archive(b"\x80\x02B\xff\xff\xff\x03."), "more wanted"),
        "a key twice": (archive(b"\x80\x02}(" + 2 * (text("w") + tensor()) + b"u."), "twice"),
        "a list as a key": (archive(b"\x80\x02}]K\x01s."), "dict key of type list"),
        "a negative stride": (archive(state(w=tensor(strides=(3, -1)))), "strides"),
        "a negative shape": (archive(state(w=tensor(shape=(-2, 3)))), "shape"),
        "a negative offset": (archive(state(w=tensor(offset=-1))), "at -1"),
        "an offset beyond the end": (archive(state(w=tensor(offset=1))), "item 6 of 6"),
        "a shape beyond the end": (archive(state(w=tensor(shape=(2, 4)))), "item 6 of 6"),
        "a shape of 2^61 by 8": (archive(state(w=tensor(shape=(1 << 61, 8), strides=(0, 0)))),
                                 "values of a storage of 6"),
        "a stride of 2^61": (archive(state(w=tensor(strides=(1 << 61, 1)))), "reaches item"),
        "nine axes": (archive(state(w=tensor(shape=(1,) * 9, strides=(1,) * 9))), "shape"),
        "an expanded row": (archive(state(w=tensor(shape=(1000, 6), strides=(0, 1)))),
                            "wants 6000"),
        "a storage that lies": (archive(state(w=tensor(count=7))), "24 bytes, 7 items"),
        "a storage of 2^60": (archive(state(w=tensor(count=1 << 60))), "24 bytes"),
        "a storage that is not there": (archive(state(w=tensor(key="9"))), "storage 9 is not"),
        "a storage called ..": (archive(state(w=tensor(key="../0"))), "key that is not digits"),
        "a storage of an unknown type": (archive(state(w=tensor(kind="QInt8Storage"))), "QInt8"),
        "truth values of 7": (archive(state(w=tensor(kind="BoolStorage")), {"0": b"\7" * 6}),
                              "truth values"),
        "overlapping views": (
            archive(state(**{f"w{i}": tensor((1000, 1000), (1, 1000), count=1_000_000)
                             for i in range(9)}), {"0": bytes(4_000_000)}), "overlap"),
        "a compressed archive": (archive(good, {"0": bytes(24)}, compress=True), "compressed"),
        "a zip bomb": (archive(good, {"0": bytes(50_000_000)}, compress=True), "compressed"),
        "an entry twice": (archive(good, extra=[("archive/data/0", FLOATS)]), "twice"),
        "an entry outside": (archive(good, extra=[("../../etc/x", b"")]), "entry name"),
        "an absolute entry": (archive(good, extra=[("/etc/x", b"")]), "entry name"),
        "TorchScript": (archive(good, extra=[("archive/code/a.py", b"")]), "TorchScript"),
        "two pickles": (archive(good, extra=[("b/data.pkl", good)]), "2 entries called data.pkl"),
        "no pickle": (_plain_zip(), "0 entries called"),
        "big-endian": (archive(good, extra=[("archive/byteorder", b"big")]), "big-endian"),
        "a damaged record": (whole_file.replace(FLOATS, FLOATS[::-1]), "checksum"),
        "another local name": (whole_file.replace(b"archive/data/0", b"archive/data/1", 1),
                               "another header"),
        "a cut archive": (whole_file[:-30], "zip archive"),
        "a whole module": (archive(b"\x80\x02cmine\nNet\n)\x81}b."), "mine.Net"),
    }  # fmt: skip


def _plain_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("readme.txt", b"hello")
    return out.getvalue()
