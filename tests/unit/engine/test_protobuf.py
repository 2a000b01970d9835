"""Reading protobuf's wire format: messages written by hand, real model files, and damage at every byte."""

from pathlib import Path

import pytest

from ppdet_db.engine.protobuf import fields, varint


def read(data: bytes) -> list[tuple[int, int | bytes]]:
    return [(number, value if isinstance(value, int) else bytes(value)) for number, value in fields(data)]


MESSAGE = b"\x08\x96\x01" + b"\x12\x03abc" + b"\x1d\0\0\x80\x3f" + b"\x21" + bytes(8) + b"\x82\x01\x00"
"""Fields 1: 150; 2: abc; 3: 1.0 as float; 4: 0.0 as double; 16: empty text."""


def test_every_kind_of_field() -> None:
    assert read(MESSAGE) == [(1, 150), (2, b"abc"), (3, b"\0\0\x80\x3f"), (4, bytes(8)), (16, b"")]
    assert read(b"") == []


@pytest.mark.parametrize("length", [n for n in range(1, len(MESSAGE)) if n not in (3, 8, 13, 22)])
def test_a_message_cut_within_a_field(length: int) -> None:
    with pytest.raises(ValueError, match=r"^no whole protobuf message: "):
        read(MESSAGE[:length])


@pytest.mark.parametrize("data", [b"\x0b\x01", b"\x0c", b"\x07", b"\x02\x01a", b"\x00\x01"])
def test_what_is_no_field(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^no protobuf message: a field "):
        read(data)


def test_a_number_has_64_bits() -> None:
    assert varint(b"\xff" * 9 + b"\x01", 0) == (2**64 - 1, 10)
    with pytest.raises(ValueError, match="a number without end"):
        varint(b"\xff" * 10 + b"\x01", 0)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("ppocrv4_mobile_det/inference.pdmodel", {1, 4, 5}),  # blocks, version, op_version_map
        ("ppocrv4_mobile_det.onnx", {1, 7, 8}),  # ir_version, graph, opset_import
    ],
)
def test_real_files(name: str, numbers: set[int], shared: Path) -> None:
    assert numbers <= {number for number, _ in fields((shared / "weights" / name).read_bytes())}
