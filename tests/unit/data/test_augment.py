"""IaaAugment and ColorJitter: polygons follow the pixels, chance comes from the sample alone, arguments are checked."""

import pickle
import random
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ppdet_db.data.transforms import ColorJitter, IaaAugment
from ppdet_db.data.transforms.imgaug_numpy2 import import_imgaug
from ppdet_db.errors import SampleError

POLYGON = np.array([[60, 40], [119, 40], [119, 69], [60, 69]], np.float32)


def make_sample(seed=0, polys=POLYGON[None]):
    image = np.zeros((120, 180, 3), np.uint8)
    for poly in polys:
        cv2.fillPoly(image, [poly.astype(np.int32)], (255, 255, 255))
    return {"image": image, "polys": np.asarray(polys, np.float32), "rng": np.random.default_rng(seed)}


def augment(*entries, seed=0, **more):
    return IaaAugment(list(entries))(make_sample(seed, **more))


@pytest.mark.parametrize(
    ("kind", "arguments", "tolerance"),
    [
        ("Fliplr", {"p": 1.0}, 1e-3),
        ("Flipud", {"p": 1.0}, 1e-3),
        ("Rot90", {"k": 1, "keep_size": False}, 1e-3),
        ("Resize", {"size": 3.0}, 0.05),
        ("Resize", {"size": 0.5}, 0.05),
        ("Resize", {"size": {"width": 60, "height": 300}}, 0.05),
        ("CropAndPad", {"px": [12, 5, -3, 7], "keep_size": False}, 1e-3),
        ("Affine", {"rotate": 33}, 0.1),
        ("Affine", {"rotate": 90, "fit_output": True}, 1e-3),  # imgaug 0.4.0 by itself is a pixel off
        ("Affine", {"rotate": 45, "fit_output": True}, 0.1),
        ("Affine", {"rotate": -33, "shear": 10, "scale": 0.8, "fit_output": True}, 0.1),
        ("Rotate", {"rotate": 20, "fit_output": True}, 0.1),
        ("Affine", {"scale": 1.3, "shear": 10, "translate_px": {"x": -5, "y": 8}}, 0.1),
        ("PerspectiveTransform", {"scale": 0.05, "keep_size": False}, 0.6),
        ("PiecewiseAffine", {"scale": 0.02}, 1.0),
        ("ElasticTransformation", {"alpha": 20.0, "sigma": 5.0}, 1.0),
    ],
)
def test_polygons_follow_the_pixels(kind, arguments, tolerance):
    """The centroid of the white pixels is that of the polygon. A half-pixel shift between them would show."""
    sample = augment({"type": kind, "args": arguments})
    white = sample["image"][..., 0].astype(float)
    rows, columns = np.mgrid[: white.shape[0], : white.shape[1]]
    of_pixels = [(white * columns).sum() / white.sum(), (white * rows).sum() / white.sum()]
    moments = cv2.moments(sample["polys"][0])
    of_polygon = [moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]]
    np.testing.assert_allclose(of_polygon, of_pixels, atol=tolerance)


def test_fit_output_keeps_the_corners_of_the_picture():
    """Which a rotation without it turns out of the picture; with `p` about half of the pictures stay as they are."""
    corners = np.array([[[0, 0], [179, 0], [179, 119], [0, 119]]], np.float32)
    affine = IaaAugment([{"type": "Affine", "args": {"p": 0.5, "rotate": [-45, 45], "fit_output": True}}])
    turned = 0
    for seed in range(40):
        sample = make_sample(seed, polys=corners)
        sample["image"][:] = 255
        sample = affine(sample)
        height, width = sample["image"].shape[:2]
        turned += (height, width) != (120, 180)
        assert sample["polys"].min() >= -0.01
        assert np.all(sample["polys"].max(axis=(0, 1)) <= (width - 0.99, height - 0.99))
        for x, y in np.rint(sample["polys"][0]).astype(int):
            assert sample["image"][max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].max() > 60
    assert 10 <= turned <= 30


def test_fliplr_by_value():
    sample = augment({"type": "Fliplr", "args": {"p": 1}})
    np.testing.assert_array_equal(sample["polys"][0][:, 0], [119, 60, 60, 119])  # pixel x -> 179 - x


def test_the_picture_is_contiguous():
    assert augment({"type": "Flipud"})["image"].flags.c_contiguous  # imgaug gives a view


def test_an_augmenter_that_removes_points_is_named_as_the_cause():
    with pytest.raises(SampleError, match="one of its augmenters removes points"):
        augment({"type": "TotalDropout", "args": {"p": 1.0}})


