"""DetLabelEncode against answers recorded from PaddleOCR (main, 2026-06)."""

import json

import numpy as np

from ppdet_db.data.transforms import DetLabelEncode


def test_every_recorded_label(shared):
    records = json.loads((shared / "parity/labels/det_label_encode.json").read_text())
    assert len(records) > 4
    for record in records:
        sample = DetLabelEncode()({"label": record["label"]})
        if record["out"] is None:
            # PaddleOCR gives up on a picture without text and silently takes another one; here it is a negative.
            assert record["label"] == "[]"
            assert sample["polys"].shape == (0, 4, 2)
            continue
        np.testing.assert_array_equal(sample["polys"], record["out"]["polys"])
        assert sample["ignore_tags"].tolist() == record["out"]["ignore"]
        assert sample["texts"] == record["out"]["texts"]
