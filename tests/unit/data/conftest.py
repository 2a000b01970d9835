"""What several tests of data use."""

import pytest

from ppdet_db.data.transforms import border_map, label_kernel, label_numpy, shrink_map


@pytest.fixture(params=[label_kernel, label_numpy], ids=["compiled", "numpy"])
def each_raster(request, monkeypatch):
    """Both ways to draw label maps, one after the other."""
    if request.param is label_kernel:
        pytest.importorskip("numba")
    for module in (border_map, shrink_map):
        monkeypatch.setattr(module, "raster", lambda: request.param)
    return request.param
