"""What a worker sends and the main process receives: the same numbers. Through real workers: test_loader.py."""

from types import SimpleNamespace

import numpy as np
import paddle
import pytest

from ppdet_db.contract import Ragged
from ppdet_db.data.transforms.packed import Packed
from ppdet_db.data.transport import floats, receive, send

CONSTANTS = (0.5, 0.25, 2.0), (1.0, -3.0, 0.0)


def collate(samples):
    """A picture and a mask of bytes, a map of float32, an array that is neither, and names."""
    rng = np.random.default_rng(0)
    return {
        "image": Packed(rng.integers(0, 256, (2, 3, 4, 4), np.uint8), *CONSTANTS),
        "shrink_mask": Packed(rng.integers(0, 2, (2, 4, 4), np.uint8)),
        "threshold_map": rng.random((2, 4, 4)).astype(np.float32),
        "index": np.array([7, 8]),
        "img_path": Ragged(["a.jpg", "b.jpg"]),
    }


def by_paddle(sent):
    """Arrays as tensors, tuples as lists: what Paddle makes of a batch on the way."""
    if isinstance(sent, np.ndarray):
        return paddle.to_tensor(sent)
    return [by_paddle(value) for value in sent] if isinstance(sent, list | tuple) else sent


def test_bytes_travel_as_bytes_and_become_float32():
    sent, batch = send(collate, []), collate([])
    assert sent["image"][0].dtype == sent["shrink_mask"][0].dtype == np.uint8
    received = receive({key: by_paddle(value) for key, value in sent.items()})
    for key in ("image", "shrink_mask"):
        np.testing.assert_array_equal(received[key].numpy(), batch[key].floats(), key)
        assert received[key].dtype == paddle.float32
    for key in ("threshold_map", "index"):
        np.testing.assert_array_equal(received[key].numpy(), batch[key], key)
    assert list(received["img_path"]) == ["a.jpg", "b.jpg"]


class OnDevice:
    """Bytes that are not in this machine's memory, as far as one can tell."""

    place = SimpleNamespace(is_cpu_place=lambda: False)

    def __init__(self, planes):
        self.astype = paddle.to_tensor(planes).astype


@pytest.mark.parametrize("key", ["image", "shrink_mask"])
def test_on_another_device_paddle_computes_the_same(key):
    packed = collate([])[key]
    result = floats(OnDevice(packed.planes), list(packed.factor), list(packed.offset))
    np.testing.assert_allclose(result.numpy(), packed.floats(), rtol=1e-6)
    assert result.dtype == paddle.float32
