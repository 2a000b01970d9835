import copy

import numpy as np
import paddle
import pytest
from paddle import nn

from ppdet_db.errors import ConfigError, DetError
from ppdet_db.modeling.backbones.mobilenet_v3 import MobileNetV3
from ppdet_db.modeling.heads.db_head import DBHead
from ppdet_db.modeling.heads.pf_head_local import PFHeadLocal
from ppdet_db.modeling.model import DetModel
from ppdet_db.modeling.necks.db_fpn import DBFPN
from ppdet_db.modeling.necks.lk_pan import LKPAN
from ppdet_db.modeling.necks.rep_lk_fpn import RepLKFPN
from ppdet_db.modeling.necks.rse_fpn import RSEFPN
from ppdet_db.registry import Spec

BACKBONE = Spec(MobileNetV3, {"model_name": "small", "scale": 0.35, "disable_se": True})
NECK = Spec(DBFPN, {"out_channels": 16})
HEAD = Spec(DBHead)


class Plain(nn.Layer):
    """A backbone of pooling only, with what a test wants wrong about it."""

    def __init__(self, channels: object = (3, 3, 3, 3), strides: tuple = (4, 8, 16, 32)):
        super().__init__()
        if channels is not None:
            self.out_channels = channels
        self.strides = strides

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        return [nn.functional.avg_pool2d(x, s, s) for s in self.strides]


class Neck(nn.Layer):
    """A neck that passes the finest feature on."""

    def __init__(self, in_channels: list[int], out_channels: object = 3, key: str | None = "fused"):
        super().__init__()
        self.out_channels = out_channels
        self.key = key

    def forward(self, features: list[paddle.Tensor]) -> object:
        return features[0] if self.key is None else {self.key: features[0]}


class Head(nn.Layer):
    def __init__(self, in_channels: int, scale: int = 4):
        super().__init__()
        self.scale = scale

    def forward(self, features: dict) -> dict:
        return {"maps": nn.functional.interpolate(features["fused"][:, :1], scale_factor=self.scale)}


class Levels(nn.Layer):
    """A neck with levels for auxiliary maps."""

    def __init__(self, in_channels: list[int], count: int = 3, channels: int = 8, strides: tuple = (4, 8, 16)):
        super().__init__()
        self.out_channels = in_channels[0]
        self.conv = nn.Conv2D(in_channels[0], channels, 1)
        self.count = count
        self.strides = strides

    def forward(self, features: list[paddle.Tensor]) -> dict:
        p2 = self.conv(features[0])
        levels = {f"p{i}": nn.functional.avg_pool2d(p2, s // 4, s // 4) for i, s in enumerate(self.strides, 2)}
        return {"fused": features[0], **dict(list(levels.items())[: self.count])}


def test_channels_are_wired_and_keys_prefixed():
    paddle.seed(0)
    model = DetModel(BACKBONE, NECK, HEAD)
    assert {key.split(".")[0] for key in model.state_dict()} == {"backbone", "neck", "head"}
    assert model.neck.in5_conv.weight.shape == [16, model.backbone.out_channels[3], 1, 1]
    assert model.head.binarize.conv1.weight.shape == [4, 16, 3, 3]

    x = paddle.rand([2, 3, 64, 96])
    assert model(x)["maps"].shape == [2, 3, 64, 96]
    model.eval()
    maps = model(x)["maps"]
    assert maps.shape == [2, 1, 64, 96]
    assert np.array_equal(copy.deepcopy(model)(x)["maps"].numpy(), maps.numpy())


def test_checking_the_contract_leaves_no_trace():
    model = DetModel(BACKBONE, NECK, HEAD)
    assert all(layer.training for layer in model.sublayers(include_self=True))
    assert (model.backbone.conv.bn._mean == 0).all()
    assert (model.backbone.conv.bn._variance == 1).all()


def test_pictures_of_other_channels():
    model = DetModel(Spec(MobileNetV3, {"in_channels": 1, "disable_se": True}), NECK, HEAD)
    assert model(paddle.rand([2, 1, 32, 32]))["maps"].shape == [2, 3, 32, 32]


@pytest.mark.parametrize(
    ("shape", "fault"),
    [
        ([1, 3, 33, 64], "height"),
        ([1, 3, 64, 48], "width"),
        ([1, 64, 64, 3], "ToCHWImage left out"),
        ([3, 64, 64], "no batch"),
    ],
)
def test_pictures_that_the_network_cannot_take(shape, fault):
    model = DetModel(BACKBONE, NECK, HEAD)
    with pytest.raises(DetError) as caught:
        model(paddle.zeros(shape))
    assert str(caught.value) == (
        f"pictures must be (N, C, H, W) with H and W multiples of 32, got {shape}: see the crop's size in training, "
        "DetResizeForTest in evaluation, and ToCHWImage for the order"
    ), fault


LIST = "must set out_channels, a list of 4 positive ints; it has"
FEATURES = "must return a list of features at strides 4, 8, 16, 32"


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ({"backbone": Spec(Plain, {"channels": None})}, f"Plain {LIST} None"),
        ({"backbone": Spec(Plain, {"channels": [3, 3, 3]})}, f"Plain {LIST} [3, 3, 3]"),
        ({"backbone": Spec(Plain, {"channels": [3, 3, 3, 3.0]})}, f"Plain {LIST} [3, 3, 3, 3.0]"),
        ({"backbone": Spec(Plain, {"channels": [3, 3, 3, 0]})}, f"Plain {LIST} [3, 3, 3, 0]"),
        ({"backbone": Spec(Plain, {"channels": 3}, "a.yml:4: Backbone")}, f"a.yml:4: Backbone: Plain {LIST} 3"),
        (
            {"backbone": Spec(Plain, {"channels": [3, 3, 3, 6]})},
            f"Plain {FEATURES}, here of shape [[1, 3, 8, 16], [1, 3, 4, 8], [1, 3, 2, 4], [1, 6, 1, 2]]; "
            "it returned [[1, 3, 8, 16], [1, 3, 4, 8], [1, 3, 2, 4], [1, 3, 1, 2]]",
        ),
        (
            {"backbone": Spec(Plain, {"strides": (2, 4, 8, 16)})},
            f"Plain {FEATURES}, here of shape [[1, 3, 8, 16], [1, 3, 4, 8], [1, 3, 2, 4], [1, 3, 1, 2]]; "
            "it returned [[1, 3, 16, 32], [1, 3, 8, 16], [1, 3, 4, 8], [1, 3, 2, 4]]",
        ),
        ({"neck": Spec(Neck, {"out_channels": None})}, "Neck must set out_channels, a positive int; it has None"),
        ({"neck": Spec(Neck, {"out_channels": [3]})}, "Neck must set out_channels, a positive int; it has [3]"),
        ({"neck": Spec(Neck, {"key": None})}, "Neck must return a dict with 'fused' at stride 4"),
        ({"neck": Spec(Neck, {"key": "out"})}, "Neck must return a dict with 'fused' at stride 4"),
        (
            {"neck": Spec(Neck, {"out_channels": 5})},
            "Neck must return a dict with 'fused' at stride 4, here of shape [[1, 5, 8, 16]]; "
            "it returned [[1, 3, 8, 16]]",
        ),
        (
            {"head": Spec(Head, {"scale": 2})},
            "Head must return a dict with 'maps' at full size, here of shape [[1, 1, 32, 64]]; "
            "it returned [[1, 1, 16, 32]]",
        ),
    ],
)
def test_part_that_breaks_the_contract_is_named(specs, message):
    good = {"backbone": Spec(Plain), "neck": Spec(Neck), "head": Spec(Head)}
    DetModel(**good)
    with pytest.raises(ConfigError) as caught:
        DetModel(**{**good, **specs})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("neck", "head", "given"),
    [
        (NECK, HEAD, "levels"),
        (Spec(RSEFPN, {"out_channels": 16}), HEAD, "levels"),
        (Spec(RepLKFPN, {"out_channels": 16}), Spec(DBHead, {"aux_in_channels": 16}), "levels"),
        (Spec(LKPAN, {"out_channels": 16}), Spec(PFHeadLocal), "levels"),
        (Spec(DBFPN, {"out_channels": 16, "use_asf": True}), HEAD, "fused"),
        (Spec(Neck, {"out_channels": 8}), HEAD, "fused"),
        (NECK, Spec(Head), "fused"),
    ],
    ids=["DBFPN", "RSEFPN", "RepLKFPN", "LKPAN", "adaptive scale fusion", "a user's neck", "a user's head"],
)
def test_levels_before_their_concatenation_make_the_same_maps(neck, head, given):
    paddle.seed(0)
    model = DetModel(BACKBONE, neck, head)
    features = model.backbone(paddle.rand([2, 3, 64, 96]))
    outputs = model.neck(features)
    assert ("levels" in outputs) == (given == "levels")
    assert ("fused" in outputs) == (given == "fused")
    if given == "levels":
        maps = model.head(outputs)
        model.neck.gives_levels = False
        for name, plain in model.head(model.neck(features)).items():
            np.testing.assert_allclose(maps[name].numpy(), plain.numpy(), atol=1e-4, err_msg=name)
        model.neck.gives_levels = True
    model.eval()
    assert "levels" not in model.neck(features)


