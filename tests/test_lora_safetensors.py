"""Headers that lie are refused before anything is allocated."""

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lora_data import write

import ecgkit as ek
from ecgkit.lora._base import Base
from ecgkit.lora._safetensors import MOST_HEADER, File, lay_out, parse_header

GOOD = {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}


def blob(header, data=b"\0" * 24, length=None):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + data


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\1\2\3", blob(GOOD)[:-1], blob(GOOD) + b"\0", blob(GOOD)[:20],
        blob(GOOD, length=MOST_HEADER + 1), blob(GOOD, length=2**63), blob(b"[]"), blob(b"{"),
        blob(b"\xff\xfe{}"), blob(b"[" * 50_000), blob(b'{"a":' * 50_000),
        blob(GOOD | {"b": GOOD["a"]}),
        blob(json.dumps(GOOD)[:-1].encode() + b', "a": ' + json.dumps(GOOD["a"]).encode() + b"}"),
        *(blob({"a": GOOD["a"] | change}) for change in (
            {"dtype": "F99"}, {"dtype": 3}, {"shape": [2, -3]}, {"shape": [2.0, 3]},
            {"shape": "23"},
            {"shape": [2, True]}, {"shape": [2**47, 2**47]}, {"shape": [1] * 100}, {"shape": [5]},
            {"data_offsets": [0]}, {"data_offsets": [24, 0]}, {"data_offsets": [-1, 23]},
            {"data_offsets": [4, 28]}, {"data_offsets": [0, 2**60]}, {"more": 1},
        )),
        blob({"a": GOOD["a"], "__metadata__": {"x": 1}}), blob({"a": 3}),
        blob({"a": {"dtype": "F4", "shape": [3], "data_offsets": [0, 1]}}, b"\0"),
        blob({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
              "b": {"dtype": "U8", "shape": [4], "data_offsets": [2, 6]}}, b"\0" * 6),
        blob({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
              "b": {"dtype": "U8", "shape": [4], "data_offsets": [8, 12]}}, b"\0" * 12),
        blob(b'{"a":' + b"9" * 5000 + b"}"),
    ],
)  # fmt: skip
def test_a_lying_header_is_refused(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(ek.FormatError, match=r"x\.safetensors"):
        File(path)


def test_what_the_format_allows_is_read(tmp_path):
    header = {
        "__metadata__": {"format": "pt"},
        "none": {"dtype": "F32", "shape": [0, 5], "data_offsets": [0, 0]},
        "scalar": {"dtype": "BF16", "shape": [], "data_offsets": [0, 2]},
        "half": {"dtype": "F4", "shape": [4], "data_offsets": [2, 4]},
    }
    path = tmp_path / "x.safetensors"
    path.write_bytes(blob(b"  " + json.dumps(header).encode() + b"   ", b"\x80\x3f\0\0"))
    with File(path) as file:
        assert file.read("none").shape == (0, 5)
        assert file.read("scalar") == 0x3F80
        assert file.metadata == {"format": "pt"}


@settings(max_examples=300, deadline=None)
@given(raw=st.binary(max_size=200), size=st.integers(0, 100))
def test_any_bytes_are_read_or_refused(raw, size):
    with contextlib.suppress(ek.FormatError):
        parse_header(raw, size, "x")


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_header_is_read_or_refused(data):
    header, placed = lay_out([("a", "F32", (3, 4)), ("b", "BF16", (5,)), ("c", "U8", ())], {})
    size = max(t.end for t in placed)
    parse_header(header, size, "x")
    damaged = bytearray(header)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        tensors, _ = parse_header(bytes(damaged), size, "x")
    except ek.FormatError:
        return
    assert sum(t.bytes for t in tensors.values()) == size


def test_what_is_written_is_read_by_the_formats_own_reader(tmp_path):
    from safetensors.numpy import load_file

    tensors = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.arange(3),
        "é": np.float16([1.5]),
    }
    write(tmp_path / "x.safetensors", tensors)
    got = load_file(tmp_path / "x.safetensors")
    assert all(np.array_equal(got[k], v) for k, v in tensors.items())


@pytest.mark.parametrize(
    "index",
    [
        "[]", "{", '{"weight_map": 3}', '{"weight_map": {"a": 5}}',
        '{"weight_map": {"a": "../up.safetensors"}}', '{"weight_map": {"a": "gone.safetensors"}}',
        '{"weight_map": {"a": "x.safetensors", "b": "x.safetensors"}}', '{"weight_map": {}}',
    ],
)  # fmt: skip
def test_an_index_that_lies_is_refused(tmp_path, index):
    write(tmp_path / "x.safetensors", {"a": np.ones(3, np.float32)})
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises((ek.FormatError, ek.WeightsError)):
        Base(tmp_path)


def test_a_folder_without_weights_says_what_was_wanted(tmp_path):
    with pytest.raises(ek.WeightsError, match="safetensors"):
        Base(tmp_path)
