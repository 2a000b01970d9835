"""`total_epoch`: the epoch of the training reaches both label maps, in this process, in workers and after a resume."""

from collections import Counter

import numpy as np
import pytest

from ppdet_db.data.transforms import border_map, shrink_map
from ppdet_db.data.transforms.label_raster import ratio_at
from ppdet_db.engine import Trainer, build, load_plan

GROWING = [
    "Global.eval_batch_step=[1000,1000]",
    *(f"Train.dataset.transforms.{name}.total_epoch=4" for name in ("MakeShrinkMap", "MakeBorderMap")),
]


@pytest.fixture
def ratios(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The ratio of every map that is drawn in this process."""
    drawn: list[float] = []

    def recording(*arguments):
        drawn.append(ratio_at(*arguments))
        return drawn[-1]

    monkeypatch.setattr(border_map, "ratio_at", recording)
    monkeypatch.setattr(shrink_map, "ratio_at", recording)
    return drawn


def rounded(values: list[float]) -> Counter:
    return Counter(round(value, 6) for value in values)


def test_every_epoch_of_a_training_draws_with_its_ratio(tiny, ratios):
    """Six pictures, two maps each; four epochs of the ramp and one after it."""
    Trainer(load_plan(tiny, [*GROWING, "Global.epoch_num=5"])).fit()
    assert rounded(ratios) == {0.4: 12, 0.45: 12, 0.5: 12, 0.55: 24}


def test_a_resumed_training_goes_on_with_its_ratio(tiny, ratios):
    Trainer(load_plan(tiny, [*GROWING, "Global.epoch_num=2"])).fit()
    ratios.clear()
    Trainer(load_plan(tiny, [*GROWING, "Global.epoch_num=3"]), resume=True).fit()
    assert rounded(ratios) == {0.5: 12}


def test_workers_learn_the_epoch(tiny):
    """The second half of the ramp, drawn in workers, equals what this process draws with that constant ratio."""
    constant = [override.replace("total_epoch=4", "shrink_ratio=0.5") for override in GROWING]
    loader = build.loader_of(load_plan(tiny, [*GROWING, "Train.loader.num_workers=2"]), train=True)
    loader.batch_sampler.start(2)
    dataset = build.dataset_of(load_plan(tiny, constant), train=True)
    for batch in loader:
        for key in ("shrink_map", "threshold_map"):
            expected = np.stack([dataset[2, int(index)][key] for index in batch["index"]])
            np.testing.assert_array_equal(batch[key].numpy(), expected)
