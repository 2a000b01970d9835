"""imgaug 0.4.0 under NumPy 2. It is unmaintained and names two things that NumPy has removed:

- `np.sctypes`, read once, while imgaug is imported: lent to NumPy for that moment and taken back;
- `np.complex`, read by `imgaug.parameters` when it draws noise (Clouds, Fog, FrequencyNoise): that module gets a copy
  of NumPy's namespace that has the name.

So after the import `numpy` itself is what it was before.
"""

import functools
import types

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
    return imgaug
