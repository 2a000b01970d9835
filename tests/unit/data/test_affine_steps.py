"""Augmenters as matrices: chance, polygons and sizes are those of imgaug, pixels of one warp instead of several."""

import cv2
import numpy as np
import pytest

from ppdet_db.data.transforms import IaaAugment
from ppdet_db.data.transforms.affine_steps import MOVES, by_points
from ppdet_db.data.transforms.augment import default_augmenters, global_generator
from ppdet_db.data.transforms.imgaug_numpy2 import import_imgaug

SHAPE = (200, 300, 3)
POLYGONS = np.random.default_rng(0).uniform(-20, 320, (5, 7, 2)).astype(np.float32)

AFFINE = [
    {"type": "Fliplr", "args": {"p": 0.5}},
    {"type": "Flipud", "args": {"p": 0.5}},
    {"type": "Affine", "args": {"rotate": [-45, 45]}},
    {"type": "Affine", "args": {"p": 0.5, "rotate": [-45, 45], "fit_output": True}},
    {"type": "Affine", "args": {"scale": {"x": [0.5, 1], "y": [0.8, 2]}, "shear": [-20, 20], "rotate": [0, 90, 180]}},
    {"type": "Affine", "args": {"translate_percent": [-0.2, 0.2]}},
    {"type": "Affine", "args": {"translate_px": {"x": [-20, 20], "y": [3, 9]}}},
    {"type": "ShearX", "args": {"shear": [-20, 20]}},
    {"type": "Rotate", "args": {"rotate": [-20, 20]}},
    {"type": "Resize", "args": {"size": [0.6, 3.0]}},
    {"type": "Resize", "args": {"size": {"height": [140, 250, 260], "width": "keep-aspect-ratio"}}},
    {
        "type": "Resize",
        "args": {"size": {"shorter-side": [160, 220], "longer-side": "keep"}, "interpolation": "linear"},
    },
    {"type": "Rot90", "args": {"k": [0, 1, 2, 3]}},
    {"type": "Rot90", "args": {"k": [1, 2, 3], "keep_size": False}},
    {"type": "CropAndPad", "args": {"percent": [-0.2, 0.2]}},
    {"type": "Crop", "args": {"px": [0, 10], "keep_size": False}},
    {"type": "Pad", "args": {"px": [3, 5, 10, 2]}},
    {"type": "OneOf", "args": {"children": [{"type": "Fliplr"}, {"type": "Affine", "args": {"rotate": [5, 9]}}]}},
    {"type": "Sometimes", "args": {"p": 0.5, "then_list": [{"type": "Flipud"}], "else_list": [{"type": "Fliplr"}]}},
    {"type": "OneOf", "args": {"children": [{"type": "Noop"}, {"type": "Sequential", "args": {"children": []}}]}},
]
CHAINS = [default_augmenters()[:2], AFFINE[:6], AFFINE[14:19], [AFFINE[5], AFFINE[5], AFFINE[2], AFFINE[2]]]


OTHERS = [
    {"type": "Affine", "args": {"rotate": [-5, 5], "cval": 128}},
    {"type": "Affine", "args": {"rotate": [-5, 5], "cval": [0, 9]}},
    {"type": "Affine", "args": {"rotate": [-5, 5], "mode": "edge"}},
    {"type": "Affine", "args": {"rotate": [-5, 5], "mode": ["constant", "edge", "wrap"]}},
    {"type": "Affine", "args": {"rotate": [-5, 5], "order": 0}},
    {"type": "Resize", "args": {"size": 2.0, "interpolation": "nearest"}},
    {"type": "CropAndPad", "args": {"px": 5, "pad_mode": "reflect"}},
    {"type": "Pad", "args": {"px": 5, "pad_cval": 255}},
    {"type": "PerspectiveTransform", "args": {"scale": 0.05}},
    {"type": "PiecewiseAffine", "args": {"scale": 0.02}},
    {"type": "GaussianBlur", "args": {"sigma": 1.0}},
    {"type": "OneOf", "args": {"children": [{"type": "Fliplr"}, {"type": "Add", "args": {"value": 3}}]}},
    {"type": "Sometimes", "args": {"p": 0.5, "then_list": [{"type": "Add", "args": {"value": 3}}]}},
    {"type": "Sometimes", "args": {"p": 0.5, "else_list": [{"type": "Add", "args": {"value": 3}}]}},
    {"type": "Sometimes", "args": {"p": 0.5, "then_list": [{"type": "Fliplr"}, {"type": "Flipud"}]}},
    {"type": "SomeOf", "args": {"n": 2, "children": [{"type": "Fliplr"}, {"type": "Flipud"}]}},
]
"""Among them those that move more than once: what leaves the picture by the first must not come back by the second."""


