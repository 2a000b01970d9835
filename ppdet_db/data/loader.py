"""Samples -> batches: which sample comes when, and how samples become one dict of arrays."""

import copy
import functools
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from paddle.io import BatchSampler, DataLoader

from ppdet_db.contract import BadSample, Ragged
from ppdet_db.data.dataset import DetDataset
from ppdet_db.data.transforms.packed import Packed
from ppdet_db.data.transport import receive, send
from ppdet_db.data.worker import set_up_worker


class EpochSampler(BatchSampler):
    """Yields batches of (epoch, index), so that workers learn the epoch with the index and need no message.

    The order of an epoch is `default_rng((seed, epoch)).permutation(n)`: the same at every resume and with any number
    of workers. `start` chooses the epoch and how many of its batches to leave out.

    Args:
        length: samples in the dataset.
        batch_size, shuffle, drop_last: as in the YAML's loader section.
        seed: `Global.seed`.
        rank, world_size: this process and how many share each epoch; every process gets equally many batches, the
            order is repeated from its start where it does not divide.
    """

    def __init__(
        self,
        length: int,
        *,
        batch_size: int,
        shuffle: bool,
        drop_last: bool,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ):
        self.length = length
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.share = -(-length // world_size)  # samples an epoch has for each process, rounded up
        self.start(0)

    def start(self, epoch: int, batch: int = 0) -> None:
        """The next iteration is of `epoch` and begins at its batch number `batch`."""
        self.epoch = epoch
        self.first_batch = batch

    def batches_per_epoch(self) -> int:
        return self.share // self.batch_size if self.drop_last else -(-self.share // self.batch_size)

    def __len__(self) -> int:
        return self.batches_per_epoch() - self.first_batch

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.arange(self.length)
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        mine = np.resize(order, self.share * self.world_size)[self.rank :: self.world_size]
        for batch in range(self.first_batch, self.batches_per_epoch()):
            chosen = mine[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield [(self.epoch, int(index)) for index in chosen]


RAGGED_KEYS = ("polys", "ignore_tags")
"""Arrays with one row a text. Whatever is no array (texts, img_path, index) is ragged as well."""


def collate(samples: Sequence[dict | BadSample]) -> dict[str, Any]:
    """One dict of arrays (N, ...). What cannot be stacked travels in a `Ragged`; bad samples under `bad`.

    The rule is by key and not by luck: texts, polygons and names are always ragged, other arrays are always stacked.
    Those that are packed stay so, if their constants are equal.
    A picture whose arrays differ in shape from those of the first one is a bad sample, with the reason.
    """
    good = [sample for sample in samples if not isinstance(sample, BadSample)]
    bad = [sample for sample in samples if isinstance(sample, BadSample)]
    bad += [misfit for sample in good[1:] if (misfit := _misfit(sample, good[0])) is not None]
    if bad:
        # the count is there because Paddle 3.3.1 takes a batch without any array for the end of the data
        return {"bad": Ragged(bad), "bad_count": np.array([len(bad)])}
    batch: dict[str, Any] = {}
    for key in good[0]:
        values = [sample[key] for sample in good]
        batch[key] = _stacked(values) if _is_stacked(key, values[0]) else Ragged(values)
    return batch


def _is_stacked(key: str, value: Any) -> bool:
    return isinstance(value, np.ndarray | Packed) and key not in RAGGED_KEYS


def _stacked(values: Sequence[np.ndarray | Packed]) -> np.ndarray | Packed:
    kinds = {(value.factor, value.offset, value.is_hwc) if isinstance(value, Packed) else None for value in values}
    if len(kinds) == 1 and isinstance(values[0], Packed) and not values[0].is_hwc:
        return replace(values[0], planes=np.stack([value.planes for value in values]))
    return np.stack([value.floats() if isinstance(value, Packed) else value for value in values])


def _misfit(sample: dict, first: dict) -> BadSample | None:
    for key, value in first.items():
        if _is_stacked(key, value) and sample[key].shape != value.shape:
            reason = (
                f"its '{key}' is {sample[key].shape}, that of {first['img_path']} in the same batch is {value.shape}. "
                "Set the loader's batch_size_per_card to 1, or give every picture one shape, as DetResizeForTest does "
                "with image_shape."
            )
            return BadSample(sample["img_path"], sample["line"], reason)
    return None


class PackedSamples:
    """A dataset as a loader reads it: its samples packed, if it has no indexing of its own."""

    def __init__(self, dataset: DetDataset):
        self.dataset = dataset
        self.is_packed = getattr(type(dataset), "__getitem__", None) is DetDataset.__getitem__

    def __getitem__(self, key: tuple[int, int]) -> dict | BadSample:
        return self.dataset.packed(key) if self.is_packed else self.dataset[key]


class EpochLoader(DataLoader):
    """Paddle's DataLoader, whose batches travel packed, and whose iterations leave nothing behind however they end."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        loader = copy.copy(self)
        loader.dataset, loader.collate_fn = PackedSamples(self.dataset), functools.partial(send, self.collate_fn)
        random_state = np.random.get_state()
        batches = DataLoader.__iter__(loader)
        thread = batches._thread
        np.random.set_state(random_state)  # Paddle drew a seed for its workers; a resumed epoch would draw once more
        try:
            yield from map(receive, batches)
        finally:
            # the iterator's own thread keeps it from being collected: left early, it and its workers would stay until
            # the exit of the program, which then ends in a traceback (Paddle 3.3.1)
            batches._try_shutdown_all()
            wait_for_end(thread)


POLL = 0.05
"""Seconds after which the thread that waits for workers looks whether it is still wanted, or a worker has died."""


def wait_for_end(thread: threading.Thread, seconds: float = 10) -> None:
    """Waits until a thread is gone from the system, which is after Python has counted it as ended.

    At its very end it holds a lock of Paddle's memory statistics. A worker that is forked at this moment inherits the
    locked lock and waits for ever with its first batch (Paddle 3.3.1; one of a hundred tiny epochs did).
    """
    end = time.monotonic() + seconds
    while os.path.exists(f"/proc/self/task/{thread.native_id}") and time.monotonic() < end:
        time.sleep(0.001)


def make_loader(dataset: DetDataset, sampler: EpochSampler, *, num_workers: int, use_shared_memory: bool) -> DataLoader:
    """A DataLoader of collated batches, arrays as tensors.

    Workers are fresh in every epoch: that costs 0.05 s, while Paddle's reset of persistent ones costs 0.5 s and leaving
    an epoch early makes the next one raise IndexError (measured, Paddle 3.3.1).
    """
    return EpochLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=num_workers,
        worker_init_fn=set_up_worker,
        use_shared_memory=use_shared_memory and num_workers > 0,
        timeout=POLL,
        persistent_workers=False,
        return_list=True,
    )
