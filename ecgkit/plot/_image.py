"""Arrays as PNG pictures without an imaging library: a palette, zlib and four chunks."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode

import numpy as np

from .._typing import Array

# Every sixteenth colour of matplotlib's "viridis" (CC0): even in lightness, and told apart without
# red and green.
_VIRIDIS = bytes.fromhex(
    "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c 1fa088 28ae80 3fbc73 5ec962 "
    "84d44b addc30 d8e219 fde725"
)
_MISSING = (190, 190, 190)  # palette entry 255: NaN is grey


def palette() -> Array:
    """256 RGB colours: 255 from dark to bright, and grey for what is not a number."""
    stops = np.frombuffer(_VIRIDIS, np.uint8).reshape(-1, 3)
    at = np.linspace(0, len(stops) - 1, 255)
    ramp = np.stack([np.interp(at, np.arange(len(stops)), channel) for channel in stops.T], axis=1)
    return np.vstack([np.rint(ramp), [_MISSING]]).astype(np.uint8)


def levels(values: Array, low: float, high: float) -> Array:
    """Numbers as palette entries: ``low`` and below 0, ``high`` and above 254, NaN 255."""
    span = high - low
    unit = (values - low) / span if span > 0 else np.where(np.isnan(values), np.nan, 0.0)
    finite = np.isfinite(unit)
    entry = np.rint(np.clip(np.where(finite, unit, 0.0), 0.0, 1.0) * 254).astype(np.uint8)
    return np.where(finite, entry, np.uint8(255))


def png(entries: Array) -> bytes:
    """A picture of palette entries, shape (height, width) uint8, as the bytes of a PNG file."""
    height, width = entries.shape
    lines = np.empty((height, width + 1), np.uint8)
    lines[:, 0] = 0  # filter type "none"
    lines[:, 1:] = entries
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [
            _chunk(b"IHDR", head),
            _chunk(b"PLTE", palette().tobytes()),
            _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def data_uri(picture: bytes) -> str:
    """A PNG as the text of an ``href``: the page needs no other file."""
    return "data:image/png;base64," + b64encode(picture).decode("ascii")