def blots(shape=SHAPE):
    noise = np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 3)
    return np.clip(128 + blurred / blurred.std() * 45, 0, 255).astype(np.uint8)


def name(entries):
    return ", ".join(f"{entry['type']} {entry.get('args', '')}" for entry in entries)


def run(transform, seed, as_pixels):
    """A transform's result; `as_pixels`: imgaug gets the picture and moves it itself."""
    if as_pixels:
        transform.is_affine = False
    return transform({"image": blots(), "polys": POLYGONS, "rng": np.random.default_rng(seed)})


@pytest.mark.parametrize("entries", [*([entry] for entry in AFFINE), *CHAINS], ids=name)
def test_polygons_and_pixels_are_where_imgaug_brings_them(entries):
    """The same for each of many seeds: so the distribution is the same, too."""
    ours, imgaugs = IaaAugment(entries), IaaAugment(entries)
    assert ours.is_affine
    polygons, apart = set(), []
    for seed in range(25):
        mine, other = run(ours, seed, as_pixels=False), run(imgaugs, seed, as_pixels=True)
        assert mine["image"].shape == other["image"].shape
        np.testing.assert_allclose(mine["polys"], other["polys"], atol=0.05)
        apart.append(np.abs(mine["image"].astype(int) - other["image"]).mean())
        polygons.add(mine["polys"].tobytes())
    assert np.mean(apart) < 1
    assert len(polygons) > 1 or entries[0]["type"] in ("Pad", "OneOf")


@pytest.mark.parametrize("entry", OTHERS, ids=lambda entry: name([entry]))
def test_what_is_not_a_move_on_black_gets_pixels(entry):
    assert not IaaAugment([entry]).is_affine
    assert not IaaAugment([AFFINE[0], entry]).is_affine


@pytest.mark.parametrize("entry", [AFFINE[i] for i in (0, 1, 2, 4, 5, 6, 9, 10, 11)], ids=lambda entry: name([entry]))
def test_the_short_ways_are_those_of_points(entry):
    imgaug = import_imgaug()
    transform = IaaAugment([entry])
    step = transform.augmenter[0]
    moved = set()
    for seed in range(25):
        results = []
        for way in (MOVES[type(step).__name__], by_points):
            transform.chance.set_state_(imgaug.random.RNG(seed).state)
            with global_generator(imgaug.random, transform.chance):
                results.append((*way(step, SHAPE), int(transform.chance.integers(0, 2**31))))
        (short, shape, next_draw), (by, shape_by_points, next_by_points) = results
        assert tuple(shape) == tuple(shape_by_points)
        assert next_draw == next_by_points, "those after it draw the same numbers"
        np.testing.assert_allclose(short, by, atol=1e-4)
        moved.add(short.tobytes())
    assert len(moved) > 1


def test_moves_are_made_in_their_order():
    """x = 20 moves to 30 and is mirrored to 299 - 30; the other way round it would be 289."""
    both = IaaAugment([{"type": "Affine", "args": {"translate_px": {"x": 10, "y": 0}}}, {"type": "Fliplr"}])
    sample = both({"image": blots(), "polys": np.full((1, 4, 2), 20, np.float32), "rng": np.random.default_rng(0)})
    np.testing.assert_allclose(sample["polys"][0, 0], (269, 20), atol=1e-4)