def test_default_is_paddleocrs_and_scales_both_sides_alike():
    scales = []
    for seed in range(40):
        h, w, _ = IaaAugment()(make_sample(seed))["image"].shape
        assert abs(w - h * 1.5) <= 2
        scales.append(h / 120)
    assert 0.5 <= min(scales) < 0.8
    assert 2.6 < max(scales) <= 3


def test_empty_list_changes_nothing():
    sample = augment()
    np.testing.assert_array_equal(sample["image"], make_sample()["image"])
    np.testing.assert_array_equal(sample["polys"], make_sample()["polys"])


def test_points_outside_the_picture_stay_as_they_are():
    sample = augment({"type": "Affine", "args": {"translate_px": {"x": -100, "y": 0}}})
    np.testing.assert_allclose(sample["polys"][0], POLYGON - [100, 0], atol=1e-3)


def test_picture_without_text():
    sample = augment({"type": "Affine", "args": {"rotate": [-10, 10]}}, polys=np.zeros((0, 4, 2), np.float32))
    assert sample["polys"].shape == (0, 4, 2)


@pytest.mark.parametrize("entry", [{"type": "Affine", "args": {"rotate": 90, "p": 0.5}}, {"type": "Fliplr"}])
def test_p_is_a_share_of_the_pictures(entry):
    """`Affine` has no p of its own; `Fliplr` has one, 1 by default in imgaug."""
    transform = IaaAugment([entry])
    changed = [not np.array_equal(transform(make_sample(seed))["polys"], POLYGON[None]) for seed in range(60)]
    low, high = (15, 45) if entry["type"] == "Affine" else (60, 60)
    assert low <= sum(changed) <= high


def test_lists_of_two_numbers_are_ranges_and_other_lists_choices():
    def angles(values):
        transform = IaaAugment([{"type": "Affine", "args": {"rotate": values}}])
        edges = [np.diff(transform(make_sample(seed))["polys"][0][:2], axis=0)[0] for seed in range(40)]
        return np.degrees([np.arctan2(dy, dx) for dx, dy in edges]).round(2)

    within = angles([-10, 10])
    assert -10 <= within.min() < within.max() <= 10
    assert len(set(within)) > 30
    assert set(angles([0, 20, 45])) == {0, 20, 45}


def test_entries_nest():
    choice = {"type": "OneOf", "args": {"children": [{"type": "Fliplr"}, {"type": "Flipud"}]}}
    transform = IaaAugment([choice])
    first_points = {tuple(transform(make_sample(seed))["polys"][0][0]) for seed in range(20)}
    assert first_points == {(119, 40), (60, 79)}


CHANCY = [
    {"type": "Sometimes", "args": {"p": 0.5, "then_list": [{"type": "GaussianBlur", "args": {"sigma": [0, 2]}}]}},
    {"type": "MotionBlur", "args": {"k": 3}},  # asks for imgaug's global generator while it runs
    {"type": "MultiplyAndAddToBrightness", "args": {}},  # has parts that imgaug's own seeding does not reach
    {"type": "AdditiveGaussianNoise", "args": {"scale": [0, 10]}},
    {"type": "Affine", "args": {"rotate": [-10, 10]}},
]


def test_equal_generators_give_equal_samples_whatever_came_before():
    imgaug = import_imgaug()
    transform = IaaAugment(CHANCY)
    again = pickle.loads(pickle.dumps(transform))  # as in a worker
    for seed in range(5):
        first = transform(make_sample(seed))
        np.random.seed(seed + 100)
        imgaug.seed(seed + 100)
        transform(make_sample(seed + 50))
        for other in (transform(make_sample(seed)), again(make_sample(seed))):
            np.testing.assert_array_equal(first["image"], other["image"])
            np.testing.assert_array_equal(first["polys"], other["polys"])
    assert not np.array_equal(transform(make_sample(1))["image"], transform(make_sample(2))["image"])


