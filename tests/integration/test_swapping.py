"""In a copied YAML one line swaps a component, and it trains with no other edit."""

from pathlib import Path

import pytest

from ppdet_db.cli.train import main as train
from ppdet_db.data.transforms import CopyPaste
from ppdet_db.engine import load_plan
from ppdet_db.modeling.backbones.mobilenet_v3 import MobileNetV3

SWAPS = {
    "ResNet_vd": ("{ name: MobileNetV3, model_name: small, scale: 0.35 }", "{ name: ResNet_vd, layers: 18 }"),
    "MobileNetV3 large": ("model_name: small", "model_name: large"),
    "DBNet++": ("out_channels: 24 }", "out_channels: 24, use_asf: true }"),
    "BCELoss": ("DiceLoss", "BCELoss"),
    "poly": ("box_type: quad", "box_type: poly"),
    "no CopyPaste": ("      - CopyPaste:\n", ""),
    "Momentum": ("name: Adam", "name: Momentum"),
    "Cosine": ("lr: { learning_rate", "lr: { name: Cosine, learning_rate"),
}


@pytest.mark.parametrize("swap", SWAPS)
def test_one_line(swap: str, tiny: Path) -> None:
    old, new = SWAPS[swap]
    copy = Path("copy.yml")
    copy.write_text(tiny.read_text().replace(old, new))
    assert copy.read_text().count("\n") - tiny.read_text().count("\n") in (0, -1)
    assert copy.read_text() != tiny.read_text()
    assert train(["-c", str(copy)]) == 0
    assert Path("output/best_accuracy/model.safetensors").exists()


def test_the_original(tiny: Path) -> None:
    """What the swaps start from, so that each of them read backwards is a swap as well."""
    plan = load_plan(tiny)
    assert plan.architecture.backbone.cls is MobileNetV3
    assert CopyPaste in [spec.cls for spec in plan.train.dataset.transforms]
    assert plan.loss.kwargs["main_loss_type"] == "DiceLoss"
    assert train(["-c", str(tiny)]) == 0
