"""Paddle's `.pdiparams`: the weights of a deployed graph, one array after the other, without names."""

import math
import struct
from collections.abc import Iterator

from ppdet_db.engine.protobuf import fields, varint

WIDTHS = {0: 1, 1: 2, 2: 4, 3: 8, 4: 2, 5: 4, 6: 8, 20: 1, 21: 1, 22: 2}
"""Bytes of a number by Paddle's code of its kind: bool, int16, int32, int64, float16 to 64, uint8, int8, bfloat16."""

Array = tuple[int, list[int], memoryview]
"""Code of the kind of number, shape, bytes."""


class EndsWithin(ValueError):
    """The file ends before its last array does."""


def arrays_of(data: bytes) -> Iterator[Array]:
    """The arrays of a file, in its order, which is that of their names.

    One is: version 0 (4 bytes), levels 0 (8), version 0 (4), length of its description (4), the description (a
    protobuf message: 1 is the kind of number, 2 each side, or all packed), its bytes.

    Raises:
        EndsWithin: at an array that is not whole.
        ValueError: at something else than an array.
    """
    view, at = memoryview(data), 0
    while at < len(view):
        if len(view) - at < 20:
            raise EndsWithin("the weights end within an array")
        first, levels, second, length = struct.unpack_from("<IQIi", view, at)
        at += 20 + length
        if first or levels or second or length < 0 or at > len(view):
            raise ValueError("the weights hold something else than arrays")
        kind, shape = None, []
        for number, value in fields(view[at - length : at]):
            if number == 1:
                kind = value
            elif number == 2:
                shape += _numbers(value)
        end = at + math.prod(shape) * WIDTHS.get(kind, 0)
        if kind not in WIDTHS or end > len(view):
            raise EndsWithin("the weights end within an array")
        yield kind, shape, view[at:end]
        at = end


def _numbers(value: int | memoryview) -> Iterator[int]:
    if isinstance(value, int):
        yield value
        return
    at = 0
    while at < len(value):
        number, at = varint(value, at)
        yield number
