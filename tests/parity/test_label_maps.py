"""MakeBorderMap and MakeShrinkMap beside maps recorded from PaddleOCR main 6d2110b (`../shared/parity/labels`).

Ours are exact, PaddleOCR's are not, so each comparison has a bound, and where the two differ by more, shapely's
distance decides. PaddleOCR's defects that show here: on an outline the law of cosines may give 0.3 for 0.7; past the
end of an edge it is off by up to 0.03; corners are cut to integers before filling and before Clipper, which moves masks
and cores by up to a pixel and a half; texts across the border are pulled onto it, and one outside it raises ValueError.
"""

import json

import numpy as np
import pytest
import shapely

from ppdet_db.data.transforms.border_map import MakeBorderMap
from ppdet_db.data.transforms.shrink_map import MakeShrinkMap
from ppdet_db.geometry import offset_distance

SHAPE = (96, 160)
PIXELS = shapely.points(*np.meshgrid(np.arange(SHAPE[1]), np.arange(SHAPE[0])))


@pytest.fixture(scope="module")
def records(shared):
    folder = shared / "parity" / "labels"
    return json.loads((folder / "labels.json").read_text()), dict(np.load(folder / "maps.npz"))


def cases(records, *, without=()):
    """(record, our sample, PaddleOCR's maps) of every record that has maps."""
    for record in records[0]:
        if "error" in record or record["case"] in without:
            continue
        maps = {name: records[1][f"{record['key']}|{name}"] for name in (*MakeBorderMap.gives, *MakeShrinkMap.gives)}
        yield record, make_maps(record), maps


def make_maps(record):
    count = len(record["polys"])
    sample = {
        "image": np.zeros((*SHAPE, 3), np.uint8),
        "polys": np.array(record["polys"], np.float32) if count else np.zeros((0, 4, 2), np.float32),
        "ignore_tags": np.array([record["case"] == "ignored" and i == 1 for i in range(count)], bool),
    }
    border = MakeBorderMap(record["shrink_ratio"])
    shrink = MakeShrinkMap(record["min_text_size"], record["shrink_ratio"])
    for transform in (border, shrink) if record["order"] == "border_shrink" else (shrink, border):
        sample = transform(sample)
    return sample


def distances(poly):
    """(H, W) from each pixel to the outline, by shapely."""
    return shapely.distance(shapely.linearrings(np.asarray(poly, np.float32)), PIXELS)


def nearest(record, offset):
    """(H, W): pixels to the nearest line at `offset` x D from an outline, on either side."""
    gaps = [
        np.abs(distances(poly) - offset * offset_distance(poly, record["shrink_ratio"])) for poly in record["polys"]
    ]
    return np.min(gaps, axis=0) if gaps else np.full(SHAPE, np.inf)


def test_ignored_texts(records):
    for record, sample, _ in cases(records, without=["outside"]):
        assert sample["ignore_tags"].tolist() == record["ignore_after"], record["key"]


def test_threshold_map_differs_only_where_the_record_is_known_to_be_wrong(records):
    """`vs_true_distance` counts the pixels of a record's mask that are off the truth; we are off them by the same."""
    for record, sample, maps in cases(records):
        if record["case"] in ("edge", "outside") and record["order"] == "shrink_border":
            continue  # PaddleOCR's shrink map has moved the corners onto the canvas before its border map reads them
        off = np.abs(sample["threshold_map"].astype(np.float64) - maps["threshold_map"])[maps["threshold_mask"] > 0]
        known = record["vs_true_distance"]
        assert off.max(initial=0) == pytest.approx(known["max_abs"], abs=1e-6), record["key"]
        assert np.sum(off > 0.1) == known["pixels_over_0_1"], record["key"]
        assert np.sum(off > 0.01) == known["pixels_over_0_01"], record["key"]


def test_threshold_map_is_right_where_the_two_differ(records):
    for record, sample, maps in cases(records, without=["ignored"]):
        truth = np.full(SHAPE, 0.3)
        for poly, is_ignored in zip(record["polys"], sample["ignore_tags"], strict=True):
            reach = offset_distance(poly, record["shrink_ratio"])
            if reach > 0 and (record["order"] == "border_shrink" or not is_ignored):
                truth = np.maximum(truth, 0.3 + 0.4 * np.clip(1 - distances(poly) / reach, 0, 1))
        differs = np.abs(sample["threshold_map"] - maps["threshold_map"]) > 0.002
        np.testing.assert_allclose(
            sample["threshold_map"][differs], truth[differs], rtol=0, atol=1e-6, err_msg=record["key"]
        )


@pytest.mark.parametrize(
    ("name", "offset", "bound", "reason"),
    [
        ("threshold_mask", 1, 2, "PaddleOCR cuts corners to integers twice, before growing and before filling"),
        ("shrink_map", 1, 1.5, "and before shrinking, once, at most sqrt(2) px"),
        ("shrink_mask", 0, 0.5, "cv2.fillPoly takes integer corners and fills the pixels its outline touches"),
    ],
)
def test_masks_and_cores_differ_only_near_their_outline(records, name, offset, bound, reason):
    for record, sample, maps in cases(records, without=["edge", "outside"]):
        differs = sample[name] != maps[name]
        assert nearest(record, offset)[differs].max(initial=0) <= bound, f"{record['key']}: {reason}"


def test_upright_integer_texts_have_equal_cores(records):
    for record, sample, maps in cases(records):
        if record["case"] in ("axis", "padded_quad", "ignored", "none", "degenerate", "line"):
            np.testing.assert_array_equal(sample["shrink_map"], maps["shrink_map"], err_msg=record["key"])
            np.testing.assert_array_equal(sample["shrink_mask"], maps["shrink_mask"], err_msg=record["key"])


def test_a_text_outside_the_picture_writes_nothing(records):
    """PaddleOCR raises, or, in the other order, masks 21 pixels of the first column, which hold no text."""
    outside = [record for record in records[0] if record["case"] == "outside"]
    assert {record.get("error", "")[:10] for record in outside} == {"ValueError", ""}
    for record in outside:
        sample = make_maps(record)
        assert sample["ignore_tags"].tolist() == [False]
        assert sample["threshold_mask"].max() == 0
        assert sample["shrink_mask"].min() == 1


def test_a_text_across_the_border_is_not_pulled_onto_it(records):
    """60 x 30 px with corners at (-25, -10): its core is |x - 5| <= 21.6, |y - 5| <= 6.6, cut by the canvas only."""
    for record, sample, maps in cases(records):
        if record["case"] == "edge" and record["shrink_ratio"] == 0.4:
            corner = sample["shrink_map"][:20, :35]
            assert [corner[:, 0].sum(), corner[0].sum()] == [12, 27]
            assert maps["shrink_map"][0].sum() == 0  # PaddleOCR's core starts 6 rows below the border
