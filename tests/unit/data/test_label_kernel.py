"""How label maps are drawn: by the kernel that numba compiles, and by NumPy, which must be the same."""

import math
import subprocess
import sys

import numpy as np
import pytest

from ppdet_db.data.transforms import label_kernel, label_numpy
from ppdet_db.data.transforms.label_raster import raster

SHAPE = (72, 96)  # h, w

EDGES = {
    "level": [(10, 30), (60.5, 30)],
    "level, leftwards, between rows": [(60.5, 30.5), (10, 30.5)],
    "upright": [(40, 10.25), (40, 50)],
    "upwards to the right": [(12.3, 60.1), (70.2, 14.9)],
    "downwards to the right, nearly level": [(12, 30), (80, 30.001)],
    "across two borders": [(-20, -13), (120, 90)],
    "off, reaching in": [(-3, -3), (50, -3)],
    "a dot": [(40.5, 33), (40.5, 33)],
}


@pytest.mark.parametrize("reach", [0, 1, 5.75])
@pytest.mark.parametrize("edge", EDGES.values(), ids=EDGES)
def test_of_an_edge_are_visited_the_pixels_within_reach_and_no_others(each_raster, edge, reach):
    (ax, ay), (bx, by) = edge
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    along = (x - ax) * (bx - ax) + (y - ay) * (by - ay)
    t = np.clip(along / max((bx - ax) ** 2 + (by - ay) ** 2, 1e-9), 0, 1)
    expected = np.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay)) <= reach + 1e-9
    visited = np.zeros(SHAPE, bool)
    for row, first, stop in visits(each_raster, np.array([edge], np.float64), reach + 1e-9):
        visited[row, first:stop] = True
    np.testing.assert_array_equal(visited, expected)


def visits(module, poly, reach):
    """(row, first, stop) of the pixels that are visited for the first edge of a polygon."""
    if module is label_numpy:
        runs = label_numpy.near(label_numpy.Edges.of(poly), np.array([reach]), SHAPE)
        return [run[1:] for run in zip(runs.owner, runs.row, runs.first, runs.stop, strict=True) if run[0] == 0]
    edge = label_kernel.edges_of(poly[0])[0]
    rows = range(*label_kernel.rows_near(edge, reach, SHAPE[0]))
    return [(row, *label_kernel.columns_near(edge, row, reach, SHAPE[1])) for row in rows]


def test_compiled_and_numpy_agree():
    """On polygons without sense: they cross themselves, reach off the canvas, repeat points, are a line and a dot."""
    pytest.importorskip("numba")
    rng, pixels = np.random.default_rng(0), 0
    for number in range(100):
        polys = rng.uniform(-40, 140, (8, 7, 2))
        polys[:4, 5:] = polys[:4, 4:5]
        polys[0, 2:], polys[1] = polys[0, 1], polys[1, 0]
        polys = np.round(polys) if number % 2 else polys
        reaches = rng.uniform(0.001, 20, 8)
        drawn = []
        for module in (label_kernel, label_numpy):
            values, masks = np.zeros(SHAPE, np.float32), np.zeros((3, *SHAPE), np.uint8)
            has_pixels = np.zeros(8, bool)
            module.draw_bands(polys, reaches, 0, 1, values, masks[0])
            module.draw_cores(polys, reaches, masks[1], has_pixels)
            module.draw_filled(polys[:4], 1, masks[2])
            drawn.append((values, masks, has_pixels))
        np.testing.assert_allclose(drawn[0][0], drawn[1][0], rtol=0, atol=1e-6)
        np.testing.assert_array_equal(drawn[0][1], drawn[1][1])
        np.testing.assert_array_equal(drawn[0][2], drawn[1][2])
        pixels += drawn[0][1].sum(axis=(1, 2))
    assert (pixels > 1000).all()


WITHOUT_NUMBA = """
import logging, sys
sys.modules["numba"] = None
import numpy as np
from ppdet_db.data.transforms import MakeBorderMap, MakeShrinkMap, label_raster
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
poly = [[10, 20], [70, 20], [70, 44], [10, 44]]
sample = {"image": np.zeros((72, 96, 3)), "polys": np.array([poly], np.float32), "ignore_tags": np.array([False])}
for _ in range(2):
    sample = MakeBorderMap()(MakeShrinkMap()(sample))
print(sample["shrink_map"].sum(), label_raster.raster().__name__)
"""


def test_without_numba_everything_works_with_one_note():
    run = subprocess.run([sys.executable, "-c", WITHOUT_NUMBA], check=True, capture_output=True, text=True)
    note, result = run.stdout.splitlines()
    assert note == "note: label maps are drawn without numba, several times slower: pip install numba"
    assert result == "405.0 ppdet_db.data.transforms.label_numpy"  # D = 7.2: 45 columns by 9 rows


def test_with_numba_the_kernel_draws():
    pytest.importorskip("numba")
    assert raster() is label_kernel


def test_a_cache_that_cannot_be_written_is_done_without(monkeypatch):
    class Numba:
        @staticmethod
        def njit(*signature, cache=False, **options):
            if cache:
                raise RuntimeError("cannot cache function 'f': no locator available for file 'f.py'")
            return lambda function: (function, signature)

    monkeypatch.setattr(label_kernel, "numba", Numba)
    assert label_kernel.compiled("void()")(math.sqrt) == (math.sqrt, ("void()",))
