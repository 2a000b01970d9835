"""RandomCrop: letters never grow, cut texts keep exactly what is left of them, the place on the result varies."""

import numpy as np
import pytest

from ppdet_db.data.transforms import RandomCrop
from ppdet_db.data.transforms.random_crop import counts, holds_a_text
from ppdet_db.geometry import polygon_area

NONE = np.zeros((0, 4, 2), np.float32)


def rectangle(x0, y0, x1, y1):
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def make_sample(shape, polys=(), ignored=(), seed=0):
    """Channel 0 and 1 of a pixel tell its column and row, counted from 1; channel 2 is 255."""
    rows, columns = np.mgrid[1 : shape[0] + 1, 1 : shape[1] + 1]
    return {
        "image": np.stack([columns, rows, np.full(shape, 255)], axis=2).astype(np.uint8),
        "polys": np.array(polys, np.float32) if len(polys) else NONE,
        "texts": [f"text {i}" for i in range(len(polys))],
        "ignore_tags": np.array([i in ignored for i in range(len(polys))], bool),
        "rng": np.random.default_rng(seed),
    }


def place(image):
    """Where the source's first pixel would be on an unscaled result, and the size of the crop, both (x, y)."""
    rows, columns = np.nonzero(image[..., 2])
    low, high = np.array([columns[0], rows[0]]), np.array([columns[-1], rows[-1]])
    assert image[low[1] : high[1] + 1, low[0] : high[0] + 1, 2].all()  # one rectangle
    return low - (image[low[1], low[0], :2].astype(int) - 1), high - low + 1


TEXT = rectangle(60, 40, 139, 59)


class Fixed(RandomCrop):
    """The crop with these corners, at the left and top of the result."""

    def __init__(self, low, high, **more):
        super().__init__(**more)
        self.corners = np.array(low), np.array(high)

    def choose(self, shape, polys, rng):
        return self.corners


