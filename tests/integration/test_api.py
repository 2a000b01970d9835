"""The Python API as notebooks use it: plain dicts in, objects out, errors without a file and line."""

import importlib
import inspect
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle
import pytest

from ppdet_db import engine
from ppdet_db.config import ConfigError, load_config
from ppdet_db.contract import BadSample
from ppdet_db.engine import (
    Trainer,
    build_dataset,
    build_loader,
    build_loss,
    build_metric,
    build_model,
    build_optimizer,
    build_postprocess,
    build_transforms,
    evaluate,
    load_plan,
)
from ppdet_db.errors import DetError

BAR = np.array([[8, 8], [72, 8], [72, 24], [8, 24]], np.float32)


def shrink_map(size: int = 96) -> np.ndarray:
    """(1, 1, size, size): the core of BAR, which is its rectangle less D = 64 * 16 * 0.84 / 160 = 5.4 pixels."""
    maps = np.zeros((1, 1, size, size), np.float32)
    maps[..., 13:20, 13:68] = 0.9
    return maps


SIGNATURES = {
    "load_plan": "(path, overrides=())",
    "build_model": "(section)",
    "build_loss": "(section)",
    "build_optimizer": "(section, *, parameters, epochs, step_each_epoch)",
    "build_dataset": "(section, *, seed=0, data_root=None)",
    "build_loader": "(dataset, section, *, train, seed=0)",
    "build_transforms": "(section)",
    "build_postprocess": "(section)",
    "build_metric": "(section)",
    "evaluate": "(predict, loader, postprocess, metric, seconds=None)",
    "Trainer": "(plan, resume=False)",
}


def bare(function: Callable) -> str:
    signature = inspect.signature(function)
    parameters = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


def test_names_and_signatures() -> None:
    assert {name: bare(getattr(engine, name)) for name in engine.__all__} == SIGNATURES
    config = importlib.import_module("ppdet_db.config")
    assert {"load_config", "ConfigError"} <= set(config.__all__)


# ----------------------------------------------------------------------------------------------------- each from dicts


def test_model_takes_the_whole_architecture_of_paddleocr(tiny_sections: dict) -> None:
    section = tiny_sections["Architecture"] | {"model_type": "det", "algorithm": "DB", "Transform": None}
    given = json.dumps(section)
    model = build_model(section)
    assert json.dumps(section) == given
    assert model.training
    assert list(model(paddle.zeros([2, 3, 64, 96]))["maps"].shape) == [2, 3, 64, 96]
    model.eval()
    assert list(model(paddle.zeros([1, 3, 96, 64]))["maps"].shape) == [1, 1, 96, 64]


def test_seeded_models_are_equal(tiny_sections: dict) -> None:
    models = []
    for _ in range(2):
        paddle.seed(3)
        models.append(build_model(tiny_sections["Architecture"]).state_dict())
    assert all(np.array_equal(models[0][name], models[1][name]) for name in models[0])


def test_loss_optimizer_and_schedule_make_a_step(tiny_sections: dict) -> None:
    model = build_model(tiny_sections["Architecture"])
    optimizer, schedule = build_optimizer(
        {"name": "Momentum", "lr": {"name": "Cosine", "learning_rate": 0.1}},
        parameters=dict(model.named_parameters()),
        epochs=2,
        step_each_epoch=5,
    )
    ones = paddle.ones([1, 64, 64])
    batch = {"shrink_map": ones, "shrink_mask": ones, "threshold_map": ones, "threshold_mask": ones}
    losses = build_loss(tiny_sections["Loss"])(model(paddle.rand([1, 3, 64, 64])), batch)
    assert losses["loss"].shape == []
    parts = [value.item() for name, value in losses.items() if name != "loss"]
    assert losses["loss"].item() == pytest.approx(sum(parts), rel=1e-6)
    before = model.head.binarize.conv1.weight.numpy().copy()
    assert optimizer.get_lr() == pytest.approx(0.1)
    losses["loss"].backward()
    optimizer.step()
    for _ in range(5):
        schedule.step()
    assert optimizer.get_lr() == pytest.approx(0.05), "half of the cosine's way"
    assert not np.array_equal(model.head.binarize.conv1.weight.numpy(), before)


