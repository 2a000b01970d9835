"""Matrices (3, 3) that move points (x, y, 1), in pixels, centres at whole numbers."""

import math
from collections.abc import Sequence

import numpy as np

NEAREST_OFF_PICTURE = 0.1
"""Points are kept so far in front of the camera; the picture's centre is at 1, what is off it may be behind."""
EXACT = 1e-6
"""Pixels. Coordinates that are no further from each other are the same."""


def shift(by: Sequence[float]) -> np.ndarray:
    """(3, 3) matrix of a translation."""
    return stretching((1, 1), by)


def stretching(scale: Sequence[float], offset: Sequence[float]) -> np.ndarray:
    """(3, 3) matrix of x -> scale[0] x + offset[0], and the same for y."""
    return np.array([[scale[0], 0.0, offset[0]], [0.0, scale[1], offset[1]], [0.0, 0.0, 1.0]])


def project(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points (..., 2) moved by a (3, 3) matrix, float64."""
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return moved[..., :2] / np.maximum(moved[..., 2:], NEAREST_OFF_PICTURE)


def is_affine(matrix: np.ndarray) -> bool:
    return matrix[2, 0] == 0 and matrix[2, 1] == 0


def is_upright(matrix: np.ndarray) -> bool:
    """Whether what was horizontal stays so, or becomes vertical; mirrored is upright as well."""
    (a, b, _), (c, d, _), _ = matrix.tolist()
    return is_affine(matrix) and (max(abs(b), abs(c)) < EXACT or max(abs(a), abs(d)) < EXACT)


def stretch(matrix: np.ndarray) -> float:
    """By how much lengths grow along the direction in which they grow most; without bound under perspective."""
    if not is_affine(matrix):
        return math.inf
    (a, b, _), (c, d, _), _ = matrix.tolist()
    squares, area = a * a + b * b + c * c + d * d, a * d - b * c
    return math.sqrt((squares + math.sqrt(max(squares**2 - 4 * area**2, 0))) / 2)  # the larger singular value
