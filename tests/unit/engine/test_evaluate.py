"""evaluate: the numbers of a perfect and of a blind detector, bad pictures, workers, and the mode of the network."""

import importlib
import math

import numpy as np
import paddle
import pytest

from ppdet_db.contract import BadSample, Ragged
from ppdet_db.data.loader import EpochSampler, make_loader
from ppdet_db.data.transforms import MakeShrinkMap
from ppdet_db.engine import build_metric, build_postprocess, evaluate
from ppdet_db.engine.evaluate import predict_with
from ppdet_db.errors import DetError

evaluation = importlib.import_module("ppdet_db.engine.evaluate")  # the module; the package exports its function

TEXTS = [
    [[[8, 8], [88, 8], [88, 40], [8, 40]], [[10, 56], [70, 56], [70, 88], [10, 88]]],
    [],
    [[[20, 30], [90, 30], [90, 70], [20, 70]]],
]
"""Two texts, none, one, on pictures of 96 x 96."""


class Pictures:
    """Each picture is filled with its index, by which a fake detector knows it."""

    def __len__(self) -> int:
        return len(TEXTS)

    def __getitem__(self, key: tuple[int, int]) -> dict | BadSample:
        _, index = key
        return {
            "image": np.full((3, 96, 96), index, np.float32),
            "shape": np.array([96, 96, 1, 1], np.float32),
            "polys": np.array(TEXTS[index], np.float32).reshape(-1, 4, 2),
            "ignore_tags": np.zeros(len(TEXTS[index]), bool),
            "img_path": f"{index}.jpg",
            "line": f"labels.txt:{index + 1}",
        }


class WithBad(Pictures):
    def __getitem__(self, key: tuple[int, int]) -> dict | BadSample:
        return BadSample("1.jpg", "labels.txt:2", "no picture") if key[1] == 1 else super().__getitem__(key)


def loader_of(dataset: Pictures, workers: int = 0, batch_size: int = 1):
    sampler = EpochSampler(len(dataset), batch_size=batch_size, shuffle=False, drop_last=False)
    return make_loader(dataset, sampler, num_workers=workers, use_shared_memory=True)


def perfect(images: paddle.Tensor) -> dict[str, np.ndarray]:
    maps = []
    for index in images[:, 0, 0, 0].astype("int64").tolist():
        sample = {
            "image": np.zeros((96, 96, 3), np.uint8),
            "polys": np.array(TEXTS[index], np.float32).reshape(-1, 4, 2),
            "ignore_tags": np.zeros(len(TEXTS[index]), bool),
        }
        maps.append(MakeShrinkMap()(sample)["shrink_map"])
    return {"maps": np.stack(maps)[:, None]}


def blind(images: paddle.Tensor) -> dict[str, np.ndarray]:
    return {"maps": np.zeros((len(images), 1, 96, 96), np.float32)}


def run(predict, loader) -> dict[str, float]:
    postprocess = build_postprocess({"name": "DBPostProcess", "unclip_ratio": 2.0})
    return evaluate(predict, loader, postprocess, build_metric({"name": "DetMetric"}))


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("workers", [0, 2], ids=["in process", "a picture without text through shared memory"])
def test_perfect_maps_give_hmean_1(workers, batch_size):
    values = run(perfect, loader_of(Pictures(), workers, batch_size))
    assert {name: values[name] for name in ("precision", "recall", "hmean", "images", "texts", "found")} == {
        "precision": 1.0,
        "recall": 1.0,
        "hmean": 1.0,
        "images": 3,
        "texts": 3,
        "found": 3,
    }


def test_a_detector_that_finds_nothing():
    values = run(blind, loader_of(Pictures()))
    assert (values["precision"], values["recall"], values["hmean"], values["texts"]) == (0.0, 0.0, 0.0, 3)


def test_the_metric_starts_anew():
    metric = build_metric({"name": "DetMetric"})
    postprocess = build_postprocess({"name": "DBPostProcess", "unclip_ratio": 2.0})
    evaluate(blind, loader_of(Pictures()), postprocess, metric)
    assert evaluate(perfect, loader_of(Pictures()), postprocess, metric)["hmean"] == 1.0


class Clock:
    """Time that only passes where the test says so: no machine is too slow for it."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def spend(self, seconds: float, value):
        self.now += seconds
        return value


def test_fps_counts_network_and_postprocess_alone(monkeypatch):
    clock, metric = Clock(), build_metric({"name": "DetMetric"})
    monkeypatch.setattr(evaluation, "time", clock)
    update = metric.update
    monkeypatch.setattr(metric, "update", lambda *given: clock.spend(100, update(*given)))
    read = (clock.spend(100, batch) for batch in list(loader_of(Pictures())))
    found = build_postprocess({"name": "DBPostProcess"})
    values = evaluate(
        lambda images: clock.spend(0.3, blind(images)), read, lambda *given: clock.spend(0.1, found(*given)), metric
    )
    assert values["fps"] == pytest.approx(1 / 0.4)


def test_fps_of_nothing_is_finite():
    assert math.isfinite(run(blind, [])["fps"])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_picture_is_refused_by_name(workers):
    with pytest.raises(DetError) as error:
        run(perfect, loader_of(WithBad(), workers))
    assert "labels.txt:2: 1.jpg: no picture" in str(error.value)


def test_several_bad_pictures_are_all_named():
    bad = [BadSample("a.jpg", "", "broken"), BadSample("b.jpg", "", "missing")]
    with pytest.raises(DetError) as error:
        run(perfect, [{"bad": Ragged(bad)}])
    assert "a.jpg: broken" in str(error.value)
    assert "b.jpg: missing" in str(error.value)


@pytest.mark.parametrize("training", [True, False])
def test_predict_with_sees_evaluation_mode_without_gradients_and_puts_the_mode_back(training):
    seen = []

    class Net(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.scale = self.create_parameter([1])

        def forward(self, images):
            seen.append(self.training)
            return {"maps": images * self.scale}

    model = Net()
    model.train() if training else model.eval()
    maps = predict_with(model)(paddle.ones([1, 1, 2, 2]))["maps"]
    assert seen == [False]
    assert maps.stop_gradient
    assert model.training is training


def test_predict_with_puts_the_mode_back_after_an_error():
    class Broken(paddle.nn.Layer):
        def forward(self, images):
            raise RuntimeError("out of memory")

    model = Broken()
    with pytest.raises(RuntimeError, match="out of memory"):
        predict_with(model)(paddle.ones([1]))
    assert model.training
