"""A small set of components in place of the real ones, so that messages here depend on the config layer alone."""

from pathlib import Path
from typing import Literal

import pytest

from ppdet_db import registry
from ppdet_db.registry import Registry


class ResNet_vd:
    def __init__(self, layers: int = 50, dcn_stage: list[bool] | None = None): ...


class MobileNetV3:
    def __init__(self, scale: float = 0.5, disable_se: bool = False): ...


class DBFPN:
    def __init__(self, in_channels: list, out_channels: int = 256, use_asf: bool = False): ...


class DBHead:
    def __init__(self, in_channels: int, k: int = 50, aux_in_channels: int = 0): ...


class DBLoss:
    needs = ("shrink_map", "shrink_mask", "threshold_map", "threshold_mask")

    def __init__(
        self,
        main_loss_type: Literal["DiceLoss", "BCELoss"] = "DiceLoss",
        alpha: float = 5,
        aux_weight_p2: float = 0,
        aux_weight_p3: float = 0,
        aux_weight_p4: float = 0,
    ): ...


class Adam:
    def __init__(
        self, parameters: list, learning_rate: object, regularizer: object = None, beta1: float = 0.9
    ): ...  # fmt: skip


class Momentum:
    def __init__(self, parameters: list, learning_rate: object, regularizer: object = None, momentum: float = 0.9): ...


class Const:
    def __init__(self, epochs: int, step_each_epoch: int, learning_rate: float = 0.001): ...


class Cosine:
    def __init__(self, epochs: int, step_each_epoch: int, learning_rate: float, warmup_epoch: float = 0): ...


class L2:
    def __init__(self, factor: float = 0.0): ...


class DBPostProcess:
    needs = ("shape",)

    def __init__(
        self,
        thresh: float = 0.3,
        box_thresh: float = 0.7,
        unclip_ratio: float = 2.0,
        score_mode: Literal["fast", "slow"] = "fast",
        box_type: Literal["quad", "poly"] = "quad",
    ):
        if not 0 < thresh < 1:
            raise ValueError(f"thresh must be in (0, 1), got {thresh}")


class DetMetric:
    needs = ("polys", "ignore_tags")

    def __init__(self, main_indicator: Literal["hmean", "precision", "recall"] = "hmean"): ...


class SimpleDataSet:
    def __init__(self, transforms: list, data_root: str | None, base_seed: int, data_dir: str = "."): ...


class SyntheticDataSet:
    def __init__(self, transforms: list, data_root: str | None, base_seed: int, count: int = 10): ...


class DecodeImage:
    needs, gives = ("image",), ("image",)

    def __init__(self, img_mode: Literal["BGR", "RGB"] = "BGR"): ...


class DetLabelEncode:
    needs, gives = ("label",), ("polys", "texts", "ignore_tags")


class EastRandomCropData:
    needs = gives = ("image", "polys", "texts", "ignore_tags")

    def __init__(self, size: list[int] = (640, 640), max_tries: int = 10): ...


class RandomCrop(EastRandomCropData): ...


class RandomCropImgMask:
    needs = gives = ("image", "polys")

    def __init__(self, size: list[int], main_key: str, crop_keys: list[str]): ...


class Pad:
    needs = gives = ("image",)

    def __init__(self, size: int | list[int] | None = None, size_div: int = 32): ...


class MakeBorderMap:
    needs, gives = ("image", "polys", "ignore_tags"), ("threshold_map", "threshold_mask")

    def __init__(self, shrink_ratio: float = 0.4, total_epoch: int | None = None): ...


class MakeShrinkMap:
    needs, gives = ("image", "polys", "ignore_tags"), ("shrink_map", "shrink_mask")

    def __init__(self, shrink_ratio: float = 0.4, total_epoch: int | None = None):
        if not 0 < shrink_ratio < 1:
            raise ValueError(f"shrink_ratio must be in (0, 1), got {shrink_ratio}")


class DetResizeForTest:
    needs, gives = ("image",), ("image", "shape")

    def __init__(self, image_shape: list[int] | None = None, limit_side_len: int | None = None): ...


class ToCHWImage:
    needs, gives = ("image",), ("image",)


class KeepKeys:
    needs, gives = (), ()

    def __init__(self, keep_keys: list[str]): ...


class UsersOwn:
    """A transform that declares nothing."""


class NeedsFactor:
    needs, gives = (), ()

    def __init__(self, factor: float, limit: int = None): ...  # noqa: RUF013 (as users write it)


class ReadsPath:
    needs, gives = ("img_path",), ()


class PolygonDataSet:
    """A dataset whose samples come with polygons and no label to read."""

    gives = ("image", "polys", "texts", "ignore_tags")

    def __init__(self, transforms: list, data_root: str | None, base_seed: int): ...


FAKES = {
    "BACKBONES": (ResNet_vd, MobileNetV3),
    "NECKS": (DBFPN,),
    "HEADS": (DBHead,),
    "LOSSES": (DBLoss,),
    "OPTIMIZERS": (Adam, Momentum),
    "SCHEDULES": (Const, Cosine),
    "REGULARIZERS": (L2,),
    "POSTPROCESSES": (DBPostProcess,),
    "METRICS": (DetMetric,),
    "DATASETS": (SimpleDataSet, SyntheticDataSet, PolygonDataSet),
    "TRANSFORMS": (
        DecodeImage,
        DetLabelEncode,
        EastRandomCropData,
        RandomCrop,
        RandomCropImgMask,
        Pad,
        MakeBorderMap,
        MakeShrinkMap,
        DetResizeForTest,
        ToCHWImage,
        KeepKeys,
        UsersOwn,
        NeedsFactor,
        ReadsPath,
    ),
}

BASE = """\
Global:
  epoch_num: &epoch_num 500
  print_batch_step: 5
Architecture:
  model_type: det
  algorithm: DB
  Transform: null
  Backbone: {name: ResNet_vd, layers: 18}
  Neck: {name: DBFPN, out_channels: 256}
  Head: {name: DBHead, k: 50}
Loss: {name: DBLoss, alpha: 5}
Optimizer:
  name: Adam
  beta1: 0.9
  lr: {learning_rate: 1e-3}
  regularizer: {name: L2, factor: 1e-6}
PostProcess:
  name: DBPostProcess
  box_thresh: 0.6
Metric: {name: DetMetric, main_indicator: hmean}
Train:
  dataset:
    name: SimpleDataSet
    data_dir: ./train
    transforms:
      - DecodeImage: {img_mode: BGR}
      - DetLabelEncode:
      - EastRandomCropData: {size: [640, 640]}
      - MakeShrinkMap: {shrink_ratio: 0.4}
      - MakeBorderMap:
          shrink_ratio: 0.4
          total_epoch: *epoch_num
      - ToCHWImage:
      - KeepKeys: {keep_keys: [image, threshold_map, threshold_mask, shrink_map, shrink_mask]}
  loader: {shuffle: true, batch_size_per_card: 8}
Eval:
  dataset:
    name: SimpleDataSet
    transforms:
      - DecodeImage:
      - DetLabelEncode:
      - DetResizeForTest:
      - ToCHWImage:
      - KeepKeys: {keep_keys: [image, shape, polys, ignore_tags]}
  loader: {batch_size_per_card: 1}
"""


@pytest.fixture(autouse=True)
def fake_components(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registries hold the classes of this file for the time of one test."""
    for name, classes in FAKES.items():
        known: Registry = getattr(registry, name)
        monkeypatch.setattr(known, "_classes", {})
        for cls in classes:
            known.register(cls)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, so that messages hold bare file names."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def base() -> str:
    """A complete config without problems or notes."""
    return BASE
