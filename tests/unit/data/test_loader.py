"""Batches: their order, what is stacked, and that workers change nothing."""

import cv2
import numpy as np
import pytest

from ppdet_db.contract import BadSample, Ragged
from ppdet_db.data.dataset import DetDataset
from ppdet_db.data.loader import EpochSampler, collate, make_loader


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