class TestPicture:
    @pytest.mark.parametrize("seed", range(20))
    def test_a_crop_that_fits_is_not_scaled_and_polygons_stay_on_their_pixels(self, seed):
        sample = RandomCrop(size=[256, 256])(make_sample((100, 200), [TEXT], seed=seed))
        offset, crop = place(sample["image"])
        assert sample["image"].shape == (256, 256, 3)
        assert np.all(crop <= (200, 100))
        for poly in sample["polys"]:
            corners = np.rint(poly - offset).astype(int)
            assert np.all((corners >= (60, 40)) & (corners <= (139, 59)))
            for (x, y), (column, row) in zip(np.rint(poly).astype(int), corners, strict=True):
                if 0 <= x < 256 and 0 <= y < 256 and sample["image"][y, x, 2]:  # a cut corner lies between pixels
                    assert sample["image"][y, x, :2].tolist() == [column + 1, row + 1]

    def test_a_crop_that_is_too_large_is_scaled_down_by_one_factor(self):
        crop = Fixed((0, 0), (200, 100), size=[100, 100])
        sample = crop(make_sample((100, 200), [rectangle(10, 20, 29, 39)]))
        _, size = place(np.where(sample["image"] > 127, sample["image"], 0))
        assert size.tolist() == [100, 50]
        top = sample["image"][..., 2].argmax(axis=0)[0]
        np.testing.assert_allclose(sample["polys"][0], np.add(rectangle(4.75, 9.75, 14.25, 19.25), (0, top)))

    def test_scaling_keeps_pixel_centres(self):
        sample = make_sample((120, 120), [rectangle(30, 60, 59, 89)])
        sample["image"][:] = 0
        sample["image"][60:90, 30:60] = 255
        sample = Fixed((0, 0), (120, 120), size=[40, 40])(sample)
        weight = sample["image"][..., 0].astype(float)
        rows, columns = np.mgrid[:40, :40]
        centre = [(weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()]
        np.testing.assert_allclose(sample["polys"][0].mean(axis=0), centre, atol=0.01)
        np.testing.assert_allclose(centre, [14.5, 24.5], atol=0.01)

    def test_stretching_moves_polygons_by_both_factors(self):
        """PaddleOCR moves them by the smaller one."""
        crop = Fixed((0, 0), (100, 100), size=[400, 200], keep_ratio=False)
        sample = crop(make_sample((100, 100), [rectangle(10, 20, 29, 39)]))
        assert sample["image"][..., 2].min() == 255
        np.testing.assert_allclose(sample["polys"][0], rectangle(41.5, 40.5, 117.5, 78.5))

    def test_places_cover_the_whole_result(self):
        """20 x 20 px on 24 x 22: columns 0 to 4 and rows 0 to 2, each of the 15 as often."""
        crop, seen = Fixed((0, 0), (20, 20), size=[24, 22]), []
        for seed in range(600):
            offset, size = place(crop(make_sample((20, 20), seed=seed))["image"])
            assert size.tolist() == [20, 20]
            seen.append(tuple(offset))
        assert {*seen} == {(x, y) for x in range(5) for y in range(3)}
        assert min(seen.count(spot) for spot in {*seen}) > 15  # 40 expected

    def test_the_rest_is_black(self):
        image = Fixed((0, 0), (20, 20), size=[24, 22])(make_sample((20, 20)))["image"]
        assert image[image[..., 2] == 0].max() == 0
        assert (image[..., 2] > 0).sum() == 400

    def test_sides_are_drawn_from_their_range(self):
        """At least a tenth of 200 and 150, at most three times 32 and 16; each side on its own."""
        crop = RandomCrop(size=[32, 16])
        sizes = []
        for seed in range(400):
            low, high = crop.choose((150, 200, 3), NONE, np.random.default_rng(seed))
            assert np.all((low >= 0) & (high <= (200, 150)))
            sizes.append(high - low)
        assert np.min(sizes, axis=0).tolist() == [20, 15]
        assert np.max(sizes, axis=0).tolist() == [96, 48]
        assert abs(np.corrcoef(np.transpose(sizes))[0, 1]) < 0.2

    def test_crops_of_the_size_of_the_result_leave_every_letter_as_large_as_it_is(self):
        """`largest_side` 1 bounds them from above, `min_crop_side_ratio` 1 from below, and so does the picture."""
        crop = RandomCrop(size=[32, 96], min_crop_side_ratio=1, largest_side=1)
        sides = [np.subtract(*crop.choose((60, 200), NONE, np.random.default_rng(seed))[::-1]) for seed in range(20)]
        assert np.array(sides).tolist() == [[32, 60]] * 20

    def test_a_crop_may_not_be_kept_below_the_result(self):
        with pytest.raises(ValueError, match=r"largest_side must be at least 1, got 0\.9"):
            RandomCrop(largest_side=0.9)

    def test_every_part_of_the_picture_is_reached(self):
        crop = RandomCrop(size=[8, 8])
        corners = np.array([crop.choose((30, 40, 3), NONE, np.random.default_rng(seed)) for seed in range(300)])
        assert corners[:, 0].min(axis=0).tolist() == [0, 0]
        assert corners[:, 1].max(axis=0).tolist() == [40, 30]
        assert {*corners[:, 0, 0]} >= {*range(30)}  # every first column but the last ones, which leave room for little

    @pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 2)])
    def test_extreme_pictures(self, shape):
        """PaddleOCR may draw a width of 0 and fails."""
        for seed in range(5):
            assert RandomCrop(size=[64, 32])(make_sample(shape, seed=seed))["image"].shape == (32, 64, 3)
            tiny = RandomCrop(size=[1, 1], min_crop_side_ratio=0)(make_sample(shape, seed=seed))
            assert tiny["image"].shape == (1, 1, 3)


