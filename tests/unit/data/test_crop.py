"""EastRandomCropData: edges run through no text, every text can be reached, polygons stay on their pixels."""

import numpy as np
import pytest

from ppdet_db.data.transforms import EastRandomCropData
from ppdet_db.data.transforms.crop import free_strips, overlaps

NONE = np.zeros((0, 4, 2), np.float32)


def rectangle(x0, y0, x1, y1):
    """The polygon through the centres of the first and last pixels."""
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def make_sample(shape, polys, ignored=(), seed=0):
    """A black picture in which text i is bright in channel i, borders included."""
    image = np.zeros((*shape, 3), np.uint8)
    for i, poly in enumerate(polys):
        (x0, y0), (x1, y1) = np.maximum(poly[0], 0), poly[2]
        image[y0 : y1 + 1, x0 : x1 + 1, i] = 255
    return {
        "image": image,
        "polys": np.array(polys, np.float32).reshape(-1, 4, 2) if polys else NONE,
        "texts": [f"text {i}" for i in range(len(polys))],
        "ignore_tags": np.array([i in ignored for i in range(len(polys))], bool),
        "rng": np.random.default_rng(seed),
    }


def extent(mask):
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1], rows[-1]])


TEXTS = [rectangle(10, 10, 60, 25), rectangle(100, 40, 150, 60), rectangle(20, 80, 199, 99)]  # the last at the corner


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("keep_ratio", [True, False])
def test_no_text_is_cut_and_polygons_stay_on_their_pixels(seed, keep_ratio):
    crop = EastRandomCropData(size=[320, 160], keep_ratio=keep_ratio)
    sample = crop(make_sample((100, 200), TEXTS, seed=seed))
    image = sample["image"].copy()
    assert image.shape == (160, 320, 3)
    assert len(sample["texts"]) == len(sample["polys"]) == len(sample["ignore_tags"]) > 0
    for poly, text in zip(sample["polys"], sample["texts"], strict=True):
        i = int(text[-1])
        scale = (poly[2] - poly[0]) / np.subtract(TEXTS[i][2], TEXTS[i][0])
        # a pixel of the source is `scale` wide: where its brightness has fallen to half, the text ends
        border = np.array([*(poly[0] - (scale - 1) / 2), *(poly[2] + (scale - 1) / 2)])
        assert np.abs(extent(image[..., i] > 127) - border).max() <= 0.6
        image[..., i] = 0
    assert image.max() == 0  # no text is there without its polygon


