"""Arrays that are kept as bytes: which ones stand for them."""

import numpy as np
import pytest

from ppdet_db.data.transforms.packed import Packed

BYTES = np.array([[[0, 1, 2], [253, 254, 255]], [[9, 8, 7], [6, 5, 4]], [[0, 0, 0], [255, 255, 255]]], np.uint8)
FACTOR, OFFSET = (0.5, 0.01, 2.0), (1.0, -0.25, 300.0)


def by_hand(planes):
    """(..., 3, H, W), in float64."""
    return planes * np.reshape(FACTOR, (3, 1, 1)) - np.reshape(OFFSET, (3, 1, 1))


@pytest.mark.parametrize("planes", [BYTES, np.stack([BYTES, 255 - BYTES])], ids=["a picture", "a batch"])
def test_each_channel_has_its_constants(planes):
    packed = Packed(planes, FACTOR, OFFSET)
    floats = packed.floats()
    assert floats.dtype == np.float32
    assert packed.shape == floats.shape == planes.shape
    np.testing.assert_allclose(floats, by_hand(planes), rtol=1e-6)


def test_channels_may_be_last_but_are_planes_in_memory():
    packed = Packed(BYTES, FACTOR, OFFSET, is_hwc=True)
    assert packed.shape == packed.floats().shape == (2, 3, 3)
    np.testing.assert_allclose(packed.floats(), by_hand(BYTES).transpose(1, 2, 0), rtol=1e-6)
    assert packed.floats().transpose(2, 0, 1).flags.c_contiguous


@pytest.mark.parametrize("planes", [BYTES[0], BYTES], ids=["a map", "a batch of maps"])
def test_without_constants_a_byte_is_its_number(planes):
    floats = Packed(planes).floats()
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(floats, planes)
