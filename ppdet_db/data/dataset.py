"""Label files -> samples. A sample depends on (seed, epoch, index) alone: not on workers, order or history."""

import json
import os
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ppdet_db.contract import BadSample
from ppdet_db.errors import DetError, SampleError
from ppdet_db.registry import DATASETS

Transform = Callable[[dict], dict]


class DetDataset:
    """What every dataset does: make the raw sample, run the transforms, hand over a bad sample instead of raising.

    A subclass implements `__len__` and `read`. Items are asked for by `(epoch, index)`; a plain index means epoch 0.

    Args:
        transforms: built transforms, applied in order.
        base_seed: `Global.seed`.
    """

    def __init__(self, transforms: Sequence[Transform] = (), base_seed: int = 0):
        self.transforms = list(transforms)
        self.base_seed = base_seed

    def __len__(self) -> int:
        raise NotImplementedError

    def read(self, epoch: int, index: int, rng: np.random.Generator) -> dict:
        """`img_path`, `line`, `image` (encoded bytes) and `label` (JSON). Raises SampleError when there are none."""
        raise NotImplementedError

    def __getitem__(self, key: tuple[int, int] | int) -> dict | BadSample:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} of a dataset of {len(self)}")
        return self._sample(epoch, index, (self.base_seed, epoch, index), self.transforms)

    def _sample(self, epoch: int, index: int, seed: tuple, transforms: list[Transform]) -> dict | BadSample:
        sample: dict[str, Any] = {
            "index": index, "epoch": epoch, "rng": np.random.default_rng(seed), "img_path": "", "line": "",
        }  # fmt: skip
        where = sample  # the newest sample that knows its picture, for the report
        try:
            sample.update(self.read(epoch, index, sample["rng"]))
            for position, transform in enumerate(transforms):
                wanted = getattr(transform, "ext_data_num", 0)
                if wanted:
                    sample["ext_data"] = self._further_samples(epoch, seed, wanted, transforms[:position])
                    bad = next((extra for extra in sample["ext_data"] if isinstance(extra, BadSample)), None)
                    if bad is not None:
                        return bad
                sample = transform(sample)
                where = sample
        except SampleError as error:
            return BadSample(where["img_path"], where["line"], str(error))
        except Exception:  # whatever it is, the parent process must learn the picture and the cause
            return BadSample(where["img_path"], where["line"], traceback.format_exc())
        return sample

    def _further_samples(self, epoch: int, seed: tuple, wanted: int, transforms: list[Transform]) -> list:
        samples = []
        for k in range(wanted):
            own_seed = (*seed, k + 1)
            index = int(np.random.default_rng((*own_seed, 0)).integers(len(self)))
            samples.append(self._sample(epoch, index, own_seed, transforms))
        return samples
