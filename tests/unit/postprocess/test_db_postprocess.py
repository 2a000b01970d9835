import numpy as np
import pytest

from ppdet_db.postprocess.db_postprocess import DBPostProcess
from ppdet_db.registry import POSTPROCESSES

HEIGHT, WIDTH = 64, 96


def draw(*rectangles: tuple[int, int, int, int, float], height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A map (height, width) with rectangles x, y, w, h, value."""
    shrink_map = np.zeros((height, width), np.float32)
    for x, y, w, h, value in rectangles:
        shrink_map[y : y + h, x : x + w] = value
    return shrink_map


def find(shrink_map: np.ndarray, shape: tuple | None = None, **settings) -> dict:
    height, width = shrink_map.shape
    postprocess = DBPostProcess(**settings)
    return postprocess({"maps": shrink_map[None, None]}, np.array([shape or (height, width, 1, 1)], np.float32))[0]


def bent_line() -> np.ndarray:
    shrink_map = draw((20, 20, 21, 1, 1.0))
    shrink_map[range(20, 31), range(40, 51)] = 1
    return shrink_map


TEXT = (20, 20, 30, 10, 0.875)
"""Its outline runs through pixel centres: 29 x 9, so D' = 2 * 261 / 76 = 6.87 and 13.1 ... 55.9 x 13.1 ... 35.9."""
TEXT_QUAD = [[13, 13], [56, 13], [56, 36], [13, 36]]


def test_rectangle_by_hand():
    found = find(draw(TEXT))
    assert found["points"].tolist() == [TEXT_QUAD]
    assert found["points"].dtype == np.int32
    assert found["scores"].tolist() == [0.875]
    assert found["scores"].dtype == np.float32


def test_poly_of_a_rectangle():
    found = find(draw(TEXT), box_type="poly")
    (poly,) = found["points"]
    assert poly.dtype == np.int32
    assert poly.min(axis=0).tolist() == TEXT_QUAD[0]
    assert poly.max(axis=0).tolist() == TEXT_QUAD[2]
    assert len(poly) > 4, "corners are round"
    assert found["scores"].tolist() == [0.875]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        pytest.param((64, 96, 1, 1), (13, 13, 56, 36), id="source = map"),
        pytest.param((128, 288, 1 / 2, 1 / 3), (39, 26, 168, 72), id="each axis has its own ratio"),
        pytest.param((32, 24, 2, 4), (3, 6, 14, 18), id="enlarged: 13 / 4 = 3.25; 13 / 2 = 6.5 rounds to even"),
        pytest.param((30, 50, 1, 1), (13, 13, 50, 30), id="map padded on the right and below: not scaled, clipped"),
        pytest.param((64, 101, 1, 96 / 101), (14, 13, 59, 36), id="ratio that float32 cannot hold"),
    ],
)
def test_scale_to_the_source(shape, expected):
    quad = find(draw(TEXT), shape)["points"][0]
    assert (*quad[0], *quad[2]) == expected


def test_half_pixels_do_not_depend_on_the_ratio_s_rounding():
    """112 of 224 map pixels are 174.5 of 349, which rounds to even; 112 / float32(224 / 349) lies above."""
    shrink_map = draw((0, 0, 106, 40, 1.0), height=64, width=224)
    quad = find(shrink_map, (64, 349, 1, 224 / 349), unclip_ratio=0.5)["points"][0]
    # 105 x 39, D' = 0.5 * 4095 / 288 = 7.1: the right side comes to 105 + 7 = 112
    assert quad[:, 0].max() == 174


@pytest.mark.parametrize("box_type", ["quad", "poly"])
@pytest.mark.parametrize(
    "shrink_map",
    [
        pytest.param(draw(), id="no region"),
        pytest.param(draw((20, 20, 3, 3, 1.0)), id="region 2 x 2 between pixel centres: a speck"),
        pytest.param(draw((20, 20, 30, 1, 1.0)), id="line without area"),
        pytest.param(bent_line(), id="the same with four corners, there and back: nothing to grow"),
        pytest.param(draw((20, 20, 30, 10, 0.6)), id="score below box_thresh"),
        pytest.param(draw((20, 20, 30, 10, np.nan)), id="NaN"),
    ],
)
def test_nothing_found(shrink_map, box_type):
    found = find(shrink_map, box_type=box_type, unclip_ratio=1.0)
    assert len(found["points"]) == 0
    if box_type == "quad":
        assert found["points"].shape == (0, 4, 2)
        assert found["points"].dtype == np.int32
    assert found["scores"].shape == (0,)
    assert found["scores"].dtype == np.float32


