"""Batches: their order, what is stacked, and that workers change nothing."""

import json
import os
import threading

import cv2
import numpy as np
import paddle
import pytest

from ppdet_db.contract import BadSample, Ragged
from ppdet_db.data import loader as loading
from ppdet_db.data.dataset import DetDataset
from ppdet_db.data.loader import EpochSampler, collate, make_loader, wait_for_end
from ppdet_db.data.transforms import (
    DecodeImage,
    DetLabelEncode,
    EastRandomCropData,
    KeepKeys,
    MakeBorderMap,
    MakeShrinkMap,
    NormalizeImage,
    ToCHWImage,
)
from ppdet_db.data.transforms.packed import Packed


def sampler(length=10, **more):
    return EpochSampler(length, **{"batch_size": 4, "shuffle": True, "drop_last": False, "seed": 7} | more)


def test_shuffle_is_of_seed_and_epoch():
    first, again = sampler(), sampler()
    orders = []
    for epoch in (0, 1):
        first.start(epoch)
        orders.append([pair for batch in first for pair in batch])
    again.start(1)
    assert [pair for batch in again for pair in batch] == orders[1]
    assert [index for _, index in orders[0]] != [index for _, index in orders[1]]
    assert {epoch for epoch, _ in orders[1]} == {1}
    assert sorted(index for _, index in orders[0]) == list(range(10))
    assert [index for _, index in orders[0]] == np.random.default_rng((7, 0)).permutation(10).tolist()


@pytest.mark.parametrize(
    ("more", "sizes"),
    [
        ({}, [4, 4, 2]),
        ({"drop_last": True}, [4, 4]),
        ({"batch_size": 5}, [5, 5]),
        ({"length": 3}, [3]),
        ({"length": 3, "drop_last": True}, []),
    ],
)
def test_batch_sizes(more, sizes):
    batches = sampler(**more)
    assert [len(batch) for batch in batches] == sizes
    assert len(batches) == len(sizes)


def test_start_in_the_middle_is_the_rest_of_the_same_epoch():
    whole, rest = sampler(), sampler()
    whole.start(2)
    rest.start(2, 1)
    assert list(rest) == list(whole)[1:]
    assert len(rest) == 2
    assert rest.batches_per_epoch() == 3


def test_processes_share_an_epoch():
    parts = [sampler(11, rank=rank, world_size=2, batch_size=3) for rank in (0, 1)]
    indices = [[index for batch in part for _, index in batch] for part in parts]
    assert len(indices[0]) == len(indices[1]) == 6, "equally many, so that no process waits for another"
    assert set(indices[0]) | set(indices[1]) == set(range(11))


def sample(i, texts=1, side=4):
    return {
        "image": np.full((3, side, side), i, np.float32),
        "polys": np.zeros((texts, 4, 2), np.float32),
        "ignore_tags": np.zeros(texts, bool),
        "img_path": f"{i}.jpg",
        "line": f"l.txt:{i}",
        "index": i,
    }


def test_collate_stacks_by_key_and_not_by_luck():
    batch = collate([sample(0), sample(1)])
    assert batch["image"].shape == (2, 3, 4, 4)
    assert batch["image"][:, 0, 0, 0].tolist() == [0, 1]
    assert isinstance(batch["polys"], Ragged), "ragged even where the shapes happen to be equal"
    assert list(batch["img_path"]) == ["0.jpg", "1.jpg"]
    assert "bad" not in batch


def test_collate_hands_over_what_is_bad():
    bad = BadSample("x.jpg", "l.txt:9", "truncated")
    assert list(collate([sample(0), bad])["bad"]) == [bad]
    unequal = collate([sample(0), sample(1, side=5)])
    assert list(unequal) == ["bad", "bad_count"]
    assert str(unequal["bad"][0]) == (
        "l.txt:1: 1.jpg: its 'image' is (3, 5, 5), that of 0.jpg in the same batch is (3, 4, 4). Set the loader's "
        "batch_size_per_card to 1, or give every picture one shape, as DetResizeForTest does with image_shape."
    )


def packed(value, factor=0.5, is_hwc=False):
    return Packed(np.full((3, 4, 4), value, np.uint8), (factor,) * 3, (1.0,) * 3, is_hwc)