@pytest.mark.parametrize("maps", [shrink_map(), paddle.to_tensor(shrink_map())])
def test_postprocess_takes_what_numpy_reads(maps: Any) -> None:
    postprocess = build_postprocess({"name": "DBPostProcess", "thresh": 0.3, "box_thresh": 0.5, "unclip_ratio": 1.5})
    [found] = postprocess({"maps": maps}, np.array([[192, 96, 0.5, 1.0]], np.float32))
    assert sorted(found) == ["points", "scores"]
    assert np.asarray(found["points"]).shape == (1, 4, 2)
    assert np.abs(found["points"][0] - BAR * [1, 2]).max() <= 4, "in pixels of a source twice as high"
    assert found["scores"] == pytest.approx([0.9], abs=0.01)


def test_metric_counts_until_it_is_reset() -> None:
    metric = build_metric({"name": "DetMetric", "main_indicator": "hmean"})
    found = {"points": BAR[None], "scores": np.array([0.9])}
    missed = {"points": np.zeros((0, 4, 2)), "scores": np.zeros(0)}
    batch = {
        "polys": [BAR[None], np.stack([BAR, BAR + 100])],
        "ignore_tags": [np.array([False]), np.array([False, True])],
    }
    metric.update([found, missed], batch)
    values = metric.compute()
    assert (values["precision"], values["recall"]) == (1.0, 0.5)
    assert values["hmean"] == pytest.approx(2 / 3)
    assert metric.compute() == values
    metric.reset()
    assert metric.compute()["texts"] == 0


def test_dataset_and_loader(tiny: Path, tiny_sections: dict) -> None:
    dataset = build_dataset(tiny_sections["Train"]["dataset"], seed=4, data_root=str(tiny.resolve().parent))
    assert len(dataset) == 6
    loader = build_loader(dataset, {"shuffle": True, "batch_size_per_card": 4}, train=True, seed=4)
    batches = list(loader)
    assert [list(batch["image"].shape) for batch in batches] == [[4, 3, 64, 64], [2, 3, 64, 64]]
    assert sorted(index for batch in batches for index in batch["index"]) == list(range(6))
    loader.batch_sampler.start(0, 1)
    assert [list(batch["index"]) for batch in loader] == [list(batches[1]["index"])]
    Path("data/0.jpg").unlink()
    assert isinstance(dataset[0], BadSample)


def test_transforms_are_one_callable() -> None:
    apply = build_transforms([{"DecodeImage": {"img_mode": "BGR"}}, "ToCHWImage"])
    sample = {"image": cv2.imencode(".png", np.full((4, 6, 3), [1, 2, 3], np.uint8))[1].tobytes()}
    assert apply(sample)["image"][:, 0, 0].tolist() == [1, 2, 3]
    assert isinstance(sample["image"], bytes)


def test_evaluate_with_any_callable(tiny: Path, tiny_sections: dict) -> None:
    """Here one without any network: what is dark enough, made smaller by the rule of the shrink map."""

    def predict(images: paddle.Tensor) -> dict:
        dark = (images.numpy().mean(1) < -1).astype(np.uint8)
        return {
            "maps": np.stack([cv2.erode(each, np.ones((9, 9), np.uint8)) for each in dark])[:, None].astype("float32")
        }

    dataset = build_dataset(tiny_sections["Eval"]["dataset"])
    loader = build_loader(dataset, {"batch_size_per_card": 4}, train=False)
    metric = build_metric({"name": "DetMetric"})
    values = evaluate(predict, loader, build_postprocess({"name": "DBPostProcess"}), metric)
    assert (values["hmean"], values["images"], values["matched"]) == (1.0, 6, 12)
    assert values["fps"] > 0
    Path("data/5.jpg").write_bytes(b"")
    with pytest.raises(DetError) as caught:
        evaluate(predict, loader, build_postprocess({"name": "DBPostProcess"}), metric)
    assert str(caught.value).startswith(
        "data/labels.txt:6: data/5.jpg: cannot be decoded as an image: the file is empty\n"
    )


def test_trainer_from_a_plan_prints_nothing(tiny: Path, capsys: pytest.CaptureFixture) -> None:
    plan = load_plan(tiny, ["Global.epoch_num=2"])
    assert plan.options.epoch_num == 2
    assert load_config(tiny).data["Global"]["epoch_num"] == 1
    best = Trainer(plan).fit()
    assert {"hmean", "step"} <= best.keys()
    assert capsys.readouterr().out == ""
    assert not [each for each in logging.getLogger("ppdet_db").handlers if isinstance(each, logging.FileHandler)]


