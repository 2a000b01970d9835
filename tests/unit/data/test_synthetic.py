"""SyntheticDataSet: the label bounds the ink, the picture hangs on (seed, index) alone, the shares are as asked for."""

import importlib.util
import json
import multiprocessing
import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest
from shapely.geometry import Polygon

from ppdet_db.data.synthetic import SyntheticDataSet
from ppdet_db.data.synthetic.backgrounds import photos
from ppdet_db.data.synthetic.fonts import faces, faces_for, render
from ppdet_db.data.synthetic.page import Page
from ppdet_db.data.synthetic.patch import IGNORED, Patch, Pen, label_box, legible_colour, luminance, write
from ppdet_db.data.synthetic.placement import (
    Arc,
    Placement,
    Wave,
    paste,
    placement_of_page,
    placement_of_sign,
    translation,
)
from ppdet_db.data.synthetic.text import WORDS, Phrases, alphabet
from ppdet_db.errors import ConfigError
from ppdet_db.registry import DATASETS

KINDS = ["horizontal", "rotated", "perspective", "curved"]


def read(dataset: SyntheticDataSet, index: int) -> dict:
    return dataset.read(0, index, np.random.default_rng(0))


def labels(dataset: SyntheticDataSet, count: int) -> list[list[dict]]:
    return [json.loads(read(dataset, index)["label"]) for index in range(count)]


def polygons(dataset: SyntheticDataSet, count: int) -> list[np.ndarray]:
    return [np.array(text["points"]) for texts in labels(dataset, count) for text in texts]


