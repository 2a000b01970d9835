"""A config that trains on eight drawn pictures, four steps an epoch, in a second."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from ppdet_db.config import Plan
from ppdet_db.engine import load_plan
from ppdet_db.engine.log import logger

COMMON = "{ scale: 1./255., mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], order: hwc }"
DRAWN = f"""\
Global:
  epoch_num: 2
  print_batch_step: 1
  save_model_dir: run
Architecture:
  Backbone: {{ name: MobileNetV3, model_name: small, scale: 0.35 }}
  Neck: {{ name: DBFPN, out_channels: 24 }}
  Head: {{ name: DBHead }}
Loss: {{ name: DBLoss }}
Optimizer:
  name: Adam
  lr: {{ name: Cosine, learning_rate: 0.001 }}
PostProcess: {{ name: DBPostProcess }}
Metric: {{ name: DetMetric }}
Train:
  dataset:
    name: SyntheticDataSet
    num_samples: 8
    size: [128, 128]
    transforms:
      - DecodeImage:
      - DetLabelEncode:
      - EastRandomCropData: {{ size: [64, 64] }}
      - MakeShrinkMap:
      - MakeBorderMap:
      - NormalizeImage: {COMMON}
      - ToCHWImage:
      - KeepKeys: {{ keep_keys: [image, threshold_map, threshold_mask, shrink_map, shrink_mask] }}
  loader: {{ shuffle: true, batch_size_per_card: 2, num_workers: 0 }}
Eval:
  dataset:
    name: SyntheticDataSet
    seed: 9
    num_samples: 3
    size: [128, 128]
    transforms:
      - DecodeImage:
      - DetLabelEncode:
      - DetResizeForTest: {{ image_shape: [64, 64] }}
      - NormalizeImage: {COMMON}
      - ToCHWImage:
      - KeepKeys: {{ keep_keys: [image, shape, polys, ignore_tags] }}
  loader: {{ batch_size_per_card: 1, num_workers: 0 }}
"""


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`drawn.yml`, in the current folder, which is a new one; its output folder is `run`."""
    monkeypatch.chdir(tmp_path)
    Path("drawn.yml").write_text(DRAWN)
    return Path("drawn.yml")


@pytest.fixture
def plan(drawn: Path) -> Callable[..., Plan]:
    """`plan("Global.epoch_num=3", ...)`: the plan of `drawn.yml` with overrides."""
    return lambda *overrides: load_plan(drawn, overrides)


@pytest.fixture
def sections() -> dict:
    """The same config as plain data."""
    return yaml.safe_load(DRAWN)


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lines
    logger.removeHandler(handler)