@pytest.mark.parametrize(
    ("value", "settings", "count"),
    [
        pytest.param(0.5, {"thresh": 0.5, "box_thresh": 0}, 0, id="a pixel at thresh is background"),
        pytest.param(0.5, {"thresh": 0.4999, "box_thresh": 0}, 1, id="a pixel above it is text"),
        pytest.param(0.5, {"box_thresh": 0.5}, 1, id="a score at box_thresh is kept"),
        pytest.param(0.5, {"box_thresh": 0.5001}, 0, id="a score below it is not"),
    ],
)
def test_limits_are_strict_where_they_should_be(value, settings, count):
    assert len(find(draw((20, 20, 30, 10, value)), **settings)["points"]) == count


def test_training_maps_are_read_too():
    """The shrink map is channel 0; what the others hold must not matter."""
    maps = np.ones((1, 3, HEIGHT, WIDTH), np.float32)
    maps[0, 0] = draw(TEXT)
    found = DBPostProcess()({"maps": maps}, [[HEIGHT, WIDTH, 1, 1]])
    assert found[0]["points"].tolist() == [TEXT_QUAD]


def test_pictures_of_a_batch_are_apart():
    maps = np.stack([draw(TEXT), draw(), draw(TEXT, (60, 45, 30, 10, 0.875))])[:, None]
    shapes = [[HEIGHT, WIDTH, 1, 1], [HEIGHT, WIDTH, 1, 1], [2 * HEIGHT, 2 * WIDTH, 0.5, 0.5]]
    found = DBPostProcess()({"maps": maps}, shapes)
    assert [len(item["points"]) for item in found] == [1, 0, 2]
    assert found[2]["points"][1].tolist() == (2 * np.array(TEXT_QUAD)).tolist()


@pytest.mark.parametrize("convert", [np.ndarray.tolist, lambda maps: maps.astype(np.float16)], ids=["list", "float16"])
def test_anything_that_numpy_reads(convert):
    found = DBPostProcess()({"maps": convert(draw(TEXT)[None, None])}, [[HEIGHT, WIDTH, 1, 1]])
    assert found[0]["points"].tolist() == [TEXT_QUAD]


def test_one_shape_a_picture():
    with pytest.raises(ValueError, match="zip"):
        DBPostProcess()({"maps": np.zeros((2, 1, 32, 32))}, [[32, 32, 1, 1]])


def test_input_is_left_alone():
    shrink_map = draw(TEXT)
    shrink_map.flags.writeable = False
    find(shrink_map, use_dilation=True)
    np.testing.assert_array_equal(shrink_map, draw(TEXT))


@pytest.mark.parametrize("box_type", ["quad", "poly"])
def test_each_text_keeps_its_own_score(box_type):
    """What is dropped among others, at each step, must not shift the scores of those behind it."""
    speck, weak, small = (10, 50, 2, 2, 1.0), (10, 30, 20, 10, 0.5), (50, 50, 5, 5, 1.0)
    texts = [(10, 5, 20, 10, 0.8), (60, 5, 30, 15, 0.9), (60, 35, 30, 10, 1.0)]
    found = find(draw(speck, weak, small, *texts), box_type=box_type, unclip_ratio=0.4)
    by_left = sorted((int(points[:, 0].min()), int(points[:, 1].min()), score.item())
                     for points, score in zip(found["points"], found["scores"], strict=True))  # fmt: skip
    np.testing.assert_allclose([score for *_, score in by_left], [0.8, 0.9, 1.0])
    assert [left for left, *_ in by_left] == pytest.approx([10, 60, 60], abs=2)


def test_dilation_closes_a_gap_of_one_pixel():
    halves = draw((20, 20, 14, 10, 0.9), (35, 20, 15, 10, 0.9))
    assert len(find(halves)["points"]) == 2
    assert len(find(halves, use_dilation=True)["points"]) == 1


