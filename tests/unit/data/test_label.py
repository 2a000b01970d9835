"""DetLabelEncode: the JSON label -> polys, texts, ignore_tags; every fault named with its entry."""

import json

import numpy as np
import pytest

from ppdet_db.data.transforms import DetLabelEncode
from ppdet_db.errors import SampleError

QUAD = [[1, 1], [9, 1], [9, 5], [1, 5]]
CURVED = [[1, 11], [5, 10], [9, 11], [9, 15], [5, 14], [1.5, 15.25]]


def encode(*entries):
    return DetLabelEncode()({"label": json.dumps(entries)})


def entry(points=QUAD, transcription="a", **more):
    return {"transcription": transcription, "points": points, **more}


def test_polygons_of_different_length_are_padded_with_their_last_point():
    sample = encode(entry(QUAD), entry(CURVED), entry(QUAD[:3]))
    assert (sample["polys"].shape, sample["polys"].dtype) == ((3, 6, 2), np.float32)
    np.testing.assert_array_equal(sample["polys"][0], [*QUAD, QUAD[-1], QUAD[-1]])
    np.testing.assert_array_equal(sample["polys"][1], CURVED)
    np.testing.assert_array_equal(sample["polys"][2], [*QUAD[:3], *[QUAD[2]] * 3])


def test_stars_and_hashes_are_ignored_and_nothing_else():
    texts = ["a", "*", "###", "", "**", "#", "## #"]
    sample = encode(*[entry(transcription=text) for text in texts], entry(difficult=True))
    assert sample["texts"] == [*texts, "a"]
    assert sample["ignore_tags"].dtype == bool
    assert sample["ignore_tags"].tolist() == [False, True, True, False, False, False, False, False]


def test_no_text_is_a_negative():
    sample = encode()
    assert (sample["polys"].shape, sample["polys"].dtype) == ((0, 4, 2), np.float32)
    assert (sample["ignore_tags"].shape, sample["ignore_tags"].dtype) == ((0,), bool)
    assert sample["texts"] == []


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ('[{"transcription": "a" "points"', "broken JSON at column 24 of the label: Expecting ',' delimiter, near "),
        ("[\n{]", "broken JSON at line 2 of the label"),
        ("", "broken JSON at column 1 of the label: Expecting value"),
        ('{"points": []}', 'the label must be a JSON list of texts, got {"points": []}'),
        ("[[1, 2]]", 'text 1 of 1: must be {"transcription": ..., "points": ...}, got [1, 2]'),
        ('[{"points": []}]', "text 1 of 1: has no 'transcription'"),
        ('[{"transcription": "a"}]', "text 1 of 1: has no 'points'"),
        ('[{"transcription": 12, "points": []}]', "text 1 of 1: transcription must be a string, got 12"),
        ('[{"transcription": "a", "points": "1,2"}]', 'text 1 of 1: points must be a list of [x, y], got "1,2"'),
    ],
)
def test_faults_of_the_structure(label, message):
    with pytest.raises(SampleError) as error:
        DetLabelEncode()({"label": label})
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([], "a polygon needs at least 3 points, got 0"),
        ([[1, 1], [9, 1]], "a polygon needs at least 3 points, got 2"),
        ([[1, 1], [9, 1], [9, float("nan")]], "point 3 must be [x, y] with two finite numbers, got [9, NaN]"),
        ([[1, 1], [float("inf"), 1], [9, 5]], "point 2 must be [x, y] with two finite numbers, got [Infinity, 1]"),
        ([[1, 1], [9, "5"], [9, 5]], 'point 2 must be [x, y] with two finite numbers, got [9, "5"]'),
        ([[1, 1], [9, True], [9, 5]], "point 2 must be"),
        ([[1, 1], [9, None], [9, 5]], "point 2 must be"),
        ([[1, 1], [9, 1, 0], [9, 5]], "point 2 must be"),
        ([1, 1, 9, 1, 9, 5], "point 1 must be [x, y] with two finite numbers, got 1"),
        ([[[1, 1], [9, 1], [9, 5]]], "point 1 must be"),
        ([[1, 1], [9, 1], [1e30, 5]], "point 3 must be"),  # would be lost in float32
    ],
)
def test_faults_of_a_polygon_name_the_text(points, message):
    with pytest.raises(SampleError) as error:
        encode(entry(), entry(points))
    assert str(error.value).startswith("text 2 of 2: ")
    assert message in str(error.value)
