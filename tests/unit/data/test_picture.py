"""Picture: drawn once, as a float64 warp draws it; what has left the canvas stays away; made smaller by means."""

import cv2
import numpy as np
import pytest

from ppdet_db.data.transforms.matrix import project, shift, stretching
from ppdet_db.data.transforms.picture import Picture

MOST_APART = 1 if int(cv2.__version__.split(".")[0]) >= 5 else 5
"""Grey levels. OpenCV 4 rounds places to 1/32 pixel: beside black that is up to 255 / 64 of them."""


def smooth(shape=(120, 180), seed=0):
    """Blots of about ten pixels: half a pixel beside the place is ten grey levels and more."""
    noise = np.random.default_rng(seed).normal(0, 1, (*shape, 3)).astype(np.float32)
    blots = cv2.GaussianBlur(noise, (0, 0), 4)
    return np.clip(128 + blots / blots.std() * 50, 0, 255).astype(np.uint8)


def turning(degrees, scale=1.0):
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def about(point, matrix):
    return shift(point) @ matrix @ shift(np.negative(point))


CENTRE = np.array([89.5, 59.5])


def reference(source, matrix, size, edge):
    """float64, linear, in one step. `edge`: the value of pixels beside the source, or None for those at its border."""
    rows, columns = np.mgrid[: size[1], : size[0]]
    at = project(np.stack([columns, rows], axis=-1).astype(float), np.linalg.inv(matrix))
    first = np.floor(at).astype(int)
    part = at - first
    height, width = source.shape[:2]

    def value(x, y):
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        pixels = source[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)].astype(float)
        return pixels if edge is None else np.where(inside[..., None], pixels, edge)

    def weight(dx, dy):
        return (np.where(dx, part[..., :1], 1 - part[..., :1])) * (np.where(dy, part[..., 1:], 1 - part[..., 1:]))

    corners = [(0, 0), (1, 0), (0, 1), (1, 1)]
    return sum(weight(dx, dy) * value(first[..., 0] + dx, first[..., 1] + dy) for dx, dy in corners)


MOVES = {
    "turned and made larger": (about(CENTRE, turning(8, 1.6)), (180, 120), 0),
    "turned, made smaller, moved": (shift((30, 5)) @ turning(-12, 0.7), (150, 130), 0),
    "sheared": (about(CENTRE, np.array([[1, 0.3, 0], [0, 1, 0], [0, 0, 1]])), (180, 120), 0),
    "mirrored": (stretching((-1, 1), (179, 0)), (180, 120), None),
    "made larger from between two pixels": (stretching((2.3, 1.7), (-20.4, -31.3)), (200, 130), None),
    "seen from the side": (about(CENTRE, np.array([[1, 0.1, 0], [0, 1, 0], [1e-3, 5e-4, 1]])), (180, 120), 0),
}


@pytest.mark.parametrize("name", MOVES)
def test_pixels_are_those_of_one_warp_in_float64(name):
    matrix, size, edge = MOVES[name]
    source = smooth()
    drawn = Picture(source).moved(matrix, size).pixels()
    assert drawn.shape == (size[1], size[0], 3)
    assert np.abs(drawn - reference(source, matrix, size, edge)).max() <= MOST_APART


def test_many_moves_are_one_warp():
    """As a training sample is made: mirrored, turned, resized, cropped with a scale, put on black."""
    source = smooth()
    steps = [
        (stretching((-1, 1), (179, 0)), (180, 120)),
        (about(CENTRE, turning(6)), (180, 120)),
        (stretching((1.4, 1.4), (0.2, 0.2)), (252, 168)),
    ]
    picture, matrix = Picture(source), np.eye(3)
    for step, size in steps:
        picture, matrix = picture.moved(step, size), step @ matrix
    picture = picture.cropped((20, 15), (220, 115), (100, 50), (7, 3), (128, 64))
    matrix = stretching((0.5, 0.5), (7 - 20 * 0.5 - 0.25, 3 - 15 * 0.5 - 0.25)) @ matrix
    np.testing.assert_allclose(picture.matrix, matrix, atol=1e-12)
    drawn = picture.pixels()
    expected = reference(source, matrix, (128, 64), 0)
    inside = np.zeros((64, 128), bool)
    inside[3:53, 7:107] = True
    assert np.abs(drawn - expected)[inside].max() <= MOST_APART
    assert drawn[~inside].max() == 0  # though the source goes on there
    assert expected[~inside].max() > 100


