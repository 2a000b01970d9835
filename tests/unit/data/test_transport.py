"""What a worker sends and the main process receives: the same numbers, whatever way they take."""

from types import SimpleNamespace

import numpy as np
import paddle
import pytest

from ppdet_db.contract import Ragged
from ppdet_db.data import transport
from ppdet_db.data.transforms.packed import Packed
from ppdet_db.data.transport import SLOTS, Transport, floats

CONSTANTS = (0.5, 0.25, 2.0), (1.0, -3.0, 0.0)


def batch_of(number, side=4):
    """As collate makes it: a picture and a mask of bytes, a map of float32, an array that is neither, and names."""
    rng = np.random.default_rng(number)
    return {
        "image": Packed(rng.integers(0, 256, (2, 3, side, side), np.uint8), *CONSTANTS),
        "shrink_mask": Packed(rng.integers(0, 2, (2, side, side), np.uint8)),
        "threshold_map": rng.random((2, side, side)).astype(np.float32),
        "index": np.array([number, number + 1]),
        "img_path": Ragged(["a.jpg", "b.jpg"]),
    }


def assert_received(batch, number, side=4):
    for key, expected in batch_of(number, side).items():
        if isinstance(expected, Ragged):
            assert list(batch[key]) == list(expected)
            continue
        expected = expected.floats() if isinstance(expected, Packed) else expected
        assert tuple(batch[key].shape) == expected.shape
        np.testing.assert_array_equal(np.asarray(batch[key]), expected, err_msg=key)


@pytest.fixture
def in_worker(monkeypatch):
    """This process is taken for the second of two workers."""
    monkeypatch.setattr(transport, "get_worker_info", lambda: SimpleNamespace(id=1))


def sent(number, side=4, workers=2):
    return Transport(lambda samples: batch_of(number, side), workers).send([])


def test_bytes_travel_as_bytes():
    _, batch = sent(0)
    assert batch["image"][0].dtype == batch["shrink_mask"][0].dtype == paddle.uint8


def test_without_workers_and_in_a_worker_the_same_is_received(in_worker, monkeypatch):
    through_slots = Transport(lambda samples: batch_of(5), 2)
    assert_received(through_slots.receive(through_slots.send([])), 5)
    no_shared_memory = Transport(lambda samples: batch_of(5), 0)
    slot, batch = no_shared_memory.send([])
    assert slot is None
    assert isinstance(batch["image"][0], np.ndarray), "Paddle would send a tensor through shared memory"
    monkeypatch.setattr(transport, "get_worker_info", lambda: None)
    alone = Transport(lambda samples: batch_of(5), 0)
    assert_received(alone.receive(alone.send([])), 5)


class TestSlots:
    @pytest.fixture
    def ends(self, in_worker):
        """Batches of rising number, and the two ends."""
        numbers = iter(range(100))
        return Transport(lambda samples: batch_of(next(numbers)), 2)

    def test_a_slot_is_filled_again_when_it_was_emptied_and_not_before(self, ends):
        waiting = [ends.send([]) for _ in range(SLOTS)]
        assert [slot for slot, _ in waiting] == [SLOTS, SLOTS + 1, SLOTS + 2, SLOTS + 3], "those of the second worker"
        without, surplus = ends.send([])
        assert without is None
        assert isinstance(surplus["threshold_map"], np.ndarray)
        received = ends.receive(waiting[2])
        again = ends.send([])
        assert again[0] == SLOTS + 2
        assert again[1]["image"][0] is waiting[2][1]["image"][0], "the memory is the same"
        assert_received(received, 2)  # though its slot holds another batch now
        assert_received(ends.receive(again), SLOTS + 1)
        for number in (0, 1, 3):
            assert_received(ends.receive(waiting[number]), number)

    def test_batches_of_other_sizes_fit_into_a_slot(self, in_worker):
        sides = iter([4, 6, 2])
        ends = Transport(lambda samples: batch_of(7, next(sides)), 2)
        for side in (4, 6, 2):
            assert_received(ends.receive(ends.send([])), 7, side)


class OnDevice:
    """Bytes that are not in this machine's memory, as far as one can tell."""

    place = SimpleNamespace(is_cpu_place=lambda: False)

    def __init__(self, planes):
        self.astype = paddle.to_tensor(planes).astype


@pytest.mark.parametrize("key", ["image", "shrink_mask"])
def test_on_another_device_paddle_computes_the_same(key):
    packed = batch_of(3)[key]
    result = floats(OnDevice(packed.planes), list(packed.factor), list(packed.offset))
    np.testing.assert_allclose(result.numpy(), packed.floats(), rtol=1e-6)
    assert result.dtype == paddle.float32
