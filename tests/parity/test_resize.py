"""DetResizeForTest against sizes recorded from PaddleOCR (main, 2026-06)."""

import json

import numpy as np
import pytest

from ppdet_db.data.transforms import DetResizeForTest


@pytest.fixture(scope="module")
def records(shared):
    return json.loads((shared / "parity/resize/det_resize_for_test.json").read_text())


def is_contradictory(options):
    """PaddleOCR lets image_shape win over limit_side_len in silence; we refuse the pair."""
    return "image_shape" in options and "limit_side_len" in options


def test_every_recorded_size(records):
    compared = 0
    for record in records:
        if is_contradictory(record["options"]):
            continue
        h, w = record["size"]
        image = np.broadcast_to(np.uint8(0), (h, w, 3))  # no memory for the large ones
        sample = DetResizeForTest(**record["options"])({"image": image})
        src_h, src_w, ratio_h, ratio_w = record["shape"]
        if h + w < 64:
            # PaddleOCR pads to 32 x 32 and then tells the unpadded size, which puts boxes at the wrong scale: there
            # src * ratio is not the map's size. We tell the padded size; the picture and the ratios agree.
            src_h, src_w = max(h, 32), max(w, 32)
        assert sample["image"].shape == (*record["out"], 3), record
        np.testing.assert_allclose(sample["shape"], [src_h, src_w, ratio_h, ratio_w], rtol=1e-6, err_msg=str(record))
        compared += 1
    assert compared > 400


def test_the_contradictory_pair_is_refused(records):
    options = next(record["options"] for record in records if is_contradictory(record["options"]))
    with pytest.raises(ValueError, match="exclude each other"):
        DetResizeForTest(**options)