@pytest.mark.parametrize(
    ("images", "stays"),
    [
        ([packed(8), packed(2)], True),
        ([packed(8), packed(1, factor=1.0)], False),
        ([packed(8), np.full((3, 4, 4), 0, np.float32)], False),
        ([packed(8, is_hwc=True), packed(2, is_hwc=True)], False),
    ],
    ids=["equal constants", "unequal ones", "some are floats", "not planes"],
)
def test_packed_arrays_are_stacked_packed_where_they_can_be(images, stays):
    stacked = collate([sample(i, side=4) | {"image": image} for i, image in enumerate(images)])["image"]
    assert isinstance(stacked, Packed) == stays
    stacked = stacked.floats() if stays else stacked
    assert stacked.dtype == np.float32
    assert stacked.shape == (2, *images[0].shape)
    assert [image.mean() for image in stacked] == [3, 0]


def test_packed_arrays_that_differ_in_shape_are_bad_as_well():
    larger = Packed(np.zeros((3, 5, 5), np.uint8), (1.0,) * 3, (0.0,) * 3)
    assert "(3, 5, 5)" in str(collate([sample(0), sample(1) | {"image": larger}])["bad"][0])


def drop_rng(sample):
    return {key: value for key, value in sample.items() if key != "rng"}


class NoText(DetDataset):
    """Six pictures; the even ones have no text. `chance` shows which rng a sample got."""

    def __init__(self):
        super().__init__([drop_rng])

    def __len__(self):
        return 6

    def read(self, epoch, index, rng):
        return sample(index, texts=index % 2) | {"chance": np.array([epoch, index, rng.random()])}


class Raises(NoText):
    """Its third sample cannot be read."""

    def read(self, epoch, index, rng):
        if index == 2:
            raise ValueError("boom")
        return super().read(epoch, index, rng)


def batches_of(dataset, workers, epoch=0):
    order = EpochSampler(len(dataset), batch_size=2, shuffle=True, drop_last=False, seed=1)
    order.start(epoch)
    return list(make_loader(dataset, order, num_workers=workers, use_shared_memory=True))


@pytest.mark.parametrize("epoch", [0, 3])
def test_workers_change_nothing_and_pictures_without_text_pass(epoch):
    alone, shared = batches_of(NoText(), 0, epoch), batches_of(NoText(), 2, epoch)
    assert len(alone) == len(shared) == 3
    for one, two in zip(alone, shared, strict=True):
        assert one["chance"].numpy().tolist() == two["chance"].numpy().tolist()
        assert one["chance"].numpy()[:, 0].tolist() == [epoch, epoch]
        assert [p.shape for p in one["polys"]] == [p.shape for p in two["polys"]]
        assert all(isinstance(p, np.ndarray) for p in two["polys"]), "no tensor: what is ragged arrives as it left"
    shapes = sorted(p.shape for batch in shared for p in batch["polys"])
    assert shapes == [(0, 4, 2)] * 3 + [(1, 4, 2)] * 3


class Drawn(DetDataset):
    """Twelve pictures through the usual transforms."""

    def __init__(self, *more):
        maps = ["shrink_map", "shrink_mask", "threshold_map", "threshold_mask"]
        crop = [DecodeImage(img_mode="BGR"), DetLabelEncode(), EastRandomCropData(size=[64, 48])]
        last = [NormalizeImage(order="hwc"), ToCHWImage(), *more, KeepKeys(["image", *maps, "ignore_tags"])]
        super().__init__([*crop, MakeShrinkMap(), MakeBorderMap(), *last], base_seed=2)

    def __len__(self):
        return 12

    def read(self, epoch, index, rng):
        pixels = cv2.resize(np.random.default_rng(index).integers(0, 256, (6, 8, 3), np.uint8), (120, 90))
        quads = [[[10, 10], [60, 12], [60, 40], [10, 38]], [[70, 50], [110, 50], [110, 55], [70, 55]]]
        label = json.dumps([{"transcription": "word", "points": quad} for quad in quads])
        file = cv2.imencode(".png", pixels)[1].tobytes()
        return {"img_path": f"{index}.png", "line": f"l.txt:{index}", "image": file, "label": label}


class Soft:
    """A user's transform, behind the maps: they are no longer 0 or 1."""

    def __call__(self, sample):
        return sample | {"shrink_map": sample["shrink_map"] * np.float32(0.9), "image": sample["image"] + 1}