@pytest.fixture
def bare_installation(monkeypatch):
    """Only the packages that this project requires anyway, and no photographs: what a user without extras has."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: find(name) if name == "matplotlib" else None)
    caches = (faces, faces_for, photos)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


# the sample


def test_sample_has_the_keys_of_every_dataset():
    sample = read(SyntheticDataSet(seed=5, size=[320, 256]), 3)
    assert sample["img_path"] == "synthetic/5/3.jpg"
    assert sample["line"] == ""
    assert cv2.imdecode(np.frombuffer(sample["image"], np.uint8), cv2.IMREAD_COLOR).shape == (256, 320, 3)
    assert sample["image"][:2] == b"\xff\xd8"  # JPEG
    assert {key for text in json.loads(sample["label"]) for key in text} == {"transcription", "points"}


def test_picture_depends_on_seed_and_index_only():
    first = [read(SyntheticDataSet(), index) for index in range(6)]
    other_way = SyntheticDataSet(num_samples=7, base_seed=9)
    again = [other_way.read(index, index, np.random.default_rng(index)) for index in reversed(range(6))][::-1]
    assert first == again  # another order, epoch, length and Global.seed
    pictures = {sample["image"] for sample in first}
    pictures |= {read(SyntheticDataSet(seed=1), index)["image"] for index in range(6)}
    assert len(pictures) == 12


def test_global_random_state_is_left_alone():
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    read(SyntheticDataSet(), 0)
    assert (np.random.get_state()[1] == before).all()


def test_pickles_and_draws_the_same_in_a_spawned_process():
    dataset = SyntheticDataSet(size=[160, 160])
    here = [read(dataset, index)["image"] for index in range(3)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = [sample["image"] for sample in pool.map(pickle.loads(pickle.dumps(dataset)).__getitem__, range(3))]
    assert there == here


def test_importing_it_imports_no_paddle():
    code = "import ppdet_db.data.synthetic, sys; sys.exit('paddle' in sys.modules or 'skimage' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# the label


def drawn(ink: np.ndarray, placement: Placement) -> np.ndarray:
    """Pixels (M, 2) that ink (h, w) darkens by a fifth on a flat white background."""
    picture = np.full((600, 600, 3), 255, np.uint8)
    paste(picture, Patch(np.zeros(3, np.uint8), ink), placement)
    return np.argwhere(picture[..., 0] < 205)[:, ::-1].astype(np.float32)


@pytest.mark.parametrize("placed", [placement_of_sign, placement_of_page])
@pytest.mark.parametrize("kind", KINDS)
def test_polygon_bounds_the_ink_tightly(kind, placed):
    for seed in range(12):
        ink, _ = write("HEN NIMBLE Mg" if seed % 2 else "BHN", Pen(faces()[seed % 4], 24 + seed))
        h, w = ink.shape
        around = np.pad(ink, 12)
        placement = placed(np.random.default_rng(seed), kind, *around.shape[::-1]).then(translation(300, 300))
        polygon = placement.polygon(label_box(12, 12, w, h)).astype(np.float32)
        to_edge = [cv2.pointPolygonTest(polygon, point.tolist(), True) for point in drawn(around, placement)]
        assert min(to_edge) > 0.3  # all of it inside
        solid = drawn(np.pad(np.full((h, w), 255, np.uint8), 12), placement)  # the text's rectangle, filled
        assert len(solid) < Polygon(polygon).area < 1.5 * len(solid)


def polygon_height(polygon: np.ndarray) -> float:
    return float(np.hypot(*(polygon[0] - polygon[-1])))


def test_label_keeps_a_tenth_of_the_height_away_from_the_ink():
    assert label_box(10, 20, 100, 19) == pytest.approx((7.98, 17.98, 111.02, 40.02))  # 0.5 + 0.08 * 19 = 2.02


@pytest.mark.parametrize("bend", [Arc(80), Arc(-80), Wave(9, 120, 1.0)])
def test_a_bend_and_its_inverse_cancel(bend):
    points = np.random.default_rng(0).uniform(-60, 60, (50, 2)) * [1, 0.5]
    np.testing.assert_allclose(bend.inverse(bend.forward(points)), points, atol=1e-9)


def test_arc_by_hand():
    quarter = 80 * np.pi / 2
    np.testing.assert_allclose(
        Arc(80).forward(np.array([[0, 0], [0, -10], [quarter, 0]])), [[0, 0], [0, -10], [80, 80]]
    )


def test_kinds_are_respected():
    for dense_ratio in (0.0, 1.0):
        for polygon in polygons(SyntheticDataSet(kinds=["horizontal"], dense_ratio=dense_ratio), 8):
            (x0, y0), (x1, y1) = polygon[0], polygon[2]
            np.testing.assert_allclose(polygon, [[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
            assert x0 < x1
            assert y0 < y1
        assert all(len(p) == 14 for p in polygons(SyntheticDataSet(kinds=["curved"], dense_ratio=dense_ratio), 8))
    for kind, rectangular in (("rotated", True), ("perspective", False)):
        found = polygons(SyntheticDataSet(kinds=[kind], dense_ratio=0.0), 12)
        slanted = [abs(p[1, 1] - p[0, 1]) > 0.2 for p in found]
        assert np.mean(slanted) > 0.9
        widths = np.array([[np.hypot(*(p[1] - p[0])), np.hypot(*(p[2] - p[3]))] for p in found])
        assert np.allclose(widths[:, 0], widths[:, 1], atol=0.3) == rectangular  # opposite sides, points to 0.1


@pytest.mark.parametrize(
    ("kinds", "dense_ratio"),
    [(KINDS, 0.0), (KINDS, 1.0), (["rotated"], 1.0)],  # a rotated page is longer than the picture is high
)
def test_texts_lie_in_the_picture_and_do_not_cover_each_other(kinds, dense_ratio):
    for texts in labels(SyntheticDataSet(size=[480, 320], kinds=kinds, dense_ratio=dense_ratio), 24):
        areas = [Polygon(text["points"]) for text in texts]
        for i, area in enumerate(areas):
            assert area.is_valid
            assert min(area.bounds[:2]) >= -0.5
            assert area.bounds[2] <= 479.5
            assert area.bounds[3] <= 319.5
            for other in areas[:i]:
                assert area.intersection(other).area <= 0.2 * min(area.area, other.area)


def test_texts_stand_out_from_what_is_behind_them():
    rng = np.random.default_rng(0)
    for against in np.linspace(0, 255, 200):
        assert abs(luminance(legible_colour(rng, against)) - against) >= 90


# the shares


def test_shares_are_about_as_configured():
    dataset = SyntheticDataSet(size=[256, 256], negative_ratio=0.2, ignore_ratio=0.15, dense_ratio=0.5)
    pictures = labels(dataset, 200)
    texts = [text["transcription"] for picture in pictures for text in picture]
    assert 0.12 < np.mean([not picture for picture in pictures]) < 0.28
    assert 0.11 < np.mean([text == IGNORED for text in texts]) < 0.19


def test_shares_of_nothing_and_everything():
    assert not any(labels(SyntheticDataSet(negative_ratio=1.0), 6))
    everything = labels(SyntheticDataSet(ignore_ratio=1.0), 6)
    assert {text["transcription"] for picture in everything for text in picture} == {IGNORED}
    nothing = labels(SyntheticDataSet(ignore_ratio=0.0, negative_ratio=0.0), 12)
    assert all(nothing)
    assert IGNORED not in {text["transcription"] for picture in nothing for text in picture}


def test_pages_are_full_of_text_and_signs_are_not():
    pages = [len(texts) for texts in labels(SyntheticDataSet(dense_ratio=1.0, negative_ratio=0.0), 20)]
    streets = [len(texts) for texts in labels(SyntheticDataSet(dense_ratio=0.0, negative_ratio=0.0), 20)]
    assert np.mean(pages) > 2 * np.mean(streets)


def test_cells_and_ticks_have_their_texts():
    """A frame may come nearer to a text than another text may."""
    page = Page(np.random.default_rng(0), 480, 480, (12, 12), 0.0)
    page.box(100, 90, 300, 130)
    assert page.put("12.50", 104, y=100)
    assert not page.put("7", 104 + page.width_of("12.50", page.pen()) + 5, y=100)  # nearer than another column
    assert page.put("7", 104 + page.width_of("12.50", page.pen()) + 20, y=100)
    assert [text for _, text in page.texts] == ["12.50", "7"]


def test_texts_are_as_large_as_asked_for():
    small, large = (
        np.median([polygon_height(p) for p in polygons(SyntheticDataSet(kinds=["horizontal"], font_size=size), 10)])
        for size in ([10, 16], [40, 80])
    )
    assert 6 < small < 16
    assert 30 < large < 80


# fonts and words


def test_works_with_the_required_packages_alone(bare_installation):
    dataset = SyntheticDataSet(size=[256, 256])
    assert dataset.fonts
    assert all(name.startswith(("DejaVu", "STIX")) for name in dataset.fonts)
    assert not photos()
    assert sum(len(texts) for texts in labels(dataset, 8)) > 20
    assert not faces_for("chinese")


def test_says_what_to_install_without_any_font(bare_installation, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        SyntheticDataSet()
    assert "install matplotlib" in str(caught.value)


@pytest.mark.parametrize("language", sorted(WORDS))
def test_faces_have_every_character_that_is_said(language):
    say = Phrases(np.random.default_rng(0), language)
    makers = (say.sign, say.item, say.amount, say.address, say.company, say.total, say.note, say.link)
    said = {character for make in makers for _ in range(60) for character in make() + say.sentence(3, 9)}
    assert said <= alphabet(language)


def test_rendering_is_cut_to_the_ink():
    ink, top = render("Hx", faces()[0], 40)
    assert ink[0].max() > 32
    assert ink[-1].max() > 32
    assert ink[:, 0].max() > 32
    assert ink[:, -1].max() > 32
    assert 25 < ink.shape[0] < 34  # DejaVu's capitals are 0.73 em high
    assert 0 < top < 20
    assert render(" ", faces()[0], 40)[0].size == 0


# the parameters


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
        ({"size": [480]}, "size must be [w, h] with both at least 128 pixels, got [480]"),
        ({"size": [480, 64]}, "size must be [w, h] with both at least 128 pixels, got [480, 64]"),
        ({"kinds": []}, "kinds must name at least one of horizontal, rotated, perspective, curved, and no other, "
                        "got []"),
        ({"kinds": ["bent"]}, "kinds must name at least one of horizontal, rotated, perspective, curved, and no other, "
                              "got ['bent']"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"font_size": [30, 20]}, "font_size must be [smallest, largest] from 7 to half the picture's shorter side, "
                                  "got [30, 20]"),
        ({"font_size": [10, 300]}, "font_size must be [smallest, largest] from 7 to half the picture's shorter side, "
                                   "got [10, 300]"),
        ({"dense_ratio": 1.5}, "dense_ratio must be in [0, 1], got 1.5"),
        ({"negative_ratio": -0.1}, "negative_ratio must be in [0, 1], got -0.1"),
        ({"ignore_ratio": 2}, "ignore_ratio must be in [0, 1], got 2"),
    ],
)  # fmt: skip
def test_range_errors(arguments, message):
    with pytest.raises(ValueError, match="must") as caught:
        SyntheticDataSet(**arguments)
    assert str(caught.value) == message


def test_is_a_dataset_of_the_registry():
    assert DATASETS.get("SyntheticDataSet") is SyntheticDataSet
    assert len(SyntheticDataSet(num_samples=7)) == 7