def test_poly_needs_four_corners():
    """A triangle of strong pixels is no text; PaddleOCR's rule, and `quad` does not have it."""
    triangle = np.tril(np.ones((40, 40), np.float32))
    assert len(find(triangle, box_type="quad", score_mode="slow")["points"]) == 1
    assert len(find(triangle, box_type="poly", score_mode="slow")["points"]) == 0


# What we do better than PaddleOCR


@pytest.mark.parametrize("box_type", ["quad", "poly"])
def test_specks_do_not_push_a_text_out(box_type):
    """OpenCV finds regions from the bottom of the picture upwards: the peer looks at the first 10 and stops."""
    specks = [(x, y, 2, 2, 1.0) for y in (50, 54, 58) for x in range(4, 90, 4)]
    found = find(draw(TEXT, *specks), max_candidates=10, box_type=box_type)
    assert len(found["points"]) == 1
    assert np.array(found["points"][0]).min(axis=0).tolist() == TEXT_QUAD[0]


def test_largest_texts_keep_their_scores():
    small, *large = (50, 45, 12, 6, 1.0), (50, 5, 40, 12, 0.8), (5, 5, 40, 12, 0.9)
    found = find(draw(small, *large), max_candidates=2, unclip_ratio=1.0)
    # the smallest comes first in the scan
    np.testing.assert_allclose(found["scores"], [0.8, 0.9])


def test_largest_texts_are_kept_in_scan_order():
    texts = [(5, 5, 12, 6, 0.9), (50, 5, 30, 12, 0.8), (5, 40, 20, 8, 1.0), (50, 40, 40, 20, 0.5)]
    found = find(draw(*texts), max_candidates=2, unclip_ratio=1.0)
    # the fourth is the largest, but too weak; the third, lower in the picture, is found before the second
    np.testing.assert_allclose(found["scores"], [1.0, 0.8])


@pytest.mark.parametrize("score_mode", ["fast", "slow"])
@pytest.mark.parametrize("box_type", ["quad", "poly"])
def test_hole_is_no_text(box_type, score_mode):
    """A frame around a text: frame and text are found, the inner outline of the frame is not."""
    framed = draw((2, 2, 90, 60, 1.0), (12, 12, 70, 40, 0.0), TEXT)
    found = find(framed, box_type=box_type, score_mode=score_mode, box_thresh=0.0, unclip_ratio=0.5)
    assert len(found["points"]) == 2
    spans = sorted(int(np.ptp(np.array(points)[:, 0])) for points in found["points"])
    assert spans[0] < 40
    assert spans[1] > 80


def test_poly_obeys_score_mode():
    """Teeth two pixels deep are simplified away on an outline this long, so that `fast` sees the gaps between them."""
    comb = draw((20, 22, 400, 30, 0.875), *[(x, 20, 10, 2, 0.875) for x in range(20, 420, 20)], height=96, width=448)
    fast, slow = (find(comb, box_type="poly", score_mode=mode)["scores"][0] for mode in ("fast", "slow"))
    assert slow == 0.875
    assert fast < 0.87


def test_text_that_closes_to_a_ring_is_kept():
    """A C whose ends meet when it grows: the outer outline stands for it, the hole is filled."""
    letter = draw((20, 20, 60, 60, 0.9), (30, 30, 40, 40, 0.0), (70, 46, 10, 6, 0.0), height=100, width=100)
    (poly,) = find(letter, box_type="poly")["points"]
    (quad,) = find(letter, score_mode="slow", box_thresh=0.3)["points"]
    assert np.ptp(poly, axis=0).min() > 65
    assert np.ptp(quad, axis=0).min() > 65


# Configuration


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"thresh": 1.5}, r"thresh must be in \[0, 1\], got 1.5"),
        ({"box_thresh": -0.1}, r"box_thresh must be in \[0, 1\], got -0.1"),
        ({"max_candidates": 0}, "max_candidates must be at least 1, got 0"),
        ({"unclip_ratio": 0}, "unclip_ratio must be above 0, got 0"),
        ({"score_mode": "fats"}, "score_mode must be 'fast' or 'slow', got 'fats'"),
        ({"box_type": "polygon"}, "box_type must be 'quad' or 'poly', got 'polygon'"),
    ],
)
def test_values_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        DBPostProcess(**settings)


def test_is_registered():
    assert POSTPROCESSES.get("DBPostProcess") is DBPostProcess
    assert DBPostProcess.needs == ("shape",)
