"""How batches come from a loader's workers: what is packed travels as bytes and becomes float32 where it arrives."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import paddle
from paddle import Tensor

from ppdet_db.contract import BadSample
from ppdet_db.data.transforms.packed import ONE, ZERO, Packed, scaled


def send(
    collate: Callable[[Sequence[dict | BadSample]], dict[str, Any]], samples: Sequence[dict | BadSample]
) -> dict[str, Any]:
    """The batch that `collate` makes, where samples are made. What is packed in it is a list, which Paddle restores;
    nothing else is one."""
    return {
        key: [value.planes, value.factor, value.offset] if isinstance(value, Packed) else value
        for key, value in collate(samples).items()
    }


def receive(batch: dict[str, Any]) -> dict[str, Any]:
    """The batch that was sent, with float32 for what was packed, on the device where Paddle has put it."""
    return {key: floats(*value) if isinstance(value, list) else value for key, value in batch.items()}


def floats(planes: Tensor, factor: Sequence[float], offset: Sequence[float]) -> Tensor:
    """As `Packed.floats`.

    On a CPU by NumPy: Paddle 3.3.1 takes five times as long, most of it for the memory of its intermediate results.
    """
    factor, offset = tuple(factor), tuple(offset)
    if planes.place.is_cpu_place():
        return paddle.from_dlpack(scaled(np.from_dlpack(planes), factor, offset))
    if (factor, offset) == (ONE, ZERO):
        return planes.astype("float32")
    times, less = (paddle.to_tensor(values, "float32").reshape([-1, 1, 1]) for values in (factor, offset))
    return planes.astype("float32") * times - less