def test_scaling_keeps_pixel_centres():
    """The whole picture times 4: the centre of pixel 10 goes to 10.5 * 4 - 0.5 = 41.5, not to 40."""
    sample = EastRandomCropData(size=[400, 400], max_tries=0)(make_sample((100, 100), [rectangle(10, 20, 29, 39)]))
    np.testing.assert_allclose(sample["polys"][0], rectangle(41.5, 81.5, 117.5, 157.5))
    weight = sample["image"][..., 0].astype(float)
    rows, columns = np.mgrid[:400, :400]
    centre = [(weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()]
    np.testing.assert_allclose(centre, sample["polys"][0].mean(axis=0), atol=0.01)


def test_stretching_moves_polygons_by_both_factors():
    crop = EastRandomCropData(size=[400, 100], max_tries=0, keep_ratio=False)
    sample = crop(make_sample((100, 100), [rectangle(10, 20, 29, 39)]))
    np.testing.assert_allclose(sample["polys"][0], rectangle(41.5, 20, 117.5, 39))


def test_padding_is_zero_right_and_bottom():
    sample = make_sample((50, 100), [])
    sample["image"][:] = 9
    image = EastRandomCropData(size=[64, 64], max_tries=0)(sample)["image"]
    assert image[:32].min() == 9
    assert image[32:].max() == 0


def test_every_text_is_alone_in_some_crop():
    """Also the ones at the borders, where PaddleOCR's last free strip is never drawn."""
    crop = EastRandomCropData(size=[64, 64], max_tries=50, min_crop_side_ratio=0.05)
    alone = set()
    for seed in range(300):
        texts = crop(make_sample((100, 200), TEXTS, seed=seed))["texts"]
        alone |= set(texts) if len(texts) == 1 else set()
    assert alone == {"text 0", "text 1", "text 2"}


@pytest.mark.parametrize(
    ("intervals", "strips"),
    [
        ([], [[0, 10]]),
        ([(2, 4)], [[0, 2], [5, 10]]),  # edge 2 at 1.5 is left of pixel 2, edge 5 at 4.5 right of pixel 4
        ([(2, 4), (5, 6)], [[0, 2], [5, 5], [7, 10]]),  # neighbours that do not touch: one edge between them
        ([(2, 5), (5, 6)], [[0, 2], [7, 10]]),  # they share pixel 5
        ([(-3, 2)], [[0, 0], [3, 10]]),  # begins left of the picture: nothing wraps around
        ([(0, 9)], [[0, 0], [10, 10]]),
        ([(7, 30)], [[0, 7], [10, 10]]),
        ([(-5, -2), (12, 14)], [[0, 10]]),
        ([(2.4, 4.6)], [[0, 2], [6, 10]]),  # a point at 4.6 is beyond edge 5
        ([(5.5, 5.5), (7.6, 8.4)], [[0, 10]]),  # one without width on edge 6; one between two edges
    ],
)
def test_free_strips(intervals, strips):
    found = free_strips(np.array(intervals, float).reshape(-1, 2), 10)
    assert [[strip[0], strip[-1]] for strip in found] == strips


@pytest.mark.parametrize(
    ("columns", "inside"),
    [((9, 9.4), False), ((9, 9.6), True), ((10, 10), True), ((19.4, 30), True), ((19.6, 30), False), ((0, 40), True)],
)
def test_a_text_belongs_to_the_crop_when_it_reaches_its_pixels(columns, inside):
    """Pixels 10 ... 19 of the crop cover 9.5 ... 19.5."""
    poly = np.array([rectangle(columns[0], 0, columns[1], 30)], np.float32)
    assert overlaps(poly, np.array([10, 10]), np.array([20, 20])).tolist() == [inside]
    assert overlaps(poly[..., ::-1], np.array([10, 10]), np.array([20, 20])).tolist() == [inside]


def test_min_crop_side_ratio():
    for seed in range(20):
        sample = make_sample((100, 100), [], seed=seed)
        sample["image"][..., 0] = np.arange(100)
        sample["image"][..., 1] = np.arange(100)[:, None]
        image = EastRandomCropData(size=[100, 100], min_crop_side_ratio=0.7)(sample)["image"].astype(int)
        for channel in (0, 1):
            seen = image[..., channel][image.any(axis=2)]
            assert seen.max() - seen.min() >= 68


@pytest.mark.parametrize("seed", range(10))
def test_a_text_that_reaches_out_of_the_picture_is_kept_whole(seed):
    polys = [rectangle(-20, 10, 15, 20), rectangle(60, 60, 90, 70)]
    sample = EastRandomCropData(size=[100, 100])(make_sample((100, 100), polys, seed=seed))
    for poly, text in zip(sample["polys"], sample["texts"], strict=True):
        width, height = poly[2] - poly[0]
        source = np.subtract(polys[int(text[-1])][2], polys[int(text[-1])][0])
        np.testing.assert_allclose(width / source[0], height / source[1], rtol=0.05)
        if text == "text 0":
            assert poly[0][0] < -0.5


def test_ignored_text_may_be_crossed_and_stays_whole_and_ignored():
    polys = [rectangle(10, 10, 20, 20), rectangle(0, 0, 199, 99)]  # the ignored one covers the picture
    crop = EastRandomCropData(size=[100, 100])
    crossed = 0
    for seed in range(20):
        sample = crop(make_sample((100, 200), polys, ignored={1}, seed=seed))
        assert sample["texts"] == ["text 0", "text 1"]
        assert sample["ignore_tags"].tolist() == [False, True]
        low, high = sample["polys"][1][0], sample["polys"][1][2]
        crossed += bool(low.min() < -1 or high.max() > 101)
    assert crossed > 10


@pytest.mark.parametrize("off_the_picture", [False, True])
def test_a_picture_without_text_is_cropped_at_random(off_the_picture):
    """A text that an augmentation has moved off the picture is none."""
    heights = set()
    for seed in range(10):
        sample = make_sample((64, 64), [], seed=seed)
        sample["image"][:] = np.arange(64, dtype=np.uint8)[:, None, None]
        if off_the_picture:
            sample["polys"] = np.array([rectangle(300, 300, 320, 310)], np.float32)
            sample["texts"], sample["ignore_tags"] = ["off"], np.zeros(1, bool)
        cropped = EastRandomCropData(size=[32, 32])(sample)
        assert cropped["polys"].shape == (0, 4, 2)
        assert cropped["texts"] == []
        heights.add(int(cropped["image"][..., 0].max()) - int(cropped["image"][0, 0, 0]))
    assert len(heights) > 5


def test_texts_moved_off_the_picture_are_dropped():
    polys = [rectangle(300, 300, 320, 310), rectangle(10, 10, 20, 20)]
    for seed in range(5):
        sample = make_sample((100, 100), [polys[1]], seed=seed)
        sample["polys"] = np.array(polys, np.float32)
        sample["texts"], sample["ignore_tags"] = ["off", "on"], np.zeros(2, bool)
        assert EastRandomCropData(size=[64, 64])(sample)["texts"] == ["on"]


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 2)])
def test_extreme_pictures(shape):
    sample = EastRandomCropData(size=[64, 32])(make_sample(shape, []))
    assert sample["image"].shape == (32, 64, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": [640]}, "size must be [width, height] in pixels, got [640]"),
        ({"size": [640, 0]}, "size must be [width, height]"),
        ({"max_tries": -1}, "max_tries must be 0 or more, got -1"),
        ({"min_crop_side_ratio": 2}, "min_crop_side_ratio must be in [0, 1], got 2"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011, the words are compared below
        EastRandomCropData(**options)
    assert message in str(error.value)
