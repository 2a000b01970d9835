"""Every transform of PaddleOCR's own DB configs: it is there, takes every parameter that a file gives, and runs."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from ppdet_db.config.annotations import fits
from ppdet_db.engine.build import build_transforms
from ppdet_db.registry import TRANSFORMS

FAMILY = ("DB", "DB++")
OTHER_FAMILIES = {"EAST", "SAST", "PSE", "FCE", "CT", "DRRG", "Distillation"}
MAPS = ("shrink_map", "shrink_mask", "threshold_map", "threshold_mask")


@pytest.fixture(scope="module")
def files(shared: Path) -> dict[str, dict]:
    """Every official file: its path below the folder -> its content."""
    folder = shared / "paddleocr_configs"
    return {str(path.relative_to(folder)): yaml.safe_load(path.read_text()) for path in sorted(folder.rglob("*.yml"))}


def is_of_the_family(content: dict) -> bool:
    return content["Architecture"]["algorithm"] in FAMILY


@pytest.fixture(scope="module")
def lists(files: dict[str, dict]) -> dict[str, list]:
    """The lists of transforms of the DB family, each once: as JSON -> as it is."""
    found = {}
    for content in files.values():
        sections = [content.get(name) for name in ("Train", "Eval")] if is_of_the_family(content) else []
        for section in filter(None, sections):  # one file is an excerpt
            transforms = section["dataset"]["transforms"]
            found[json.dumps(transforms)] = transforms
    return found


def test_each_file_is_of_a_known_family(files):
    algorithms = {content["Architecture"]["algorithm"] for content in files.values()}
    assert algorithms == {*FAMILY, *OTHER_FAMILIES}


def test_every_entry_fits_a_transform(lists):
    names = set()
    for transforms in lists.values():
        for entry in transforms:
            ((name, arguments),) = entry.items()
            cls = TRANSFORMS.get(name)
            for key, value in (arguments or {}).items():
                annotation = cls.__init__.__annotations__[key]
                assert fits(value, annotation), f"{name}.{key}: {value}"
            cls(**(arguments or {}))
            names.add(name)
    assert {"RandomCrop", "RandomPerspective", "CopyPaste", "ColorJitter", "EastRandomCropData"} < names


def encoded_sample(seed: int = 0) -> dict:
    """A picture with two texts, as the dataset gives it."""
    pixels = np.full((400, 600, 3), 200, np.uint8)
    pixels[100:140, 50:350] = 40
    pixels[250:300, 300:550] = 90
    entries = [
        {"transcription": "one", "points": [[50, 100], [349, 100], [349, 139], [50, 139]]},
        {"transcription": "two", "points": [[300, 250], [549, 250], [549, 299], [300, 299]]},
    ]
    return {
        "img_path": "a.png", "line": "labels.txt:1", "index": 0, "epoch": 1, "label": json.dumps(entries),
        "image": cv2.imencode(".png", pixels)[1].tobytes(), "rng": np.random.default_rng(seed),
    }  # fmt: skip


def test_every_list_runs(lists):
    """As it is written, on one picture: crops come out at their size, and both maps have text."""
    decode = build_transforms([{"DecodeImage": {"img_mode": "BGR"}}, {"DetLabelEncode": None}])
    for transforms in lists.values():
        sample = {**encoded_sample(), "ext_data": [decode(encoded_sample(1))]}
        sample = build_transforms(transforms)(sample)
        crops = [arguments for entry in transforms for name, arguments in entry.items() if "Crop" in name]
        assert sample["image"].dtype == np.float32
        assert np.isfinite(sample["image"]).all()
        if crops:
            width, height = crops[0]["size"]
            assert sample["image"].shape == (3, height, width)
            assert all(sample[key].shape == (height, width) for key in MAPS)
            assert sample["threshold_map"].max() > 0.6
        else:
            assert all(side % 32 == 0 for side in sample["image"].shape[1:])
            assert sample["shape"][:2].tolist() == [400, 600]
