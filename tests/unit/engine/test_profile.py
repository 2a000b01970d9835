"""Whose time is whose when a picture is prepared, and which setting is named."""

from types import SimpleNamespace

import numpy as np
import pytest

from ppdet_db.contract import BadSample
from ppdet_db.data.dataset import DetDataset
from ppdet_db.data.transforms.deferring import Deferring, Packing
from ppdet_db.data.transforms.picture import Picture
from ppdet_db.engine import profile
from ppdet_db.engine.profile import DRAW, READ, advice, reading_seconds, transform_seconds
from ppdet_db.errors import DetError, SampleError


class Clock:
    """Time that passes only where the test says so."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(profile, "time", clock)
    return clock


class Pictures(DetDataset):
    """Reading takes a second, and a transform as long as `takes` says."""

    def __init__(self, clock: Clock, transforms: list):
        super().__init__(transforms)
        self.clock = clock

    def __len__(self) -> int:
        return 4

    def read(self, epoch: int, index: int, rng: np.random.Generator) -> dict:
        self.clock.spend(1)
        return {"img_path": f"{index}.jpg", "line": f"labels.txt:{index + 1}", "image": b""}


class Takes:
    def __init__(self, clock: Clock, *seconds: float):
        self.clock, self.seconds = clock, list(seconds)

    def __call__(self, sample: dict) -> dict:
        self.clock.spend(self.seconds[0] if len(self.seconds) == 1 else self.seconds.pop(0))
        return sample


class Resize(Takes):
    pass


class Mix(Takes):
    ext_data_num = 2


class Undrawn(Deferring):
    """Takes two seconds to be drawn, which nobody does before `Takes`."""

    def __init__(self, clock: Clock):
        self.clock = clock

    def deferred(self, sample: dict) -> dict:
        picture = Picture(np.zeros((4, 4, 3), np.uint8))
        picture.pixels = lambda: (self.clock.spend(2), np.zeros((4, 4, 3), np.uint8))[1]
        return {**sample, "image": picture}


class Normalize(Takes, Packing):
    """Takes packed arrays, but no undrawn picture."""

    packed = Takes.__call__
    __call__ = Packing.__call__


@pytest.mark.parametrize(
    ("transforms", "expected"),
    [
        (lambda clock: [], {READ: 1}),
        (lambda clock: [Takes(clock, 3), Resize(clock, 4)], {READ: 1, "Takes": 3, "Resize": 4}),
        (lambda clock: [Takes(clock, 3), Takes(clock, 4)], {READ: 1, "Takes": 7}),
        # 100 seconds are of the first call of all: a compilation, an import
        (lambda clock: [Takes(clock, 100, 2, 4)], {READ: 1, "Takes": 3}),
        # three pictures are read and resized, one is mixed
        (lambda clock: [Resize(clock, 4), Mix(clock, 5)], {READ: 3, "Resize": 12, "Mix": 5}),
        (lambda clock: [Undrawn(clock), Takes(clock, 3)], {READ: 1, "Undrawn": 0, DRAW: 2, "Takes": 3}),
        (lambda clock: [Undrawn(clock), Normalize(clock, 3)], {READ: 1, "Undrawn": 0, DRAW: 2, "Normalize": 3}),
    ],
    ids=[
        "none",
        "two",
        "one name twice",
        "the first call",
        "further pictures",
        "a picture that is drawn later",
        "drawn and packed",
    ],
)
def test_seconds_of_a_picture(transforms, expected, clock):
    dataset = Pictures(clock, transforms(clock))
    assert transform_seconds(dataset, [(0, 1), (0, 2)]) == expected
    assert list(transform_seconds(Pictures(clock, transforms(clock)), [(0, 1), (0, 2)])) == list(expected)


def test_the_dataset_itself_keeps_no_clock(clock):
    dataset = Pictures(clock, [Takes(clock, 3)])
    transform_seconds(dataset, [(0, 1)])
    assert vars(dataset).keys() == vars(Pictures(clock, [])).keys()


def test_a_bad_picture_is_named(clock):
    def refuse(sample: dict) -> dict:
        raise SampleError("too dark")

    dataset = Pictures(clock, [refuse])
    assert isinstance(dataset[0, 2], BadSample)
    with pytest.raises(DetError, match=r"labels.txt:3: 2.jpg: too dark"):
        transform_seconds(dataset, [(0, 2)])


def test_decoding_has_the_reading_and_resizing_the_rest(clock):
    decoding = Pictures(clock, [type("DecodeImage", (Takes,), {})(clock, 3), Resize(clock, 4), Takes(clock, 5)])
    assert reading_seconds(decoding) == {"decode": 4, "resize": 9}
    assert reading_seconds(Pictures(clock, [Undrawn(clock), Resize(clock, 4)])) == {"decode": 3, "resize": 4}


@pytest.mark.parametrize(
    ("workers", "cure"),
    [
        (0, "raise Train.loader.num_workers, which is 0"),
        (3, "raise Train.loader.num_workers, which is 3"),
        (4, "make that cheaper; Train.loader.num_workers, 4, already takes every core"),
    ],
)
def test_advice_on_four_cores(workers, cure, monkeypatch):
    monkeypatch.setattr(profile, "os", SimpleNamespace(sched_getaffinity=lambda pid: {0, 1, 2, 3}))
    seconds = {READ: 0.001, "DecodeImage": 0.0042, "MakeBorderMap": 0.0301, "KeepKeys": 0.0}
    assert advice(seconds, workers) == f"35.3 ms a picture, 30.1 of them in MakeBorderMap: {cure}"
