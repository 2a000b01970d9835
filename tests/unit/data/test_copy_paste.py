"""CopyPaste: pixels and polygon of a pasted text agree, nothing is covered, any number of points and texts."""

import cv2
import numpy as np
import pytest

from ppdet_db.data.transforms import CopyPaste

QUAD = np.array([[20, 20], [59, 20], [59, 29], [20, 29]], np.float32)
CURVED = np.array([[20, 60], [40, 50], [60, 60], [60, 72], [40, 62], [20, 72]], np.float32)


def make_sample(polys, colour, shape=(120, 160), ignored=(), seed=0):
    image = np.zeros((*shape, 3), np.uint8)
    for poly in polys:
        cv2.fillPoly(image, [poly.astype(np.int32)], colour)
    longest = max((len(poly) for poly in polys), default=4)
    padded = [np.concatenate([poly, np.repeat(poly[-1:], longest - len(poly), axis=0)]) for poly in polys]
    return {
        "image": image,
        "polys": np.array(padded, np.float32).reshape(-1, longest, 2),
        "texts": [f"{colour} {i}" for i in range(len(polys))],
        "ignore_tags": np.array([i in ignored for i in range(len(polys))], bool),
        "rng": np.random.default_rng(seed),
    }


def paste(sample, other, **options):
    return CopyPaste(**options)({**sample, "ext_data": [other]})


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("polygon", [QUAD, CURVED, CURVED[:3]], ids=["quad", "curved", "triangle"])
def test_the_pasted_polygon_lies_on_the_pasted_pixels(polygon, seed):
    sample = paste(make_sample([], 0, seed=seed), make_sample([polygon], (0, 255, 0)))
    assert len(sample["texts"]) == 1
    pasted = sample["polys"][0]
    assert cv2.contourArea(pasted) == pytest.approx(cv2.contourArea(polygon), rel=1e-3)  # turned, not scaled
    green = sample["image"][..., 1] > 128
    drawn = np.zeros(green.shape, np.uint8)
    cv2.fillPoly(drawn, [np.rint(pasted).astype(np.int32)], 1)
    assert (green & (drawn == 1)).sum() > 0.9 * max(green.sum(), drawn.sum())


def test_texts_and_tags_grow_with_the_polygons_and_points_are_padded():
    sample = paste(make_sample([QUAD], (255, 0, 0)), make_sample([CURVED], (0, 255, 0)))
    assert sample["polys"].shape == (2, 6, 2)
    assert sample["polys"].dtype == np.float32
    np.testing.assert_array_equal(sample["polys"][0], [*QUAD, QUAD[-1], QUAD[-1]])
    assert sample["texts"] == ["(255, 0, 0) 0", "(0, 255, 0) 0"]
    assert sample["ignore_tags"].tolist() == [False, False]
    assert "ext_data" not in sample


def test_nothing_is_pasted_over_a_text():
    """Also not over an ignored one, nor over one pasted before."""
    other = make_sample([QUAD, CURVED, QUAD + np.float32([60, 60]), QUAD + np.float32([80, 0])], (0, 255, 0))
    for seed in range(20):
        source = make_sample([QUAD, CURVED + np.float32([80, 0])], (255, 0, 0), ignored={1}, seed=seed)
        sample = paste(source, other, objects_paste_ratio=1.0)
        text_pixels = source["image"][..., 0] == 255
        np.testing.assert_array_equal(sample["image"][text_pixels], source["image"][text_pixels])
        low, high = sample["polys"].min(axis=1), sample["polys"].max(axis=1)
        for i in range(2, len(low)):
            assert not np.any(np.all((low[:i] < high[i]) & (high[:i] > low[i]), axis=1))


def test_without_the_limit_texts_may_be_covered():
    full = np.array([[0, 0], [159, 0], [159, 119], [0, 119]], np.float32)  # no free place
    other = make_sample([QUAD], (0, 255, 0))
    assert len(paste(make_sample([full], (255, 0, 0)), other)["texts"]) == 1
    assert len(paste(make_sample([full], (255, 0, 0)), other, limit_paste=False)["texts"]) == 2


def test_how_many_are_pasted():
    corners = [(x, y) for x in range(0, 150, 10) for y in (5, 50, 90)]
    small = [np.array([[x, y], [x + 5, y], [x + 5, y + 3], [x, y + 3]], np.float32) for x, y in corners]
    for ratio, count in [(0.2, 9), (0.0, 1), (1.0, 30)]:  # of 45: a share, at least one, at most 30
        sample = paste(make_sample([], 0, (1000, 1000)), make_sample(small, (0, 255, 0)), objects_paste_ratio=ratio)
        assert len(sample["texts"]) == count


@pytest.mark.parametrize(
    "other",
    [
        make_sample([], 0),
        make_sample([QUAD], (0, 255, 0), ignored={0}),
        make_sample([np.array([[0, 0], [399, 0], [399, 399], [0, 399]], np.float32)], (0, 255, 0), (400, 400)),
    ],
    ids=["no text", "ignored only", "larger than the picture"],
)
@pytest.mark.parametrize("own", [[], [QUAD]], ids=["on none", "on one"])
def test_nothing_to_paste_changes_nothing(other, own):
    source = make_sample(own, (255, 0, 0))
    sample = paste(source, other)
    for key in ("image", "polys", "ignore_tags"):
        np.testing.assert_array_equal(sample[key], source[key])
    assert sample["polys"].shape == (len(own), 4, 2)
    assert sample["texts"] == source["texts"]


def test_refuses():
    with pytest.raises(ValueError, match=r"objects_paste_ratio must be in \[0, 1\], got 2"):
        CopyPaste(objects_paste_ratio=2)
