"""RandomPerspective: polygons follow the pixels, the result holds the whole picture, nothing reaches the horizon."""

import cv2
import numpy as np
import pytest

from ppdet_db.data.transforms import RandomPerspective
from ppdet_db.data.transforms.perspective import project

CORNERS = [[30, 20], [150, 25], [140, 80], [35, 75]]


def make_sample(seed=0, shape=(110, 190), polys=(CORNERS,)):
    """A grey picture with a white dot on every corner of the polygons."""
    image = np.full((*shape, 3), 60, np.uint8)
    for poly in polys:
        for x, y in poly:
            cv2.circle(image, (x, y), 2, (255, 255, 255), -1)
    return {"image": image, "polys": np.array(polys, np.float32), "rng": np.random.default_rng(seed)}


def middle_of_dot(image, point):
    """Centre of the brightness around a point."""
    x, y = np.rint(point).astype(int)
    window = np.maximum(image[y - 6 : y + 7, x - 6 : x + 7, 0].astype(float) - 60, 0)
    rows, columns = np.mgrid[-6:7, -6:7]
    return np.array([x + (window * columns).sum() / window.sum(), y + (window * rows).sum() / window.sum()])


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"shear": 20.0, "perspective": 0.0}, "shear"),
        ({"shear": 0.0, "perspective": 0.002}, "perspective"),
        ({"shear": 0.0, "perspective": 0.0, "scale": 0.3}, "zoom"),
        ({"shear": 20.0, "perspective": 0.001, "scale": 0.1}, "all"),
    ],
)
def test_dots_at_the_corners_are_still_there(seed, options, reason):
    sample = RandomPerspective(prob=1.0, **options)(make_sample(seed))
    assert not np.allclose(sample["polys"], [CORNERS]), reason
    for point in sample["polys"][0]:
        np.testing.assert_allclose(middle_of_dot(sample["image"], point), point, atol=0.25, err_msg=reason)


