"""What every backbone owes the neck, whatever its family."""

import importlib
import pkgutil

import paddle
import pytest

from ppdet_db.modeling import backbones
from ppdet_db.registry import BACKBONES

for module in pkgutil.iter_modules(backbones.__path__, backbones.__name__ + "."):
    importlib.import_module(module.name)

ARGUMENTS = {  # of each backbone: the variants that differ in structure, small ones where there is a choice
    "ResNet": [{"layers": 18}, {"layers": 50, "dcn_stage": [False, True, True, True]}],
    "ResNet_vd": [{"layers": 18}, {"layers": 50}, {"layers": 50, "dcn_stage": [True, False, False, True]}],
    "MobileNetV3": [
        {"scale": 0.35},
        {"scale": 1.25, "disable_se": True},
        {"model_name": "small", "scale": 0.75},
        {"model_name": "small", "disable_se": True},
    ],
    "PPHGNet_small": [{}],
    "PPHGNetV2_B4": [{}],
    "PPLCNet": [{"scale": 0.35}, {"scale": 1.0}],
    "PPLCNetV3": [{"scale": 0.35}, {"scale": 0.75, "conv_kxk_num": 1}],
    "PPLCNetV4": [{"model_size": "tiny"}],
    "RepSVTR_det": [{}],
}
UNUSED = {  # published files have them: the weights of a classifier, and of activations behind strides of 2
    "PPHGNetV2_B4": ["last_conv.weight"],
    "PPLCNetV3": [f"blocks{i}.0.dw_conv.act.lab.{name}" for i in (3, 4, 5, 6) for name in ("scale", "bias")],
}
OURS = [name for name in BACKBONES.names() if BACKBONES.get(name).__module__.startswith("ppdet_db.")]


def test_table_names_every_backbone():
    assert sorted(ARGUMENTS) == OURS


@pytest.mark.parametrize(("name", "kwargs"), [(name, kwargs) for name in ARGUMENTS for kwargs in ARGUMENTS[name]])
def test_backbone_outputs_the_channels_it_reports_at_strides_4_to_32(name, kwargs):
    backbone = BACKBONES.get(name)(**kwargs)
    features = backbone(paddle.rand([2, 3, 64, 96]))
    assert [f.shape for f in features] == [
        [2, c, 64 // stride, 96 // stride] for c, stride in zip(backbone.out_channels, (4, 8, 16, 32), strict=True)
    ]


@pytest.mark.parametrize("name", ARGUMENTS)
def test_backbone_takes_pictures_of_other_channels(name):
    backbone = BACKBONES.get(name)(in_channels=1, **ARGUMENTS[name][0])
    assert len(backbone(paddle.rand([2, 1, 32, 32]))) == 4


@pytest.mark.parametrize("name", ARGUMENTS)
def test_every_trained_weight_gets_a_gradient(name):
    """A block that is built but not used, or cut off from the features, would stay at its random start."""
    backbone = BACKBONES.get(name)(**ARGUMENTS[name][0])
    sum(f.square().mean() for f in backbone(paddle.rand([2, 3, 64, 64]))).backward()
    assert [n for n, p in backbone.named_parameters() if p.trainable and p.grad is None] == UNUSED.get(name, [])
