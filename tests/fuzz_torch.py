"""Fuzzes the reader of torch files: mutated and made-up pickles and archives, guided by coverage.

    python tests/fuzz_torch.py --seconds 10 [--corpus FOLDER] [--seed 0]

Whatever the bytes, reading ends in arrays or in a WeightsError, and meanwhile

- nothing is run: no import, no compiled code, no process, no file written (Python's audit events);
- memory stays in proportion to the file (``MEMORY``), as ``tracemalloc`` counts it;
- no more than ``SECONDS`` pass.

A file that breaks a promise is kept in the corpus folder and ends the run. libFuzzer has nothing to
instrument here, the reader is Python; lines of the reader seen for the first time make a file a
seed of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import struct
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import hostile_torch as made
import numpy as np

import ecgkit as ek
from ecgkit import _torch
from ecgkit._torch import machine

MEMORY = 256
"""Bytes of memory per byte of file, beside FIXED: an empty list in a pickle is one byte, in Python
it is 56 and 8 more in the list that holds it."""
FIXED = 1 << 18
SECONDS = 5.0
LONGEST, TRACED = 1 << 13, 1 << 11
"""Bytes of a mutant, and of one whose lines are counted."""

FORBIDDEN = ("import", "exec", "compile", "marshal.", "os.", "subprocess.", "pickle.", "socket.",
             "ctypes.", "shutil.")  # fmt: skip
ALLOWED = ("os.listdir",)  # tempfile's and pathlib's own looks
READER = tuple(str(p) for p in Path(_torch.__file__).parent.glob("*.py"))


class Broken(Exception):
    """A promise that was not kept."""


# ------------------------------------------------------------------ what is watched
class Watch:
    """Audit events while reading; a hook cannot be taken out, so there is one, switched on and
    off."""

    def __init__(self):
        self.on, self.seen = False, []
        sys.addaudithook(self.hook)

    def hook(self, event, args):
        if not self.on:
            return
        written = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
        if written or (event.startswith(FORBIDDEN) and event not in ALLOWED):
            self.seen.append((event, str(args)[:200]))


class Lines:
    """Pairs of lines of the reader that ran one after the other."""

    def __init__(self):
        self.pairs: set[tuple] = set()

    def __enter__(self):
        self.last = None
        sys.settrace(self.call)

    def __exit__(self, *_):
        sys.settrace(None)

    def call(self, frame, event, arg):
        return self.line if frame.f_code.co_filename in READER else None

    def line(self, frame, event, arg):
        here = frame.f_code.co_filename[-8:], frame.f_lineno
        self.pairs.add((self.last, here))
        self.last = here
        return self.line


def check(data: bytes, path: Path, watch: Watch) -> dict | None:
    """Read; the arrays, or None if the file was refused. Raises Broken."""
    path.write_bytes(data)
    watch.seen.clear()
    tracemalloc.start()
    begun = time.perf_counter()
    try:
        watch.on = True
        try:
            got = ek.weights.read(path)
            ek.weights.inspect(path)
        except ek.WeightsError as error:
            got = None
            if len(str(error)) > 10_000:
                raise Broken(f"an error of {len(str(error))} characters") from None
        except Exception as error:
            raise Broken(f"{type(error).__name__}: {error}") from error
        finally:
            watch.on = False
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    seconds = time.perf_counter() - begun
    if watch.seen:
        raise Broken(f"ran something: {watch.seen[:5]}")
    if peak > FIXED + MEMORY * len(data):
        raise Broken(f"{peak} bytes of memory for a file of {len(data)}")
    if seconds > SECONDS:
        raise Broken(f"{seconds:.1f} s for a file of {len(data)} bytes")
    if got is not None and not all(isinstance(v, np.ndarray) for v in got.values()):
        raise Broken("something that is no array")
    return got


# ------------------------------------------------------------------ what is read
def stream(pickle: bytes, keys=("0",), raw: bytes = made.FLOATS) -> bytes:
    """A file of PyTorch before 1.6."""
    magic = b"\x80\x02\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little") + b"."
    system = b"\x80\x02}(" + made.text("little_endian") + b"\x88u."
    listed = b"\x80\x02](" + b"".join(made.text(k) for k in keys) + b"e."
    counts = b"".join(struct.pack("<q", len(raw) // 4) + raw for _ in keys)
    return magic + b"\x80\x02M\xe9\x03." + system + pickle + listed + counts


def bombs() -> list[bytes]:
    """Pickles that recall one long value again and again, or nest it."""
    double = b"\x80\x02)q\x00" + b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(60))
    shape = b"ctorch._utils\n_rebuild_tensor_v2\n(" + made.storage() + b"K\x00h\x3ch\x3c\x89}tR."
    pairs = b"](" + b"".join(b"]K%c]\x86" % (i % 250) for i in range(500)).replace(b"]K", b"K")
    pairs = b"\x80\x02" + pairs + b"eq\x00\x85q\x01ccollections\nOrderedDict\nq\x02]("
    ones = b"\x80\x02](" + 800 * b"K\x01" + b"eq\x00\x85q\x01ctorch\nSize\nq\x02]("
    name = b"\x80\x02" + made.text("m" * 6000) + b"q\x00](" + 1000 * b"h\x00h\x00\x93" + b"e."
    deep = b"\x80\x02}(" + made.text("k" * 6000) + b"}("
    deep += b"".join(made.text(str(i)) + made.tensor() for i in range(200)) + b"uu."
    return [
        double + shape,
        pairs + 400 * b"h\x02h\x01R" + b"e.",
        ones + 400 * b"h\x02h\x01R" + b"e.",
        name,
        deep,
        b"\x80\x02" + 3000 * b"]" + 2999 * b"a" + b".",
        b"\x80\x02" + 6000 * b"\x85" + b".",
        b"\x80\x02)" + 6000 * b"\x85" + b".",
    ]


def seeds(folder: Path) -> list[bytes]:
    """Pickles, archives and streams: good ones, hostile ones, what earlier runs found."""
    good = made.state(w=made.tensor(), v=made.tensor((3, 2), (1, 3)))
    nested = b"\x80\x02}(" + made.text("state_dict") + good[2:-1] + made.text("opt") + b"}u."
    half = made.state(w=made.tensor(kind="BFloat16Storage", count=12))
    found = [made.archive(p) for p in (good, nested, half)] + [stream(good), stream(nested)]
    found += [data for data, _ in made.files(str(folder / "ran")).values() if len(data) < LONGEST]
    found += [made.archive(pickle) for pickle in bombs()] + [stream(p) for p in bombs()]
    return found + [p.read_bytes() for p in sorted(folder.glob("seed-*"))]


CODES = [bytes([code]) for code in machine.OPCODES]
SNIPPETS = [
    *(made.tensor(), made.storage(), made.text("w"), made.numbers((2, 3)), made.whole(1 << 61)),
    *(b"q\x01", b"h\x01", b"\x94", b"h\x00h\x00\x86", b"h\x01R", b"h\x01h\x01\x93", b"e", b"u"),
    *(b"ccollections\nOrderedDict\n)R", b"ctorch\nSize\n", b"cos\nsystem\n", b"\x93", b"(", b"t"),
    *(b"X\xff\xff\xff\x7f", b"\x8d" + 8 * b"\xff", b"B\xff\xff\xff\x03", b"j\xff\xff\xff\xff"),
]


def mutate(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Some bytes set, flipped, cut, doubled, exchanged, or opcodes and whole phrases put in."""
    out = bytearray(data)
    for _ in range(1 << rng.randrange(5)):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(7)
        if kind == 0 and at < len(out):
            out[at] = rng.randrange(256)
        elif kind == 1 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del out[at : at + 1 + rng.randrange(16)]
        elif kind == 3:
            out[at:at] = out[at : at + 1 + rng.randrange(64)] * (1 + rng.randrange(4))
        elif kind == 4:
            start = rng.randrange(len(other) + 1)
            out[at:at] = other[start : start + 1 + rng.randrange(128)]
        elif kind == 5:
            out[at:at] = rng.choice(CODES)
        else:
            out[at:at] = rng.choice(SNIPPETS)
    return bytes(out[:LONGEST])