@pytest.mark.parametrize(
    ("low", "high", "target"),
    [((0, 0), (180, 120), (180, 120)), ((30, 20), (130, 70), (100, 50)), ((30, 20), (130, 70), (173, 91))],
)
def test_a_crop_at_whole_pixels_is_what_cv2_resize_makes_of_it(low, high, target):
    source = smooth()
    drawn = Picture(source).cropped(low, high, target, (0, 0), target).pixels()
    np.testing.assert_array_equal(drawn, cv2.resize(source[low[1] : high[1], low[0] : high[0]], target))


class TestCanvas:
    white = np.full((40, 60, 3), 255, np.uint8)

    def test_what_has_left_does_not_come_back(self):
        there_and_back = Picture(self.white).moved(shift((10, 0)), (60, 40)).moved(shift((-10, 0)), (60, 40))
        assert there_and_back.pixels()[:, :50].min() == 255
        assert there_and_back.pixels()[:, 50:].max() == 0

    @pytest.mark.parametrize("degrees", [90, 35])
    def test_nor_when_it_is_turned(self, degrees):
        """The corners that a turn cuts off stay cut off when it is turned back."""
        turn = about((29.5, 19.5), turning(degrees))
        picture = Picture(self.white).moved(turn, (60, 40)).moved(np.linalg.inv(turn), (60, 40))
        step = Picture(Picture(self.white).moved(turn, (60, 40)).pixels()).moved(np.linalg.inv(turn), (60, 40))
        np.testing.assert_array_equal(picture.pixels(), step.pixels())
        assert picture.pixels()[1, 1].max() == 0
        assert picture.pixels()[20, 30].min() == 255

    def test_a_turn_that_cuts_nothing_off_is_not_drawn_before_the_next(self):
        turn = about((29.5, 19.5), turning(35))
        picture = Picture(self.white).moved(shift((20, 30)) @ turn, (100, 100)).moved(turn, (100, 100))
        assert picture.source is self.white
        assert Picture(self.white).moved(turn, (60, 40)).moved(turn, (60, 40)).source is not self.white

    def test_what_is_left_uncovered_is_black_or_of_the_colour_asked_for(self):
        moved = Picture(self.white).moved(shift((10, 5)), (80, 50))
        assert moved.pixels()[5:45, 10:70].min() == 255
        for fill in ((0, 0, 0), (10, 20, 30)):
            drawn = moved.pixels(fill)
            assert (drawn == fill).all(axis=2).sum() == 80 * 50 - 60 * 40
        assert (Picture(self.white).moved(turning(20), (60, 40)).pixels((10, 20, 30)) == (10, 20, 30)).all(
            2
        ).sum() > 100

    @pytest.mark.parametrize("matrix", [shift((200, 0)), shift((200, 0)) @ turning(10)])
    def test_a_picture_that_is_nowhere_is_black(self, matrix):
        drawn = Picture(self.white).moved(matrix, (60, 40)).pixels()
        assert drawn.shape == (40, 60, 3)
        assert drawn.max() == 0

    @pytest.mark.parametrize(
        ("matrix", "size"),
        [
            (stretching((-4.4, 4.4), (59 * 4.4 + 1.7, 1.7)), (264, 176)),
            (stretching((4.4, 4.4), (39 * 4.4 + 1.7, 1.7)) @ turning(90), (176, 264)),
        ],
        ids=["mirrored", "on its side"],
    )
    def test_no_seam_at_the_edges_of_a_picture_that_is_made_larger(self, matrix, size):
        """The border's pixels are repeated, as `cv2.resize` does; black mixed in would be a dark frame."""
        assert Picture(self.white).moved(matrix, size).pixels().min() == 255


class File:
    """Stands in for a JPEG: notes at which scales its pixels are asked for."""

    def __init__(self, pixels, largest=8):
        self.array, self.shape, self.dtype, self.largest, self.asked = pixels, pixels.shape, pixels.dtype, largest, []

    def can_shrink(self, by):
        return by <= self.largest

    def pixels(self, by=1):
        self.asked.append(by)
        return self.array[::by, ::by]