@pytest.mark.parametrize("seed", range(5))
def test_without_fit_output_the_size_stays_and_the_centre_too(seed):
    sample = RandomPerspective(prob=1.0, fit_output=False)(make_sample(seed))
    assert sample["image"].shape == (110, 190, 3)
    inside = np.all((sample["polys"][0] > 8) & (sample["polys"][0] < (181, 101)), axis=1)
    for point in sample["polys"][0][inside]:
        np.testing.assert_allclose(middle_of_dot(sample["image"], point), point, atol=0.25)
    centre = make_sample(seed, polys=[[[94, 54], [95, 54], [95, 55], [94, 55]]])
    moved = RandomPerspective(prob=1.0, fit_output=False)(centre)["polys"][0]
    np.testing.assert_allclose(moved.mean(axis=0), [94.5, 54.5], atol=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_fit_output_holds_the_whole_picture_and_no_more(seed):
    """The picture is 100, what is around it 0: on each side there is picture in the first or last two pixels."""
    sample = make_sample(seed)
    sample["image"][:] = 100
    image = RandomPerspective(prob=1.0)(sample)["image"][..., 0]
    rows, columns = np.nonzero(image > 30)
    assert min(rows.min(), columns.min()) <= 1
    assert rows.max() >= image.shape[0] - 2
    assert columns.max() >= image.shape[1] - 2
    whole = np.array([[-0.5, -0.5], [189.5, -0.5], [189.5, 109.5], [-0.5, 109.5]])
    corners = RandomPerspective(prob=1.0)({**sample, "polys": whole[None], "rng": np.random.default_rng(seed)})["polys"]
    np.testing.assert_allclose(corners.min(axis=(0, 1)), -0.5, atol=1e-3)
    assert np.all(corners.max(axis=(0, 1)) <= np.array(image.shape[::-1]) - 0.5 + 1e-3)
    assert (image > 0).sum() == pytest.approx(cv2.contourArea(corners[0].astype(np.float32)), rel=0.05)


def test_prob_is_the_share_of_pictures():
    transform = RandomPerspective(prob=0.3)
    changed = sum(transform(make_sample(seed))["image"].shape != (110, 190, 3) for seed in range(300))
    assert 60 <= changed <= 120  # 90 expected, standard deviation 8
    assert all(RandomPerspective(prob=0.0)(make_sample(seed))["image"].shape == (110, 190, 3) for seed in range(20))


def test_ranges_are_covered_and_kept():
    draw = RandomPerspective(scale=0.2, shear=20.0, perspective=0.001).draw
    size = np.array([100, 100])
    centre, back = np.eye(3), np.eye(3)
    centre[:2, 2], back[:2, 2] = 49.5, -49.5
    matrices = [np.linalg.inv(centre) @ draw(size, np.random.default_rng(i)) @ np.linalg.inv(back) for i in range(500)]
    zoom = np.array([matrix[0, 0] for matrix in matrices])
    angles = np.degrees(np.arctan([matrix[[0, 1], [1, 0]] / matrix[0, 0] for matrix in matrices]))
    tilt = np.array([matrix[2, :2] for matrix in matrices])
    for values, low, high in ((zoom, 0.8, 1.2), (angles, -20, 20), (tilt, -0.001, 0.001)):
        margin = 0.02 * (high - low)
        assert low - 1e-9 <= values.min() < low + margin
        assert high - margin < values.max() <= high + 1e-9
    for pair in (angles, tilt):  # x and y are drawn each on its own
        assert abs(np.corrcoef(pair.T)[0, 1]) < 0.2


@pytest.mark.parametrize("seed", range(20))
def test_a_large_picture_does_not_reach_the_horizon(seed):
    """3000 px at 0.001 a pixel: 1 + g x + h y would be -2 in a corner. The corner is magnified twice at most."""
    transform = RandomPerspective(prob=1.0, shear=0.0, fit_output=False)
    matrix = transform.draw(np.array([3000, 3000]), np.random.default_rng(seed))
    corners = np.array([[0, 0], [2999, 0], [2999, 2999], [0, 2999]])
    assert (corners @ matrix[2, :2] + matrix[2, 2]).min() >= 0.499
    assert np.abs(project(corners, matrix) - 1499.5).max() <= 3001


def test_points_far_off_the_picture_stay_finite_and_off_it():
    polys = np.array([[[-4000, 50], [4000, 50], [4000, 60], [-4000, 60]]], np.float32)
    for seed in range(20):
        sample = RandomPerspective(prob=1.0, fit_output=False)({**make_sample(seed), "polys": polys})
        x = np.sort(sample["polys"][0][:, 0])
        assert np.isfinite(sample["polys"]).all()
        assert x[1] < 0
        assert x[2] > 190


def test_fill_value():
    sample = make_sample(1)
    sample["image"][:] = 100
    image = RandomPerspective(prob=1.0, shear=30.0, fill_value=(10, 20, 30))(sample)["image"]
    assert {tuple(colour) for colour in image[[0, 0, -1, -1], [0, -1, 0, -1]].tolist()} >= {(10, 20, 30)}


def test_a_picture_without_text():
    sample = {**make_sample(), "polys": np.zeros((0, 4, 2), np.float32)}
    assert RandomPerspective(prob=1.0)(sample)["polys"].shape == (0, 4, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prob": 1.5}, "prob must be in [0, 1], got 1.5"),
        ({"scale": 1}, "scale must be in [0, 1), got 1"),
        ({"shear": 45}, "shear must be in [0, 45) degrees, got 45"),
        ({"perspective": -0.001}, "perspective must be 0 or more, got -0.001"),
        ({"fill_value": [0, 0, 256]}, "fill_value must be three numbers in [0, 255], got [0, 0, 256]"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011, the words are compared below
        RandomPerspective(**options)
    assert str(error.value) == message