def pickle_of(data: bytes) -> bytes | None:
    """The pickle inside an archive that is whole."""
    start = data.find(b"\x80\x02")
    end = data.find(b"PK", max(start, 0))
    return data[start:end] if data[:2] == b"PK" and 0 <= start < end else None


def mutant(rng: random.Random, corpus: list[bytes]) -> bytes:
    """A changed file; half of the time only its pickle, in an archive that is right."""
    data, other = rng.choice(corpus), rng.choice(corpus)
    inner = pickle_of(data)
    if inner is None or rng.random() < 0.3:
        return mutate(rng, data, other)
    changed = mutate(rng, inner, pickle_of(other) or other)
    return made.archive(changed) if rng.random() < 0.8 else stream(changed)


def fuzz(seconds: float, folder: Path, seed: int = 0, runs: int | None = None) -> dict[str, int]:
    """Read mutants for some seconds (or so many); what was done. Raises Broken, and keeps the
    file."""
    rng, watch, lines = random.Random(seed), Watch(), Lines()
    folder.mkdir(parents=True, exist_ok=True)
    corpus = seeds(folder)
    end = time.monotonic() + seconds
    done = {"files": 0, "read": 0, "refused": 0, "seeds": len(corpus)}
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as scratch:
        path = Path(scratch) / "mutant.pth"
        first = list(corpus)
        for data in (*first[:5], b"neither"):  # what is imported when it is first needed
            _read(path, data)
        while (time.monotonic() < end) if runs is None else (done["files"] < runs + done["seeds"]):
            data = first.pop() if first else mutant(rng, corpus)
            before = len(lines.pairs)
            try:
                got = check(data, path, watch)
                if len(data) <= TRACED:
                    with lines:
                        _read(path)
                if (folder / "ran").exists():
                    raise Broken("the marker file exists")
            except Broken as error:
                kept = folder / f"broken-{seed}-{done['files']}"
                kept.write_bytes(data)
                raise Broken(f"{error} (kept as {kept})") from error
            done["files"] += 1
            done["refused" if got is None else "read"] += 1
            if len(lines.pairs) > before and done["files"] > done["seeds"]:
                corpus.append(data)
                (folder / f"seed-{seed}-{len(corpus)}").write_bytes(data)
    return done | {"corpus": len(corpus), "lines": len(lines.pairs)}


def _read(path: Path, data: bytes | None = None) -> None:
    if data is not None:
        path.write_bytes(data)
    with contextlib.suppress(ek.WeightsError):
        ek.weights.read(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--corpus", type=Path, default=Path("build/fuzz/corpus/fuzz_torch"))
    args = parser.parse_args()
    done = fuzz(args.seconds, args.corpus, args.seed)
    print(f"fuzz_torch (seed {args.seed}): {done}")


if __name__ == "__main__":
    main()