# -------------------------------------------------------------------------------------------- errors, without file:line


ARCHITECTURE = {"Backbone": {"name": "ResNet_vd", "layers": 18}, "Neck": {"name": "DBFPN"}, "Head": {"name": "DBHead"}}
OPTIMIZER = {"parameters": {}, "epochs": 1, "step_each_epoch": 1}


@pytest.mark.parametrize(
    ("call", "problems"),
    [
        (
            lambda: build_model(ARCHITECTURE | {"Neck": {"name": "DBFPN", "out_chanels": 96}}),
            ["Architecture.Neck.out_chanels: DBFPN has no parameter 'out_chanels'. Did you mean 'out_channels'?"],
        ),
        (
            lambda: build_model({"Backbone": {"name": "ResNet_wd"}, "Head": {"name": "DBHead", "k": "fifty"}}),
            [
                "Architecture.Backbone.name: no backbone named 'ResNet_wd'. Did you mean 'ResNet_vd'?",
                "Architecture: Architecture needs 'Neck'",
                "Architecture.Head.k: must be a number, got 'fifty'",
            ],
        ),
        (
            lambda: build_model(ARCHITECTURE | {"Backbone": {"name": "ResNet_vd", "layers": 20}}),
            ["Architecture.Backbone.layers: must be 18 or 34 or 50 or 101 or 152 or 200, got 20"],
        ),
        (
            lambda: build_model(ARCHITECTURE | {"Neck": {"name": "DBFPN", "in_channels": [1, 2, 3, 4]}}),
            ["Architecture.Neck.in_channels: the program supplies 'in_channels' of DBFPN; remove it here"],
        ),
        (
            lambda: build_model(ARCHITECTURE | {"algorithm": "EAST"}),
            ["Architecture.algorithm: 'EAST' is not supported: this program trains DBNet (DB and DB++)"],
        ),
        (
            lambda: build_loss({"main_loss_type": "DiceLoss"}),
            ["Loss: Loss needs 'name', which says which loss. Known: DBLoss."],
        ),
        (
            lambda: build_loss({"name": "DBLoss", "main_loss_type": "DiceLos"}),
            [
                "Loss.main_loss_type: must be 'DiceLoss' or 'BCELoss' or 'MaskL1Loss' or 'DiceFocalLoss', "
                "got 'DiceLos'. Did you mean 'DiceLoss'?"
            ],
        ),
        (lambda: build_loss(None), ["Loss: must be a mapping (key: value), got null"]),
        (lambda: build_metric("DetMetric"), ["Metric: must be a mapping (key: value), got 'DetMetric'"]),
        (lambda: build_optimizer({"name": "Adam"}, **OPTIMIZER), ["Optimizer: Optimizer needs 'lr'"]),
        (
            lambda: build_optimizer({"name": "Adam", "lr": {"learning_rate": -1.0}}, **OPTIMIZER),
            ["Optimizer.lr: learning_rate must be above 0, got -1.0"],
        ),
        (
            lambda: build_postprocess({"name": "DBPostProcess", "thresh": 2.0}),
            ["PostProcess: thresh must be in [0, 1], got 2.0"],
        ),
        (
            lambda: build_transforms([{"DecodeImage": None}, {"MakeShrinkMap": {"shrink_ratio": 4.0}}]),
            ["transforms.1.MakeShrinkMap: shrink_ratio must be in (0, 1), got 4.0"],
        ),
        (
            lambda: build_transforms({"DecodeImage": None}),
            ["transforms: must be a list of transforms, got {'DecodeImage': None}"],
        ),
        (
            lambda: build_dataset({"name": "SimpleDataSet", "data_dir": "."}),
            ["dataset: SimpleDataSet needs 'label_file_list'"],
        ),
        (
            lambda: build_loader([1], {"batch_size_per_card": "two"}, train=True),
            ["loader.batch_size_per_card: must be an integer, got 'two'"],
        ),
    ],
)
def test_errors(call: Callable, problems: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        call()
    told = [problem for problem in caught.value.problems if "Global.strict" not in problem]
    assert told == problems


def test_data_that_is_not_there() -> None:
    with pytest.raises(DetError) as caught:
        build_dataset({"name": "SimpleDataSet", "data_dir": ".", "label_file_list": ["gone.txt"]}, data_root="/nowhere")
    assert str(caught.value).startswith("/nowhere/gone.txt: the label file cannot be read: No such file or directory")
