"""Arrays of float32 that are kept as bytes: a fourth of the memory on the way from a worker to the network."""

import itertools
from dataclasses import dataclass

import cv2
import numpy as np

ONE, ZERO = (1.0,), (0.0,)


@dataclass(frozen=True)
class Packed:
    """Stands for the float32 array factor x byte - offset.

    Args:
        planes: (..., H, W) uint8; the channels of a picture are planes, (3, H, W).
        factor, offset: as in `scaled`.
        is_hwc: whether the array is (H, W, 3).
    """

    planes: np.ndarray
    factor: tuple[float, ...] = ONE
    offset: tuple[float, ...] = ZERO
    is_hwc: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.planes.shape[1:], self.planes.shape[0]) if self.is_hwc else self.planes.shape

    def floats(self) -> np.ndarray:
        """The array, in memory plane after plane."""
        floats = scaled(self.planes, self.factor, self.offset)
        return floats.transpose(1, 2, 0) if self.is_hwc else floats


def scaled(planes: np.ndarray, factor: tuple[float, ...], offset: tuple[float, ...]) -> np.ndarray:
    """factor x plane - offset, float32, of the shape of the planes (..., H, W).

    Args:
        factor, offset: of the first planes; where there are more, these start again.
    """
    if (factor, offset) == (ONE, ZERO):
        return planes.astype(np.float32)
    scaled, size = np.empty(planes.shape, np.float32), planes.shape[-2:]
    constants = itertools.cycle(zip(factor, offset, strict=True))
    for plane, result in zip(planes.reshape(-1, *size), scaled.reshape(-1, *size), strict=True):
        times, less = next(constants)
        # times x plane + 0 x plane - less, in one pass
        cv2.addWeighted(plane, times, plane, 0, -less, result, cv2.CV_32F)
    return scaled
