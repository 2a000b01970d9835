"""What the headers of a JPEG tell before it is decoded, and its pixels at 1, 1/2, 1/4 or 1/8 of its size."""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from ppdet_db.errors import SampleError

START, END = b"\xff\xd8", b"\xff\xd9"
SCAN, EXIF = 0xDA, 0xE1
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""Markers of the segment that has the size; the three left out are tables and an extension."""
ORIENTATION, SHORT = 0x0112, 3

REDUCED = {
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
"""Flags beside IMREAD_GRAYSCALE, which is 0, or IMREAD_COLOR."""


class Header(NamedTuple):
    """Size of the pixels as they are stored, and how they lie: 1 to 8, as EXIF numbers the ways; 1 is upright."""

    height: int
    width: int
    turn: int


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of each header's content, up to and with the first scan's; a broken file may be shorter."""
    position = len(START)
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        end = position + 2 + struct.unpack(">H", data[position + 2 : position + 4])[0]
        yield marker, position + 4, end
        if marker == SCAN:
            return
        position = end


def is_truncated(data: bytes) -> bool:
    """Whether the end marker is missing. A thumbnail in the headers has one of its own, which does not count."""
    ends = [end for _, _, end in segments(data)]
    return data.rfind(END, ends[-1] if ends else 0) < 0


def read_header(data: bytes) -> Header | None:
    """None where the headers tell no size."""
    size, turn = (0, 0), 1
    for marker, start, end in segments(data):
        if marker in FRAMES and start + 5 <= len(data):
            size = struct.unpack(">HH", data[start + 1 : start + 5])
        elif marker == EXIF and data[start:end].startswith(b"Exif\0\0"):
            turn = orientation(data[start + 6 : end])
    return Header(*size, turn) if all(size) else None


def orientation(exif: bytes) -> int:
    """1 to 8; 1 where nothing valid is said.

    Args:
        exif: a TIFF file: byte order, offset of the first directory, and there 12 bytes an entry.
    """
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 8:
        return 1
    (directory,) = struct.unpack(order + "I", exif[4:8])
    (count,) = struct.unpack(order + "H", exif[directory : directory + 2].ljust(2, b"\0"))
    for entry in range(directory + 2, min(directory + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, _, value = struct.unpack(order + "HHIH", exif[entry : entry + 10])
        if tag == ORIENTATION:
            return value if kind == SHORT and 1 <= value <= 8 else 1
    return 1


class JpegFile:
    """A JPEG that is not decoded yet.

    Args:
        data: the file.
        header: what `read_header` found in it.
        decode: (data, flags of `cv2.imread`) -> pixels (H, W, 3), 8 bits.
        flags: those of `cv2.imread`, without a reduction.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, data: bytes, header: Header, decode: Callable[[bytes, int], np.ndarray], flags: int):
        self.data, self.decode, self.flags = data, decode, flags
        self.turn = 1 if flags & cv2.IMREAD_IGNORE_ORIENTATION else header.turn
        height, width = (header.height, header.width) if self.turn < 5 else (header.width, header.height)
        self.shape = (height, width, 3)
        """(H, W, 3) of the decoded picture."""

    def can_shrink(self, by: int) -> bool:
        """Whether blocks of `by` x `by` pixels begin at the first pixel of the upright picture."""
        return self.turn == 1 or all(side % by == 0 for side in self.shape[:2])

    def pixels(self, shrink: int = 1) -> np.ndarray:
        """(ceil(H / shrink), ceil(W / shrink), 3), uint8: means of shrink x shrink pixels, made by the decoder itself.

        Raises:
            SampleError: the pixels cannot be decoded, or the file says that it is of another size.
        """
        pixels = self.decode(self.data, self.flags | REDUCED[shrink])
        expected = tuple(-(-side // shrink) for side in self.shape[:2])
        if pixels.shape[:2] != expected:
            raise SampleError(f"the JPEG's headers tell of {expected} pixels, but {pixels.shape[:2]} are in it")
        return pixels
