"""How batches come from a loader's workers: packed, through memory that is used again for batch after batch.

For a batch of its own memory the system has to clear and to map each page, in both processes: that takes longer than
copying. So each worker has a few slots. It fills one that is free and marks it; the main process copies the batch out
of it, as float32, and takes the mark away. A worker that finds no free slot sends a batch in memory of its own.
"""

import multiprocessing
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import paddle
from paddle import Tensor
from paddle.io import get_worker_info

from ppdet_db.contract import BadSample
from ppdet_db.data.transforms.packed import ONE, ZERO, Packed, scaled

SLOTS = 4
"""Of a worker. Three are in use where the main process is slower: one is emptied, one waits, one is filled."""


class Transport:
    """The two ends, for one iteration of a loader. `send` runs where samples are made, `receive` where they are used.

    Args:
        collate: samples -> a batch.
        workers: how many send through shared memory; 0 where there is none.
    """

    def __init__(self, collate: Callable[[Sequence[dict | BadSample]], dict[str, Any]], workers: int):
        self.collate = collate
        self.is_taken = multiprocessing.RawArray("b", workers * SLOTS)
        self.tensors: dict[tuple[int, str], Tensor] = {}

    def send(self, samples: Sequence[dict | BadSample]) -> tuple[int | None, dict[str, Any]]:
        """Slot and batch. What `receive` must copy is a list in it; nothing else is, and Paddle restores lists."""
        batch, slot = self.collate(samples), self._take_slot()
        for key, value in batch.items():
            if isinstance(value, Packed):
                batch[key] = [self._put(slot, key, value.planes), value.factor, value.offset]
            elif slot is not None and isinstance(value, np.ndarray) and value.dtype == np.float32:
                batch[key] = [self._put(slot, key, value), ONE, ZERO]
        return slot, batch

    def receive(self, sent: Sequence) -> dict[str, Any]:
        """The batch that `send` was given, with float32 for what was packed, on the device where Paddle has put it."""
        slot, batch = sent
        batch = {key: floats(*value) if isinstance(value, list) else value for key, value in batch.items()}
        if slot is not None:
            self.is_taken[slot] = False
        return batch

    def _take_slot(self) -> int | None:
        worker = get_worker_info()
        own = range(worker.id * SLOTS, (worker.id + 1) * SLOTS) if worker and self.is_taken else ()
        for slot in own:
            if not self.is_taken[slot]:
                self.is_taken[slot] = True
                return slot
        return None

    def _put(self, slot: int | None, key: str, array: np.ndarray) -> np.ndarray | Tensor:
        """The array where it can be sent from: in the slot, if there is one."""
        if slot is None:  # a tensor goes through shared memory, which the user may not want
            return array if get_worker_info() else paddle.from_dlpack(array)
        tensor = self.tensors.get((slot, key))
        if tensor is not None:
            place = np.from_dlpack(tensor)
            if (place.shape, place.dtype) == (array.shape, array.dtype):
                np.copyto(place, array)
                return tensor
        # Paddle moves it into shared memory when it is sent for the first time
        self.tensors[slot, key] = paddle.from_dlpack(array)
        return self.tensors[slot, key]


def floats(planes: Tensor, factor: Sequence[float], offset: Sequence[float]) -> Tensor:
    """As `Packed.floats`, in memory of their own.

    On a CPU by NumPy: Paddle 3.3.1 takes five times as long, most of it for the memory of its intermediate results.
    """
    factor, offset = tuple(factor), tuple(offset)
    if planes.place.is_cpu_place():
        return paddle.from_dlpack(scaled(np.from_dlpack(planes), factor, offset))
    if (factor, offset) == (ONE, ZERO):
        return planes.astype("float32")
    times, less = (paddle.to_tensor(values, "float32").reshape([-1, 1, 1]) for values in (factor, offset))
    return planes.astype("float32") * times - less
