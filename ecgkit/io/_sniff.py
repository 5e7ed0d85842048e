"""What a file is, from its first bytes."""

from __future__ import annotations

import re

from ..errors import FormatError

HEAD = 8192

_ROOTS = {b"RestingECG": "MUSE", b"AnnotatedECG": "aECG", b"restingecgdata": "Philips"}
_NOT_OURS = (
    (b"PK\x03\x04", "a ZIP archive (NPZ, XLSX, ...): unpack it, or save one array as NPY"),
    (b"\x1f\x8b", "gzip: decompress it first"),
    (b"\x89HDF\r\n\x1a\n", "HDF5 (also MATLAB 7.3): read it with h5py and build a Record"),
    (
        b"MATLAB 5.0 MAT-file",
        "a MATLAB 5 file: read it through the .hea header beside it, or with scipy.io.loadmat",
    ),
    (b"%PDF", "a PDF"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
)
_RECORD_LINE = re.compile(
    rb"[\w.\-]{1,255}(?:/\d{1,7})?[ \t]+\d{1,4}"
    rb"(?:[ \t]+[\d.][^,;\r\n\0-\x08\x80-\xff]*)?[ \t]*\r?(?:\n|\Z)"
)


def kind(head: bytes, size: int) -> str | None:
    """``WFDB EDF DICOM MUSE aECG Philips SCP NPY text``, words for what else it is, or None."""
    if head[:8] == b"0       " or head[:8] == b"\xffBIOSEMI":
        return "EDF"
    if _RECORD_LINE.match(head):
        return "WFDB"
    if head.startswith(b"\x93NUMPY"):
        return "NPY"
    if head[128:132] == b"DICM":
        return "DICOM"
    for magic, what in _NOT_OURS:
        if head.startswith(magic):
            return what
    if _is_scp(head, size):
        return "SCP"
    if head[:4] in (
        b"\x08\x00\x05\x00",
        b"\x08\x00\x08\x00",
        b"\x08\x00\x16\x00",
        b"\x02\x00\x00\x00",
        b"\x08\x00\x00\x00",
    ):
        return "DICOM"  # without the preamble, as some vendors write it
    text = _as_text(head)
    if text is None:
        return None
    text = text.lstrip()
    if text.startswith(b"<"):
        return _xml(text)
    if _RECORD_LINE.match(_first_line(text)):
        return "WFDB"
    return "text"


def _as_text(head: bytes) -> bytes | None:
    """The bytes as ASCII-compatible text, or None when they are binary."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or (
        len(head) > 4 and head[:1] == b"<" and head[1:2] == b"\0"
    ):
        code = "utf-16" if head[:1] in (b"\xff", b"\xfe") else "utf-16-le"
        return head[: len(head) // 2 * 2].decode(code, "replace").encode()
    head = head.removeprefix(b"\xef\xbb\xbf")
    return None if b"\0" in head or not head else head


def _first_line(text: bytes) -> bytes:
    for line in text.split(b"\n"):
        if line.strip() and not line.lstrip().startswith(b"#"):
            return line.lstrip()
    return b""


def _xml(text: bytes) -> str:
    """The kind of ECG by the root element: the first tag that is no declaration and no comment."""
    at = 0
    while True:
        at = text.find(b"<", at)
        if at < 0:
            return "XML of an unknown kind"
        if text.startswith(b"<!--", at):
            end = text.find(b"-->", at)
        elif text[at + 1 : at + 2] in (b"?", b"!"):
            end = text.find(b">", at)
        else:
            root = re.match(rb"<(?:[\w.\-]+:)?([\w.\-]+)", text[at:])
            name = root.group(1) if root else b""
            return _ROOTS.get(
                name, f"XML with the root element {name.decode('ascii', 'replace')!r}"
            )
        if end < 0:
            return "XML of an unknown kind"
        at = end


def _is_scp(head: bytes, size: int) -> bool:
    """An SCP-ECG record begins with a CRC, its length, and section 0, the list of pointers."""
    if len(head) < 32:
        return False
    if head[16:22] == b"SCPECG":
        return True
    number, length = int.from_bytes(head[8:10], "little"), int.from_bytes(head[10:14], "little")
    first = head[22:28]  # the first pointer is that of section 0 itself: its number and its length
    return (
        number == 0
        and 26 <= length <= 4096
        and (length - 16) % 10 == 0
        and first == b"\0\0" + head[10:14]
    )


def refuse_prose(path: str, head: bytes) -> None:
    """Text that begins with no number and no table is not taken for CSV."""
    line = _first_line(_as_text(head) or b"")
    cells = re.split(rb"[,;\t]", line.strip())
    number = re.compile(rb'"?[-+]?(?:\d|\.\d|nan)', re.IGNORECASE)
    if len(cells) == 1 and len(line.split()) > 1 and not number.match(line.strip()):
        raise FormatError(f"{path} is text, but neither a WFDB header nor a table")