class TestTexts:
    def test_a_text_inside_is_kept_as_it_is(self):
        curved = np.array([[10, 20], [20, 10], [40, 10], [50, 20], [40, 30], [20, 30]], np.float32)
        sample = Fixed((10, 10), (51, 31), size=[41, 21])(make_sample((60, 60), [curved]))
        np.testing.assert_allclose(sample["polys"][0], curved - 10)  # its order and all its points

    def test_a_cut_text_is_exactly_the_part_inside(self):
        """Pixels 60 ... 99 of 60 ... 139: the part ends at 99.5, where pixel 99 ends."""
        sample = Fixed((50, 30), (100, 70), size=[50, 40])(make_sample((100, 200), [TEXT]))
        assert sample["texts"] == ["text 0"]
        assert sample["ignore_tags"].tolist() == [False]
        assert {tuple(point) for point in sample["polys"][0].tolist()} == {(10, 10), (49.5, 10), (49.5, 29), (10, 29)}

    def test_a_cut_curved_text_keeps_all_its_points(self):
        """PaddleOCR makes it a quadrangle."""
        curved = [[10, 30], [30, 10], [60, 5], [90, 10], [110, 30], [95, 45], [60, 30], [25, 45]]
        sample = Fixed((0, 0), (80, 60), size=[80, 60])(make_sample((60, 120), [curved]))
        points = {tuple(np.round(point, 3)) for point in sample["polys"][0].tolist()}
        assert {(10, 30), (30, 10), (60, 5), (60, 30), (25, 45)} < points
        assert len(points) == 7  # and two on the edge

    def test_a_text_that_falls_into_parts_is_as_many_texts(self):
        """A U of which the crop holds the arms: PaddleOCR keeps the larger and takes the other for background."""
        u = [[0, 0], [20, 0], [20, 60], [60, 60], [60, 0], [80, 0], [80, 80], [0, 80]]
        sample = Fixed((0, 0), (100, 40), size=[100, 40])(make_sample((100, 100), [u]))
        assert sample["texts"] == ["text 0", "text 0"]
        assert sample["ignore_tags"].tolist() == [True, True]  # 20 of 80 px: the shorter side of the whole is 80
        assert sorted(polygon_area(poly) for poly in sample["polys"]) == [20 * 39.5, 20 * 39.5]
        assert [sorted({x for x, _ in poly.tolist()}) for poly in sample["polys"]] in (
            [[0, 20], [60, 80]],
            [[60, 80], [0, 20]],
        )

    @pytest.mark.parametrize(
        ("part", "whole", "is_kept", "reason"),
        [
            (rectangle(0, 0, 12, 10), rectangle(0, 0, 90, 20), True, "120 square pixels, half of the height"),
            (rectangle(0, 0, 11.9, 10), rectangle(0, 0, 90, 20), False, "119 square pixels"),
            (rectangle(0, 0, 90, 9.9), rectangle(0, 0, 90, 20), False, "less than half of the height"),
            (rectangle(0, 0, 9.9, 20), rectangle(0, 0, 90, 20), False, "a sliver across the line"),
            (rectangle(0, 0, 10, 20), rectangle(0, 0, 90, 20), True, "half a letter wide"),
            ([[0, 0], [40, 0], [0, 40]], rectangle(0, 0, 90, 20), True, "a triangle is no worse"),
        ],
    )
    def test_what_is_left_of_a_text_counts_when_it_can_be_read(self, part, whole, is_kept, reason):
        assert counts(np.array(part, float), np.array(whole, float)) == is_kept, reason

    def test_too_small_a_rest_is_ignored_not_background(self):
        sample = Fixed((0, 0), (65, 100), size=[65, 100])(make_sample((100, 200), [TEXT]))
        assert sample["texts"] == ["text 0"]
        assert sample["ignore_tags"].tolist() == [True]
        assert {tuple(point) for point in sample["polys"][0].tolist()} == {(60, 40), (64.5, 40), (64.5, 59), (60, 59)}

    def test_a_small_text_inside_counts(self):
        """Whether it is large enough is for MakeShrinkMap to say: only what a cut leaves is judged here."""
        sample = Fixed((0, 0), (90, 90), size=[90, 90])(make_sample((100, 100), [rectangle(40, 40, 48, 44)]))
        assert sample["ignore_tags"].tolist() == [False]

    def test_ignored_texts_are_cut_and_stay_ignored(self):
        sample = Fixed((0, 0), (100, 50), size=[100, 50])(make_sample((100, 200), [rectangle(0, 0, 199, 99)], {0}))
        assert sample["ignore_tags"].tolist() == [True]
        assert sample["polys"].max(axis=(0, 1)).tolist() == [99.5, 49.5]

    def test_texts_outside_are_dropped(self):
        polys = [rectangle(150, 10, 190, 30), TEXT, rectangle(99.5, 0, 120, 30)]  # the last touches the edge
        sample = Fixed((50, 0), (100, 70), size=[50, 70])(make_sample((100, 200), polys))
        assert sample["texts"] == ["text 1"]

    def test_a_text_that_reaches_out_of_the_picture_ends_there(self):
        polys = [rectangle(-30, 10, 49, 29), rectangle(300, 300, 320, 310)]
        sample = RandomCrop(size=[100, 100], max_tries=0)(make_sample((100, 100), polys))
        assert sample["texts"] == ["text 0"]
        assert sample["polys"][0].min(axis=0).tolist() == [-0.5, 10]

    def test_points_are_padded_to_the_longest(self):
        sample = Fixed((0, 0), (130, 100), size=[130, 100])(
            make_sample((100, 200), [rectangle(10, 10, 40, 20), [[100, 50], [160, 50], [130, 80], [130, 80]]])
        )
        assert sample["polys"].shape == (2, 4, 2)
        np.testing.assert_array_equal(sample["polys"][0], rectangle(10, 10, 40, 20))


