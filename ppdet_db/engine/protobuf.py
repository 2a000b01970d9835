"""The wire format of protobuf, in which ONNX models and Paddle 2's programs are written."""

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
WIDTHS = {FIXED64: 8, FIXED32: 4}


def fields(data: memoryview | bytes) -> Iterator[tuple[int, int | memoryview]]:
    """(number, value) of each field of a message: an int, or the bytes of text, of a message, of packed numbers.

    Numbers of fixed width come as their bytes.

    Raises:
        ValueError: the bytes are no whole message.
    """
    data, at = memoryview(data), 0
    while at < len(data):
        tag, at = varint(data, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise ValueError(f"no protobuf message: a field without number at byte {at}")
        if kind == VARINT:
            value, at = varint(data, at)
            yield number, value
            continue
        if kind == BYTES:
            width, at = varint(data, at)
        elif kind in WIDTHS:
            width = WIDTHS[kind]
        else:
            raise ValueError(f"no protobuf message: a field of kind {kind} at byte {at}")
        if at + width > len(data):
            raise ValueError(f"no whole protobuf message: {width} bytes are promised at byte {at} of {len(data)}")
        yield number, data[at : at + width]
        at += width


def varint(data: memoryview | bytes, at: int) -> tuple[int, int]:
    """An unsigned number of up to 64 bits at a position, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError(f"no whole protobuf message: a number without end at byte {at}")