def test_global_random_states_are_left_alone():
    imgaug = import_imgaug()
    before = pickle.dumps((np.random.get_state(), random.getstate(), imgaug.random.get_global_rng().state))
    IaaAugment(CHANCY)(make_sample())
    after = pickle.dumps((np.random.get_state(), random.getstate(), imgaug.random.get_global_rng().state))
    assert before == after


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"type": "Flipr"}, "augmenter_args[0]: no imgaug augmenter named 'Flipr'. Did you mean 'Fliplr'?"),
        (
            {"type": "Affine", "args": {"rotatee": 3}},
            "augmenter_args[0]: Affine has no argument 'rotatee'. Did you mean 'rotate'?",
        ),
        ({"type": "Affine", "args": {"seed": 3}}, "Affine may not set 'seed': all chance follows Global.seed"),
        ({"type": "Resize"}, "augmenter_args[0]: Resize: "),  # imgaug says that `size` is missing
        ({"type": "Fliplr", "args": {"p": "often"}}, "augmenter_args[0]: Fliplr: "),
        ({"Fliplr": {"p": 1}}, "augmenter_args[0] must be {type: NAME, args: {...}}, got {'Fliplr': {'p': 1}}"),
        ({"type": "Fliplr", "p": 0.5}, "augmenter_args[0] must be {type: NAME, args: {...}}"),
        ({"type": ["Fliplr"]}, "augmenter_args[0] must be {type: NAME, args: {...}}"),
        ({"type": "Fliplr", "args": [0.5]}, "augmenter_args[0] must be {type: NAME, args: {...}}"),
        (
            {"type": "OneOf", "args": {"children": [{"type": "Fliplr"}, {"type": "Flipup"}]}},
            "augmenter_args[0].children[1]: no imgaug augmenter named 'Flipup'. Did you mean 'Flipud'?",
        ),
    ],
)
def test_faults_of_an_entry_are_named(entry, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011, the words are compared below
        IaaAugment([entry])
    assert message in str(error.value)


def test_importing_the_transforms_loads_neither_imgaug_nor_paddle_and_numpy_stays_as_it_is():
    program = """
import sys
import numpy as np
before = set(vars(np)), np.random.get_state()[1].tolist()
from ppdet_db.data.transforms import IaaAugment
assert not {"imgaug", "paddle"} & set(sys.modules), "imported too early"
augment = IaaAugment([{"type": "Fog"}, {"type": "MotionBlur"}])
assert "imgaug" in sys.modules
image = np.zeros((32, 32, 3), np.uint8)
augment({"image": image, "polys": np.zeros((0, 4, 2), np.float32), "rng": np.random.default_rng(0)})
assert "sctypes" not in set(vars(np)) - before[0] and "complex" not in vars(np)
assert np.random.get_state()[1].tolist() == before[1]
assert sys.modules["imgaug"].random.GLOBAL_RNG is None
"""
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr


def test_a_fresh_process_can_unpickle_it():
    """As a spawned loader worker does; pickle by itself would import imgaug, which fails under NumPy 2."""
    program = "import pickle, sys; pickle.load(sys.stdin.buffer)"
    data = pickle.dumps(IaaAugment(CHANCY))
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr


GREY = np.full((2, 2, 3), 100, np.uint8)
RED = np.full((2, 2, 3), (0, 0, 200), np.uint8)  # BGR; its grey is 0.299 * 200 = 59.8


@pytest.mark.parametrize(
    ("options", "image", "pixel"),
    [
        ({"brightness": [1.5, 1.5]}, GREY, (150, 150, 150)),
        ({"brightness": [3, 3]}, GREY, (255, 255, 255)),
        ({"contrast": [0, 0]}, RED, (60, 60, 60)),  # all pixels become the mean grey
        ({"contrast": [2, 2]}, GREY, (100, 100, 100)),  # a flat picture has none
        ({"saturation": [0, 0]}, RED, (60, 60, 60)),
        ({"saturation": [0.5, 0.5]}, RED, (30, 30, 130)),
        ({"hue": [0.5, 0.5]}, RED, (200, 200, 0)),  # red -> cyan
        ({"hue": [0.5, 0.5]}, GREY, (100, 100, 100)),
        ({}, RED, (0, 0, 200)),
    ],
)
def test_color_jitter_by_value(options, image, pixel):
    result = ColorJitter(**options)({"image": image, "rng": np.random.default_rng(0)})["image"]
    assert result.dtype == np.uint8
    assert np.abs(result[0, 0].astype(int) - pixel).max() <= 2


def test_color_jitter_draws_within_its_range():
    transform = ColorJitter(brightness=0.3)
    levels = [transform({"image": GREY, "rng": np.random.default_rng(seed)})["image"][0, 0, 0] for seed in range(50)]
    assert 70 <= min(levels) < 80
    assert 120 < max(levels) <= 130


def test_color_jitter_takes_its_steps_in_random_order():
    """Doubling first: 200, 255 with the mean 227.5. Flattening first: 150, doubled and cut off at 255."""
    image = np.array([[[100] * 3, [200] * 3]], np.uint8)
    transform = ColorJitter(brightness=[2, 2], contrast=[0, 0])
    levels = {
        int(transform({"image": image, "rng": np.random.default_rng(seed)})["image"][0, 0, 0]) for seed in range(20)
    }
    assert levels in ({227, 255}, {228, 255})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"brightness": -1}, "brightness must be a number from 0 up"),
        ({"contrast": [2, 1]}, "contrast must be a number from 0 up or [low, high]"),
        ({"hue": 0.6}, "hue must be in [0, 0.5]"),
    ],
)
def test_color_jitter_refuses(options, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011, the words are compared below
        ColorJitter(**options)
    assert message in str(error.value)
