"""DetMetric against recorded evaluations: counts of every picture and the combined result, exactly."""

import json
from pathlib import Path

import numpy as np
import pytest

from ppdet_db.metrics.det_iou import match
from ppdet_db.metrics.det_metric import DetMetric


@pytest.fixture(scope="module")
def record(shared: Path) -> dict:
    return json.loads((shared / "parity/metric/detmetric.json").read_text())


def test_counts_of_each_picture(record):
    for case in record["cases"]:
        found = match(case["gt"], case["ignore"], case["det"])
        counts = {
            "gtCare": len(found.pairs) + len(found.missed),
            "detCare": len(found.pairs) + len(found.spurious),
            "detMatched": len(found.pairs),
        }
        assert counts == case["result"], case.get("name", case.get("seed"))


def test_combined_result(record):
    """Of all 47 pictures together, part of which are in the record: they had 131 texts, 188 found and 81 pairs."""
    squares = np.array([[0, 0], [5, 0], [5, 5], [0, 5]]) + 10 * np.arange(131 + 188 - 81)[:, None, None]
    metric = DetMetric()
    metric.update([{"points": squares[-188:]}], {"polys": [squares[:131]], "ignore_tags": [np.zeros(131, bool)]})
    result = metric.compute()
    assert {name: result[name] for name in record["combined"]} == record["combined"]


def test_counts_add_up(record):
    metric = DetMetric()
    for case in record["cases"]:
        polys = np.array(case["gt"], np.float32).reshape(-1, 4, 2)
        points = np.array(case["det"], np.int32).reshape(-1, 4, 2)
        metric.update([{"points": points}], {"polys": [polys], "ignore_tags": [np.array(case["ignore"], bool)]})
    result = metric.compute()
    for ours, theirs in {"texts": "gtCare", "found": "detCare", "matched": "detMatched"}.items():
        assert result[ours] == sum(case["result"][theirs] for case in record["cases"])


def test_result_of_nothing(record):
    result = DetMetric().compute()
    assert {name: result[name] for name in record["combined_empty"]} == record["combined_empty"]