class TestShrinking:
    grid = np.where((np.indices((400, 400)).sum(axis=0) % 2)[..., None] == 1, 255, np.zeros(3)).astype(np.uint8)
    """Black and white in turn: sampled as it is it gives stripes, its mean is 128."""

    @pytest.mark.parametrize(
        ("scale", "is_mean"),
        [(1, False), (0.6, False), (0.51, False), (0.503, True), (0.5, True), (0.3, True), (0.06, True)],
    )
    def test_means_are_taken_where_nothing_is_lost_by_it(self, scale, is_mean):
        drawn = Picture(self.grid).moved(about((199.5, 199.5), turning(7, scale)), (400, 400)).pixels()
        assert (np.abs(drawn[190:210, 190:210].astype(int) - 128).max() <= 2) == is_mean

    def test_the_direction_that_shrinks_least_decides(self):
        drawn = Picture(self.grid).moved(stretching((0.2, 0.9), (0.3, 0.3)), (80, 360)).pixels()
        assert np.abs(drawn.astype(int) - 128).max() > 50

    @pytest.mark.parametrize(
        ("matrix", "by", "reason"),
        [
            (np.eye(3), 1, ""),
            (turning(7, 0.51), 1, "a half-size picture would be made larger again"),
            (turning(7, 0.503), 2, "a crop rounded to whole pixels"),
            (turning(7, 0.26), 2, ""),
            (turning(7, 0.25), 4, ""),
            (turning(7, 0.02), 8, "there is no smaller"),
            (stretching((-0.2, 0.9), (80, 0)), 1, "the direction that shrinks least decides"),
            (turning(45) @ stretching((0.2, 0.3), (0, 0)), 2, "also when it is aslant"),
            (np.array([[0.1, 0, 0], [0, 0.1, 0], [1e-4, 0, 1]]), 1, "in perspective the scale is not one number"),
        ],
    )
    def test_a_file_is_decoded_once_at_the_scale_that_is_needed(self, matrix, by, reason):
        file = File(self.grid)
        Picture(file).moved(matrix, (200, 150)).cropped((2, 2), (150, 150), (148, 148), (0, 0), (200, 200)).pixels()
        assert file.asked == [by], reason

    def test_a_file_that_cannot_be_made_smaller_is_decoded_as_it_is(self):
        file = File(self.grid, largest=2)
        Picture(file).moved(turning(7, 0.1), (40, 40)).pixels()
        assert file.asked == [2]

    @pytest.mark.parametrize("size", [(640, 480), (641, 477), (643, 479)])
    @pytest.mark.parametrize("by", [2, 4, 8])
    def test_pixels_stay_at_their_places(self, size, by):
        """The centroid of a dot, also in a picture that does not divide into blocks, and in a part that is cut out."""
        source = np.zeros((size[1], size[0], 3), np.uint8)
        source[300:340, 400:440] = 255
        for matrix in (about((420, 320), turning(5, 0.98 / by)), stretching((0.98 / by, 0.98 / by), (3, 4))):
            weights = Picture(source).moved(matrix, (640, 480)).pixels()[..., 0].astype(float)
            rows, columns = np.mgrid[:480, :640]
            found = np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()
            np.testing.assert_allclose(found, project(np.array([419.5, 319.5]), matrix), atol=0.02)

    def test_blocks_that_reach_over_the_edge_repeat_its_pixels(self):
        """99 x 101 px are 24.75 x 25.25 of those of the result."""
        grey = Picture(np.full((101, 99, 3), 200, np.uint8))
        drawn = grey.moved(stretching((0.25, 0.25), (-0.375, -0.375)), (25, 26)).pixels()
        assert drawn[:25].min() == 200
        assert drawn[25].max() == 0


def test_pixels_of_other_types():
    source = smooth().astype(np.float32) / 255
    drawn = Picture(source).moved(about(CENTRE, turning(8)), (180, 120)).pixels()
    assert drawn.dtype == Picture(source).moved(shift((200, 0)), (180, 120)).pixels().dtype == np.float32
    assert np.abs(drawn - reference(source, about(CENTRE, turning(8)), (180, 120), 0)).max() <= MOST_APART / 255
