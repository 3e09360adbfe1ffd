"""Headers of safetensors files, as they should be and as somebody might make them."""

import json
import struct

import pytest

from modules.errors import ModelFileError
from modules.library.headers import TensorInfo, read_header

GOOD = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def write(path, header, data=b"", length=None):
    body = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(body) if length is None else length
    path.write_bytes(struct.pack("<Q", size) + body + data)
    return path


def test_what_is_in_a_file(tmp_path):
    header = {
        "__metadata__": {"format": "pt"},
        "b": {"dtype": "BF16", "shape": [], "data_offsets": [24, 26]},
        "a": GOOD,
        "none": {"dtype": "I8", "shape": [0, 4], "data_offsets": [26, 26]},
    }
    file = write(tmp_path / "a.safetensors", header, b"\0" * 26)
    found = read_header(file)
    begin = file.stat().st_size - 26
    assert found.shapes == {"a": (2, 3), "b": (), "none": (0, 4)}
    assert found.tensors["b"] == TensorInfo("BF16", (), begin + 24, begin + 26)
    assert found.metadata == {"format": "pt"}


def tensor(**changes):
    return {"a": {**GOOD, **changes}}


HOSTILE = {
    "a length of 2^63": (write, tensor(), b"\0" * 24, 2**63),
    "a length beyond the file": (write, tensor(), b"\0" * 24, 10_000),
    "a length of zero": (write, tensor(), b"\0" * 24, 0),
    "no JSON": (write, b"{nonsense", b"", None),
    "not UTF-8": (write, b'{"\xff\xfe": 1}', b"", None),
    "brackets without end": (write, b"[" * 200_000, b"", None),
    "braces without end": (write, b'{"a":' * 200_000, b"", None),
    "a list": (write, [1], b"", None),
    "a number": (write, b"42", b"", None),
    "metadata that is a list": (write, {"__metadata__": [1], **tensor()}, b"\0" * 24, None),
    "one name twice": (
        write,
        b'{"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}',
        b"\0",
        None,
    ),
    "an unknown type": (write, tensor(dtype="X9"), b"\0" * 24, None),
    "a type that is a list": (write, tensor(dtype=["F32"]), b"\0" * 24, None),
    "no shape": (write, {"a": {"dtype": "F32", "data_offsets": [0, 24]}}, b"\0" * 24, None),
    "a negative side": (write, tensor(shape=[-2, -3]), b"\0" * 24, None),
    "a side that is no whole number": (write, tensor(shape=[2.0, 3]), b"\0" * 24, None),
    "a side that is a yes": (write, tensor(shape=[True, 6]), b"\0" * 24, None),
    "sides as text": (write, tensor(shape="23"), b"\0" * 24, None),
    "a shape that wraps around": (write, tensor(shape=[2**62, 4, 6]), b"\0" * 24, None),
    "a side beyond 64 bits": (write, tensor(shape=[2**70]), b"\0" * 24, None),
    "a hundred dimensions": (write, tensor(shape=[1] * 99 + [6]), b"\0" * 24, None),
    "too few bytes for the shape": (write, tensor(data_offsets=[0, 20]), b"\0" * 20, None),
    "offsets backwards": (write, tensor(data_offsets=[24, 0]), b"\0" * 24, None),
    "three offsets": (write, tensor(data_offsets=[0, 24, 24]), b"\0" * 24, None),
    "negative offsets": (write, tensor(data_offsets=[-24, 0]), b"\0" * 24, None),
    "two tensors in one place": (write, {"a": GOOD, "b": GOOD}, b"\0" * 24, None),
    "tensors that overlap": (
        write,
        {"a": GOOD, "b": {**GOOD, "data_offsets": [12, 36]}},
        b"\0" * 36,
        None,
    ),
    "a gap": (write, tensor(data_offsets=[8, 32]), b"\0" * 32, None),
    "bytes behind": (write, tensor(), b"\0" * 25, None),
}


@pytest.mark.parametrize("fault", HOSTILE)
def test_a_header_that_is_none_is_refused(tmp_path, fault):
    make, header, data, length = HOSTILE[fault]
    file = make(tmp_path / "bad.safetensors", header, data, length)
    with pytest.raises(
        ModelFileError, match=r"bad\.safetensors is not a safetensors file"
    ) as caught:
        read_header(file)
    assert len(str(caught.value)) < 1000


def test_a_file_that_is_cut_short_says_by_how_much(tmp_path):
    file = write(tmp_path / "cut.safetensors", tensor(), b"\0" * 20)
    with pytest.raises(ModelFileError, match="holds 20 bytes of weights instead of 24"):
        read_header(file)


@pytest.mark.parametrize(
    ("start", "why"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
        (b"PK\x03\x04" + b"\0" * 50, "Python pickle"),
        (b"\x80\x02}q\x00." + b"\0" * 50, "Python pickle"),
        (b"GGUF\x03\0\0\0" + b"\0" * 50, "GGUF"),
        (b"\x07\x00", "first bytes are not a header"),
    ],
)
def test_it_says_what_the_file_looks_like(tmp_path, start, why):
    file = tmp_path / "x.safetensors"
    file.write_bytes(start)
    with pytest.raises(ModelFileError, match=why):
        read_header(file)


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "gone.safetensors", tmp_path):
        with pytest.raises(ModelFileError, match="cannot be read"):
            read_header(path)


@pytest.mark.parametrize(
    ("header", "length", "why"),
    [
        (tensor(), 10_000, "it ends within its header"),
        ([1, 2], None, "a list of tensors by name is wanted"),
        ({"a": {"shape": [1], "data_offsets": [0, 4]}}, None, "a: not a type, a shape and a place"),
        ({"a": {"dtype": "I8", "shape": [1], "data_offsets": "y"}}, None, "a: not a type"),
    ],
)
def test_what_is_wrong_is_said_in_words_of_ours(tmp_path, header, length, why):
    with pytest.raises(ModelFileError, match=why):
        read_header(write(tmp_path / "a.safetensors", header, b"", length))
