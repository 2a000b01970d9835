"""Polygon -> shrink map, as if it were a perfect prediction -> DBPostProcess -> the polygon again, more or less.

Maps, outlines, growing back and the scale to source pixels in one. What gets lost has two causes, kept apart here:

- A fixed `unclip_ratio` fits one shape only. A text w x h was shrunk by D to w' x h', so growing it back by D takes the
  ratio D 2(w' + h') / (w' h'): 1.45 for a square, 2.25 at 4:1, 3.8 at 16:1. With 2.0 lines come back too thin.
- The core is drawn in whole pixels and its outline runs through pixel centres: up to one pixel is lost in width and
  height, times about 1 + ratio when grown back, since D' is proportional to the area left. On a core 9 pixels high that
  is a lot even with the exact ratio; and growing rounds corners, which `poly` keeps and `quad` does not.
"""

import numpy as np
import pytest

from ppdet_db.data.transforms.shrink_map import MakeShrinkMap
from ppdet_db.geometry import offset_distance, offset_polygon, polygon_area, polygon_iou, polygon_perimeter
from ppdet_db.postprocess.db_postprocess import DBPostProcess

HEIGHT, WIDTH = 320, 640
SHRINK_RATIO = 0.4


def rectangle(width: float, height: float, degrees: float = 0) -> np.ndarray:
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (width / 2, height / 2)
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return corners @ np.array([[cos, sin], [-sin, cos]]) + (WIDTH / 2, HEIGHT / 2)


def arch(radius: float, thickness: float) -> np.ndarray:
    """A curved text of 14 points, 120 degrees of a circle."""
    angle = np.deg2rad(np.linspace(30, 150, 7))
    direction = np.stack([np.cos(angle), -np.sin(angle)], axis=1)
    outline = np.concatenate([direction * (radius + thickness / 2), direction[::-1] * (radius - thickness / 2)])
    return outline + np.array([WIDTH / 2, 300])


def exact_ratio(poly: np.ndarray) -> float:
    """The unclip ratio that grows this polygon's core back by the D it was shrunk by."""
    distance = offset_distance(poly, SHRINK_RATIO)
    (core,) = offset_polygon(poly, -distance, "miter")
    return distance * polygon_perimeter(core) / polygon_area(core)


def iou_after(poly: np.ndarray, box_type: str, ratio: float, src_h: int, src_w: int) -> float:
    """IoU, in source pixels, of a text given in map pixels with what is found of it."""
    sample = {
        "image": np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        "polys": poly[None].astype(np.float32),
        "ignore_tags": np.zeros(1, bool),
    }
    shrink_map = MakeShrinkMap(shrink_ratio=SHRINK_RATIO)(sample)["shrink_map"]
    scale = np.array([WIDTH / src_w, HEIGHT / src_h])
    postprocess = DBPostProcess(unclip_ratio=ratio, box_type=box_type)
    found = postprocess({"maps": shrink_map[None, None]}, [[src_h, src_w, scale[1], scale[0]]])[0]
    assert len(found["points"]) == 1
    return polygon_iou(found["points"][0], poly / scale)


@pytest.mark.parametrize(("src_h", "src_w"), [(HEIGHT, WIDTH), (480, 1280), (160, 300)])
@pytest.mark.parametrize(
    ("poly", "box_type", "at_2", "at_exact"),
    [
        pytest.param(rectangle(60, 60), "quad", 0.75, 0.90, id="square: 2.0 grows it too far"),
        pytest.param(rectangle(60, 30), "quad", 0.90, 0.88, id="2:1: about the shape 2.0 is right for"),
        pytest.param(rectangle(120, 30), "quad", 0.62, 0.72, id="4:1, core 9 pixels high"),
        pytest.param(rectangle(120, 30, 30), "quad", 0.88, 0.92, id="4:1 at 30 degrees"),
        pytest.param(rectangle(160, 40, -50), "quad", 0.90, 0.93, id="4:1 at -50 degrees"),
        pytest.param(rectangle(480, 30), "quad", 0.50, 0.90, id="16:1: 2.0 gives it half its height"),
        pytest.param(rectangle(30, 200), "quad", 0.75, 0.95, id="upright line"),
        pytest.param(rectangle(120, 30, 30), "poly", 0.77, 0.85, id="4:1 at 30 degrees, corners rounded"),
        pytest.param(arch(200, 40), "poly", 0.55, 0.85, id="curved, flat"),
        pytest.param(arch(120, 50), "poly", 0.74, 0.85, id="curved, tight"),
    ],
)
def test_text_comes_back(poly, box_type, at_2, at_exact, src_h, src_w):
    assert iou_after(poly, box_type, 2.0, src_h, src_w) >= at_2
    assert iou_after(poly, box_type, exact_ratio(poly), src_h, src_w) >= at_exact