def test_head_gets_the_levels_for_its_auxiliary_maps():
    paddle.seed(0)
    model = DetModel(BACKBONE, Spec(Levels), Spec(DBHead, {"aux_in_channels": 8}))
    outputs = model(paddle.rand([2, 3, 64, 96]))
    assert set(outputs) == {"maps", "aux_maps_p2", "aux_maps_p3", "aux_maps_p4"}
    assert all(value.shape == [2, 3, 64, 96] for value in outputs.values())
    assert len({value.mean().item() for value in outputs.values()}) == 4
    model.eval()
    assert list(model(paddle.rand([2, 3, 64, 96]))) == ["maps"]


AUX = "makes auxiliary maps (aux_in_channels) of the neck's 'p2', 'p3' and 'p4', which"


@pytest.mark.parametrize(
    ("neck", "message"),
    [
        (NECK, f"a.yml:9: Head: DBHead {AUX} DBFPN does not give; RepLKFPN, RepLKPAN and LKPAN do"),
        (
            Spec(Levels, {"count": 2}),
            f"a.yml:9: Head: DBHead {AUX} Levels does not give; RepLKFPN, RepLKPAN and LKPAN do",
        ),
        (
            Spec(Levels, {"channels": 12}),
            "a.yml:9: Head: DBHead: aux_in_channels must be 12, the channels of 'p2', 'p3' and 'p4', got 8",
        ),
        (
            Spec(Levels, {"strides": (4, 8, 8)}),
            "Levels must return 'p2', 'p3', 'p4' at strides 4, 8, 16, here of shape "
            "[[1, 8, 8, 16], [1, 8, 4, 8], [1, 8, 2, 4]]; it returned [[1, 8, 8, 16], [1, 8, 4, 8], [1, 8, 4, 8]]",
        ),
    ],
)
def test_neck_without_the_levels_for_auxiliary_maps_is_refused(neck, message):
    with pytest.raises(ConfigError) as caught:
        DetModel(BACKBONE, neck, Spec(DBHead, {"aux_in_channels": 8}, "a.yml:9: Head"))
    assert str(caught.value) == message
