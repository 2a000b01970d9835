"""imgaug 0.4.0 under NumPy 2. It is unmaintained and names two things that NumPy has removed:

- `np.sctypes`, read once, while imgaug is imported: lent to NumPy for that moment and taken back;
- `np.complex`, read by `imgaug.parameters` when it draws noise (Clouds, Fog, FrequencyNoise): that module gets a copy
  of NumPy's namespace that has the name.

So after the import `numpy` itself is what it was before.

And one defect is mended: `Affine` with `fit_output` makes room for points and for pixels in two ways that differ by up
to a pixel.
"""

import functools
import types
from typing import Any

import numpy as np

SCTYPES = {
    "int": [np.int8, np.int16, np.int32, np.int64],
    "uint": [np.uint8, np.uint16, np.uint32, np.uint64],
    "float": [np.float16, np.float32, np.float64],
}


@functools.cache
def import_imgaug() -> types.ModuleType:
    """`imgaug`, with `imgaug.augmenters` and `imgaug.random` loaded."""
    lend = not hasattr(np, "sctypes")
    if lend:
        np.sctypes = SCTYPES
    try:
        import imgaug.augmenters
        import imgaug.parameters
        import imgaug.random
    finally:
        if lend:
            del np.sctypes
    if not hasattr(imgaug.parameters.np, "complex"):
        namespace = types.ModuleType("numpy")
        namespace.__dict__.update(vars(np), complex=complex)
        imgaug.parameters.np = namespace
    imgaug.augmenters.geometric._AffineSamplingResult.to_matrix_cba = matrix_for_points
    return imgaug


def matrix_for_points(samples: Any, idx: int, arr_shape: tuple, fit_output: bool) -> tuple[Any, tuple]:
    """The matrix by which the pixels move, for points that are counted from the corner of the first pixel."""
    matrix, shape = samples.to_matrix(idx, arr_shape, arr_shape, fit_output)
    to_centre = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
    return type(matrix)(matrix=np.linalg.inv(to_centre) @ matrix.params @ to_centre), shape