class TestChoice:
    @pytest.mark.parametrize("seed", range(20))
    def test_a_crop_holds_a_text_that_counts(self, seed):
        polys = np.array([rectangle(10, 10, 40, 30), rectangle(150, 80, 190, 95)], np.float32)
        low, high = RandomCrop(size=[32, 32], max_tries=100).choose((100, 200, 3), polys, np.random.default_rng(seed))
        assert holds_a_text(polys, low, high)
        assert (high - low).max() <= 96  # not the whole picture

    @pytest.mark.parametrize(
        ("low", "high", "holds"),
        [
            ((60, 40), (140, 60), True),
            ((0, 0), (100, 100), True),
            ((0, 0), (65, 100), False),
            ((0, 0), (60, 100), False),
        ],
    )
    def test_holds_a_text(self, low, high, holds):
        assert holds_a_text(np.array([TEXT], np.float32), np.array(low), np.array(high)) == holds

    def test_the_whole_picture_when_no_crop_is_found(self):
        """No 32 x 32 of a text of 400 x 300 is half of its height."""
        poly = np.array([rectangle(50, 50, 449, 349)], np.float32)
        low, high = RandomCrop(size=[32, 32]).choose((400, 500, 3), poly, np.random.default_rng(0))
        assert [*low, *high] == [0, 0, 500, 400]

    def test_a_picture_without_text_is_cropped_at_random(self):
        """PaddleOCR takes it whole, so that pictures without text are told by their scale."""
        crop = RandomCrop(size=[64, 64])
        corners = [crop.choose((300, 300, 3), NONE, np.random.default_rng(seed)) for seed in range(9)]
        assert len({(*low, *high) for low, high in corners}) == 9
        assert max((high - low).max() for low, high in corners) <= 192


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": [640]}, "size must be [width, height] in pixels, got [640]"),
        ({"size": [0, 640]}, "size must be [width, height] in pixels, got [0, 640]"),
        ({"max_tries": -1}, "max_tries must be 0 or more, got -1"),
        ({"min_crop_side_ratio": 2}, "min_crop_side_ratio must be in [0, 1], got 2"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011, the words are compared below
        RandomCrop(**options)
    assert str(error.value) == message
