"""A data set of six small pictures and a config that trains on it in a second, in a folder of its own."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

MEAN_STD = "mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]"
TINY = f"""\
Global:
  epoch_num: 1
  print_batch_step: 1
  save_model_dir: output
  save_res_path: found/result.txt
Architecture:
  Backbone: {{ name: MobileNetV3, model_name: small, scale: 0.35 }}
  Neck: {{ name: DBFPN, out_channels: 24 }}
  Head: {{ name: DBHead }}
Loss: {{ name: DBLoss, main_loss_type: DiceLoss }}
Optimizer:
  name: Adam
  lr: {{ learning_rate: 0.001 }}
PostProcess: {{ name: DBPostProcess, box_type: quad }}
Metric: {{ name: DetMetric }}
Train:
  dataset:
    name: SimpleDataSet
    data_dir: data
    label_file_list: [data/labels.txt]
    transforms:
      - DecodeImage: {{ img_mode: BGR }}
      - DetLabelEncode:
      - CopyPaste:
      - EastRandomCropData: {{ size: [64, 64] }}
      - MakeShrinkMap: {{ min_text_size: 4 }}
      - MakeBorderMap:
      - NormalizeImage: {{ scale: 1./255., {MEAN_STD}, order: hwc }}
      - ToCHWImage:
      - KeepKeys: {{ keep_keys: [image, threshold_map, threshold_mask, shrink_map, shrink_mask] }}
  loader: {{ shuffle: true, batch_size_per_card: 3, num_workers: 0 }}
Eval:
  dataset:
    name: SimpleDataSet
    data_dir: data
    label_file_list: [data/labels.txt]
    transforms:
      - DecodeImage: {{ img_mode: BGR }}
      - DetLabelEncode:
      - DetResizeForTest: {{ image_shape: [64, 96] }}
      - NormalizeImage: {{ scale: 1./255., {MEAN_STD}, order: hwc }}
      - ToCHWImage:
      - KeepKeys: {{ keep_keys: [image, shape, polys, ignore_tags] }}
  loader: {{ batch_size_per_card: 1, num_workers: 0 }}
"""


@pytest.fixture(scope="session")
def make_data() -> Callable[..., None]:
    """`make_data(folder)`: `folder/0.jpg` ... `5.jpg`, 96 x 64, two bars as texts each, and `labels.txt`."""

    def make(folder: Path, label_file: str = "labels.txt", pictures: int = 6) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        lines = []
        for i in range(pictures):
            picture = np.full((64, 96, 3), 200, np.uint8)
            texts = []
            for top, word in ((8, "one"), (38, "two")):
                x0, y0, x1, y1 = 6 + i, top, 70 + i, top + 14
                picture[y0:y1, x0:x1] = 40
                texts.append({"transcription": word, "points": [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]})
            cv2.imwrite(str(folder / f"{i}.jpg"), picture)
            lines.append(f"{i}.jpg\t{json.dumps(texts)}\n")
        (folder / label_file).write_text("".join(lines))

    return make


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_data: Callable[[Path], None]) -> Path:
    """`tiny.yml`, in the current folder beside `data/`: train with it, or edit it first."""
    monkeypatch.chdir(tmp_path)
    make_data(Path("data"))
    Path("tiny.yml").write_text(TINY)
    return Path("tiny.yml")


@pytest.fixture
def tiny_sections() -> dict:
    """The same config as plain data."""
    return yaml.safe_load(TINY)