class OwnIndexing(Drawn):
    def __getitem__(self, key):
        sample = super().__getitem__(key)
        return sample | {"image": -sample["image"]}


@pytest.mark.parametrize(
    "dataset", [Drawn(), Drawn(Soft()), OwnIndexing()], ids=["built in", "a user's transform", "a user's indexing"]
)
@pytest.mark.parametrize(
    ("workers", "shared"), [(0, False), (1, True), (2, True), (1, False)], ids=["none", "one", "two", "not shared"]
)
def test_a_batch_holds_what_its_samples_hold(dataset, workers, shared):
    """Though it travels packed."""
    order = [[(1, index), (1, 11 - index)] for index in range(12)]
    batches = list(make_loader(dataset, order, num_workers=workers, use_shared_memory=shared))
    assert len(batches) == 12
    for batch, keys in zip(batches, order, strict=True):
        samples = [dataset[key] for key in keys]
        assert list(batch["img_path"]) == [sample["img_path"] for sample in samples]
        for key in ("image", "shrink_map", "shrink_mask", "threshold_map", "threshold_mask"):
            assert batch[key].dtype == paddle.float32
            np.testing.assert_array_equal(batch[key].numpy(), np.stack([sample[key] for sample in samples]), key)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_evaluation_within_an_epoch_disturbs_nothing(workers):
    """When an iteration ends, Paddle forgets what memory it shares with workers, those of other iterations too."""
    order = [[(1, index % 12), (1, 11)] for index in range(40)]
    loader, dataset = make_loader(Drawn(), order, num_workers=workers, use_shared_memory=True), Drawn()
    for number, batch in enumerate(loader):
        if number in (3, 20):
            assert len(batches_of(Drawn(), workers)) == 6
        expected = np.stack([dataset[key]["image"] for key in order[number]])
        np.testing.assert_array_equal(batch["image"].numpy(), expected)
    assert number == 39


class Threads(NoText):
    """Tells how many threads OpenCV has where the sample is made."""

    def read(self, epoch, index, rng):
        return sample(index) | {"threads": np.array([cv2.getNumThreads()])}


def test_a_worker_keeps_to_one_core():
    """Also when this process has had OpenCV's threads at work before; they are not there in a forked one."""
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (0, 0), 3)
    alone, shared = (np.concatenate([batch["threads"] for batch in batches_of(Threads(), n)]) for n in (0, 2))
    assert set(shared.ravel()) == {1}
    assert set(alone.ravel()) == {cv2.getNumThreads()}


def test_an_exception_in_a_worker_arrives_with_picture_and_cause():
    bad = [b for batch in batches_of(Raises(), 2) for b in batch.get("bad", [])]
    assert len(bad) == 1
    assert bad[0].path == "sample 2"
    assert "ValueError: boom" in bad[0].reason


def test_an_epoch_left_early_does_not_disturb_the_next():
    order = EpochSampler(6, batch_size=1, shuffle=False, drop_last=False)
    loader = make_loader(NoText(), order, num_workers=2, use_shared_memory=True)
    next(iter(loader))
    order.start(1)
    assert [int(batch["chance"].numpy()[0, 1]) for batch in loader] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("taken", [1, 4])
def test_an_iteration_ends_with_its_thread(workers, taken, monkeypatch):
    """While that ends, no worker must be forked."""
    waited_for, started, start = [], [], threading.Thread.start
    monkeypatch.setattr(loading, "wait_for_end", waited_for.append)
    # noted as they start: one that has read its few samples is gone before it could be looked for
    monkeypatch.setattr(threading.Thread, "start", lambda thread: (started.append(thread), start(thread)))
    batches = iter(make_loader(NoText(), [[(0, i)] for i in range(4)], num_workers=workers, use_shared_memory=True))
    next(batches)
    for _ in zip(range(taken - 1), batches, strict=False):
        pass
    batches.close()
    assert len(waited_for) == 1
    assert waited_for[0] in started


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="threads are seen in /proc")
def test_waiting_for_the_end_of_a_thread():
    goes_on = threading.Event()
    thread = threading.Thread(target=goes_on.wait)
    thread.start()
    wait_for_end(thread, seconds=0.01)  # not for ever
    assert thread.is_alive()
    goes_on.set()
    wait_for_end(thread)
    assert not os.path.exists(f"/proc/self/task/{thread.native_id}")
