"""Networks against numbers recorded from PaddleOCR: keys, shapes, outputs, gradients, running statistics.

Every record in the folder is compared, so that one added there is covered at once.
"""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import paddle
import pytest

import ppdet_db.components  # noqa: F401
from ppdet_db.contract import BINARY
from ppdet_db.modeling.model import DetModel
from ppdet_db.registry import BACKBONES, HEADS, NECKS, Spec

FOLDER = Path(__file__).resolve().parents[2] / "../shared/parity"
REGISTRIES = {"Backbone": BACKBONES, "Neck": NECKS, "Head": HEADS}


RECORDS = sorted((FOLDER / "models").glob("*.json"))


def specs_of(architecture: dict) -> list[Spec]:
    """Backbone, neck and head of a record."""
    specs = []
    for section, registry in REGISTRIES.items():
        kwargs = dict(architecture[section])
        specs.append(Spec(registry.get(kwargs.pop("name")), kwargs, where=section))
    return specs


@pytest.fixture(scope="session")
def rule(shared):
    """The rule that made inputs and weights of the records."""
    spec = importlib.util.spec_from_file_location("parity_rule", shared / "parity/rule.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_records(shared):
    assert RECORDS


@pytest.mark.parametrize("file", RECORDS, ids=lambda file: file.stem)
def test_network_equals_its_record(file, rule):
    record = json.loads(file.read_text())
    maps = np.load(file.with_suffix(".npz"))
    model = DetModel(*specs_of(record["architecture"]))
    assert_same_parameters(model, record)
    model.set_state_dict({key: rule.value(key, tensor.shape) for key, tensor in model.state_dict().items()})
    x = paddle.to_tensor(rule.x_input())

    assert_same_in_evaluation(model, x, record, maps["eval_maps"])
    assert_same_in_training(model, x, record, maps, rule)


def assert_same_parameters(model: DetModel, record: dict) -> None:
    keys = [[k, t.shape, str(t.dtype).removeprefix("paddle.")] for k, t in model.state_dict().items()]
    assert keys == record["keys"]
    assert sum(p.size for p in model.parameters()) == record["n_params"]
    assert sum(p.size for p in model.parameters() if p.trainable) == record["n_trainable"]


def assert_same_in_evaluation(model: DetModel, x: paddle.Tensor, record: dict, expected: np.ndarray) -> None:
    model.eval()
    with paddle.no_grad():
        features = model.backbone(x)
        fused = model.neck(features)
        maps = model.head(fused)["maps"]
    summaries = [*record["eval_backbone"], record["eval_neck"]]
    for i, (feature, summary) in enumerate(zip([*features, fused["fused"]], summaries, strict=True)):
        place = f"feature {i} of 4, or the neck's output at 4"  # the first that fails holds the layer that differs
        assert feature.shape == summary["shape"], place
        flat = feature.numpy().ravel()
        middle = flat[flat.size // 2 :][:8]
        numbers = [flat.mean(), flat.std(), *flat[:8], *middle]
        recorded = [summary["mean"], summary["std"], *summary["first8"], *summary["mid8"]]
        np.testing.assert_allclose(numbers, recorded, atol=2e-5 * max(1, summary["std"]), rtol=0, err_msg=place)
    # a net whose maps reach 0 and 1 has logits of some hundreds, whose rounding the sigmoid passes on where it is steep
    stats = record["eval_stats"]
    saturates = stats["min"] < 1e-3 and stats["max"] > 1 - 1e-3
    np.testing.assert_allclose(maps.numpy(), expected, atol=1e-4 if saturates else 1e-5, rtol=0)


def tolerances(backbone: dict) -> tuple[float, float]:
    """(absolute of the shrink and threshold map, relative of a gradient's norm) in training.

    Batch statistics of deep nets depend on the order of sums. Each tolerance is about twice what the same net computed
    in float64 differs from its float32 record: so much another machine's kernels may. With the rule's weights offsets
    of deformable convolutions are about a pixel long, and rounding moves taps across the borders of pixels.
    """
    layers = backbone.get("layers", 0)
    if layers >= 50 and any(backbone.get("dcn_stage", ())):
        return 4e-2, 0.5
    if backbone["name"] == "PPHGNetV2_B4":
        return 1e-3, 0.03
    return {50: (1e-3, 0.03), 101: (3e-3, 0.06), 152: (1.5e-2, 0.2), 200: (3e-2, 0.2)}.get(layers, (1e-4, 0.03))


def assert_same_in_training(model: DetModel, x: paddle.Tensor, record: dict, expected: dict, rule) -> None:
    """One step. A value that rounding moves across the kink of a relu switches its gradient: an input changed by 1e-7
    moves the norm of a shallow net's gradient by 1 %.
    """
    atol, gradient_rtol = tolerances(record["architecture"]["Backbone"])
    model.train()
    outputs = model(x)
    maps = outputs["maps"]
    (maps * paddle.to_tensor(rule.coef(maps.shape))).sum().backward()

    assert {name: output.shape for name, output in outputs.items()} == record["train_outputs"]
    for name, output in outputs.items():
        assert_same_maps(name, output.numpy(), expected[f"train_{name}"], atol)

    state = model.state_dict()
    gradients = {key: state[key].grad for key in record["grad_l2"]}
    assert [k for k, g in gradients.items() if g is None] == [k for k, g in record["grad_l2"].items() if g is None]
    norms = {key: norm for key, norm in record["grad_l2"].items() if norm is not None}
    # whatever shifts or scales the input of a batch norm has a gradient of zero but for rounding, in proportion to all
    rounding = max(1e-3, 1e-6 * math.hypot(*norms.values()))
    for key, norm in norms.items():
        assert gradients[key].norm().item() == pytest.approx(norm, rel=gradient_rtol, abs=rounding), key

    for key, (total, norm) in record["bn_after_train"].items():
        assert state[key].sum().item() == pytest.approx(total, abs=3e-4 * norm), key
        assert state[key].norm().item() == pytest.approx(norm, rel=3e-4), key


def assert_same_maps(name: str, maps: np.ndarray, expected: np.ndarray, atol: float) -> None:
    """Channels SHRINK, THRESHOLD, BINARY, or one of PFHeadLocal's maps."""
    binary = slice(0, 1) if name == "cbn_maps" else slice(BINARY, None)
    steep = np.zeros(maps.shape[1], bool)
    steep[binary] = True  # the binary map is 50 / 4 times as steep as the difference of the two that make it
    np.testing.assert_allclose(maps[:, ~steep], expected[:, ~steep], atol=atol, rtol=0, err_msg=name)
    np.testing.assert_allclose(maps[:, steep], expected[:, steep], atol=2 * 50 / 4 * atol, rtol=0, err_msg=name)
