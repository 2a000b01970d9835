"""Where the time of preparing a picture goes, and what to change when the network has to wait for it."""

import copy
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from ppdet_db.contract import BadSample
from ppdet_db.data.dataset import DetDataset
from ppdet_db.data.transforms.deferring import Deferring, with_pixels
from ppdet_db.data.transforms.picture import Picture
from ppdet_db.errors import DetError

READ, DRAW = "read", "decode and warp"
"""Beside the transforms' names: reading the file, and drawing a picture that transforms have left undrawn."""


def transform_seconds(dataset: DetDataset, keys: Iterable[tuple[int, int]]) -> dict[str, float]:
    """Mean seconds a picture, in order: `READ`, each transform by its name, `DRAW` where it comes about.

    The first picture is prepared once more and not counted, for what happens only once. Further samples that a
    transform asks for (CopyPaste) count where their own time is spent.

    Args:
        keys: (epoch, index) of the pictures.

    Raises:
        DetError: one of them cannot be prepared; names it.
    """
    keys = list(keys)
    seconds: dict[str, float] = {}

    def timed(name: str, call: Callable, *given: Any) -> Any:
        start = time.perf_counter()
        try:
            return call(*given)
        finally:
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start

    def apply_timed(transform: Callable[[dict], dict], sample: dict) -> dict:
        if isinstance(sample.get("image"), Picture) and not isinstance(transform, Deferring):
            sample = timed(DRAW, with_pixels, sample)
        return timed(type(transform).__name__, dataset.apply, transform, sample)

    watched = copy.copy(dataset)
    watched.apply = apply_timed
    prepare(watched, keys[0])
    seconds.clear()
    seconds[READ] = 0.0  # before the others
    start = time.perf_counter()
    for key in keys:
        prepare(watched, key)
    seconds[READ] = time.perf_counter() - start - sum(seconds.values())
    return {name: value / len(keys) for name, value in seconds.items()}


def reading_seconds(dataset: DetDataset, pictures: int = 16) -> dict[str, float]:
    """Mean seconds a picture of `decode`, with the reading of the file, and `resize`, all transforms behind it."""
    seconds = transform_seconds(dataset, [(0, index) for index in range(min(pictures, len(dataset)))])
    decode = sum(seconds.pop(name, 0.0) for name in (READ, "DecodeImage", DRAW))
    return {"decode": decode, "resize": sum(seconds.values())}


def prepare(dataset: DetDataset, key: tuple[int, int]) -> None:
    sample = dataset.packed(key)
    if isinstance(sample, BadSample):
        raise DetError(str(sample))


def advice(seconds: dict[str, float], workers: int) -> str:
    """What costs most of a picture, and what helps: `61.3 ms a picture, 30.1 of them in MakeBorderMap: ...`

    Args:
        seconds: from `transform_seconds`.
        workers: `Train.loader.num_workers`.
    """
    slowest = max(seconds, key=seconds.__getitem__)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cure = f"raise Train.loader.num_workers, which is {workers}"
    if workers >= cores:
        cure = f"make that cheaper; Train.loader.num_workers, {workers}, already takes every core"
    whole, most = 1000 * sum(seconds.values()), 1000 * seconds[slowest]
    return f"{whole:.1f} ms a picture, {most:.1f} of them in {slowest}: {cure}"
