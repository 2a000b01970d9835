"""From a picture's bytes to the result file, piece by piece."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from ppdet_db.config import check_section
from ppdet_db.engine import load_plan
from ppdet_db.engine.predict import (
    Detector,
    detect_files,
    draw,
    drawn_file,
    drawn_names,
    pictures_of,
    result_line,
    without_label,
)
from ppdet_db.errors import DetError, SampleError
from ppdet_db.registry import TRANSFORMS

CONFIG = Path(__file__).parents[3] / "configs/det/det_mv3_db_synthetic.yml"


class OwnLabelled:
    needs = ("polys",)
    gives = ("flags",)


class AfterIt:
    needs = ("image", "flags")


class Undeclared:
    pass


def test_only_transforms_that_live_without_a_label_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for cls in (OwnLabelled, AfterIt, Undeclared):
        monkeypatch.setitem(TRANSFORMS._classes, cls.__name__, cls)
    steps = ["DecodeImage", "DetLabelEncode", "OwnLabelled", "AfterIt", "Undeclared", "DetResizeForTest"]
    specs = check_section(
        "transforms", [*steps, "ToCHWImage", {"KeepKeys": {"keep_keys": ["image", "shape", "polys"]}}]
    )
    kept = [spec.cls.__name__ for spec in without_label(specs)]
    assert kept == ["DecodeImage", "Undeclared", "DetResizeForTest", "ToCHWImage"]


@pytest.fixture
def detector() -> Callable[..., Detector]:
    """A detector with the transforms of a config, whose network finds what is dark."""

    def make(*overrides: str) -> Detector:
        def dark(images: np.ndarray) -> dict:
            return {"maps": (images.mean(1, keepdims=True) < 0).astype(np.float32)}

        size = "Eval.dataset.transforms.DetResizeForTest.image_shape=[64, 64]"
        return Detector(load_plan(CONFIG, [size, *overrides]), dark)

    return make


def picture_with_bar() -> np.ndarray:
    picture = np.full((128, 192, 3), (250, 240, 230), np.uint8)
    picture[40:72, 30:150] = (10, 20, 30)
    return picture


@pytest.mark.parametrize("mode", ["BGR", "RGB", "GRAY"])
def test_points_are_in_pixels_of_the_picture_that_comes_back(mode: str, detector: Callable) -> None:
    detect = detector(f"Eval.dataset.transforms.DecodeImage.img_mode={mode}", "PostProcess.unclip_ratio=0.2")
    picture, found = detect(cv2.imencode(".png", picture_with_bar())[1].tobytes())
    assert picture.shape == (128, 192, 3)
    if mode == "GRAY":
        assert np.ptp(picture, axis=2).max() == 0
    else:
        assert np.array_equal(picture, picture_with_bar()), "BGR, whatever the network reads"
    assert len(found["points"]) == 1
    expected = [[30, 40], [150, 40], [150, 72], [30, 72]]
    assert np.abs(np.asarray(found["points"][0]) - expected).max() <= 8  # the network saw a third of the width


def test_a_file_that_is_no_picture_is_told_and_the_next_one_read(tmp_path: Path, detector: Callable) -> None:
    (tmp_path / "a.png").write_bytes(b"text")
    (tmp_path / "b.png").write_bytes(cv2.imencode(".png", picture_with_bar())[1].tobytes())
    files = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    results = list(detect_files(detector(), files))
    assert [file for file, _, _ in results] == files
    assert [picture is None for _, picture, _ in results] == [True, False, True]
    assert results[0][2].startswith("cannot be decoded as an image")
    assert len(results[1][2]["points"]) == 1
    assert results[2][2] == "cannot be read: No such file or directory"
    with pytest.raises(SampleError) as caught:
        detector()(b"")
    assert "the file is empty" in str(caught.value)


def test_pictures_of_a_folder_a_list_and_a_file(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt", "c.gif"):
        (tmp_path / name).touch()
    (tmp_path / "deeper.png").mkdir()
    assert [file.name for file in pictures_of(str(tmp_path))] == ["a.png", "b.JPG"]
    (tmp_path / "notes.txt").write_text("x/ä.png\n\n  y.png\n", encoding="utf-8-sig")
    assert pictures_of(str(tmp_path / "notes.txt")) == [Path("x/ä.png"), Path("y.png")]
    assert pictures_of(str(tmp_path / "c.gif")) == [tmp_path / "c.gif"], "asked for by name"
    (tmp_path / "notes.txt").write_text("\n")
    for wrong in ("notes.txt", "nowhere"):
        with pytest.raises(DetError) as caught:
            pictures_of(str(tmp_path / wrong))
        assert str(caught.value).startswith(f"{tmp_path / wrong}: ")


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a/1.jpg", "a/2.jpg"], ["1.jpg", "2.jpg"]),
        (["a/1.jpg", "b/1.jpg", "c/1.jpg"], ["1.jpg", "1_2.jpg", "1_3.jpg"]),
        (["a/1.jpg", "b/1_2.jpg", "c/1.jpg"], ["1.jpg", "1_2.jpg", "1_3.jpg"]),
        (["a/1.jpg", "a/1.png", "scan", "a.b/scan.1"], ["1.jpg", "1.png", "scan.jpg", "scan.1.jpg"]),
        (["a/1.jpg", "a/1.jpg"], ["1.jpg", "1_2.jpg"]),
    ],
)
def test_no_two_drawn_pictures_share_a_name(files: list[str], names: list[str]) -> None:
    assert drawn_names([Path(file) for file in files]) == names


@pytest.mark.parametrize(
    "points",
    [np.array([[[1, 2], [30, 2], [30, 9], [1, 9]]], np.int32), [np.array([[1, 2], [30, 2], [16, 9]], np.int32)]],
)
def test_a_result_line_is_paddleocrs(points: object) -> None:
    name, tab, entries = result_line(
        Path("a b/ü.jpg"), {"points": points, "scores": np.float32([0.87654321])}
    ).partition("\t")
    assert (name, tab) == ("a b/ü.jpg", "\t")
    assert json.loads(entries) == [{"transcription": "", "points": np.asarray(points[0]).tolist(), "score": 0.8765}]


def test_drawing_leaves_the_picture_alone() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    drawn = draw(picture, [np.array([[10, 10], [50, 10], [50, 40]])])
    assert picture.max() == 0
    assert (drawn[10, 30] >= [0, 0, 200]).all(), "red, smoothed"
    assert drawn[10, 30, :2].max() == 0
    assert drawn[30, 12].tolist() == [0, 0, 0]
    encoded = drawn_file(picture, np.array([[[10, 10], [50, 10], [50, 40]]]), ".png")
    assert np.array_equal(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR), drawn)
    assert np.array_equal(draw(picture, []), picture)
