"""A whole training sample, from the bytes of a 1280 x 720 JPEG to the arrays of a batch: `training_sample.py`.

The transforms are those of PaddleOCR's det_r50_vd_db.yml, its own and ours, with equal parameters. One call makes 32
samples, since a sample may be a part of the picture or all of it, and so takes more time or less. Ours are what a
worker makes: picture and maps of 0 and 1 are bytes, which the main process makes float32.

The last case has this as well, and the way between: from a file to the float32 tensors of a batch. One worker makes 128
samples in batches of 8 and sends them through shared memory; counted is the time of both processes, with the start of
the worker.
"""

import atexit
import json
import math
import random
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from alternate import Case, compare

SAMPLES, BATCH, EPOCH = 32, 8, 128
TRANSFORMS: list[dict] = [
    {"DecodeImage": {"img_mode": "BGR", "channel_first": False}},
    {"DetLabelEncode": None},
    {
        "IaaAugment": {
            "augmenter_args": [
                {"type": "Fliplr", "args": {"p": 0.5}},
                {"type": "Affine", "args": {"rotate": [-10, 10]}},
                {"type": "Resize", "args": {"size": [0.5, 3]}},
            ]
        }
    },
    {"EastRandomCropData": {"size": [640, 640], "max_tries": 50, "keep_ratio": True}},
    {"MakeShrinkMap": {"shrink_ratio": 0.4, "min_text_size": 8}},
    {"MakeBorderMap": {"shrink_ratio": 0.4, "thresh_min": 0.3, "thresh_max": 0.7}},
    {
        "NormalizeImage": {
            "scale": "1./255.", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "order": "hwc",
        }
    },
    {"ToCHWImage": None},
    {"KeepKeys": {"keep_keys": ["image", "threshold_map", "threshold_mask", "shrink_map", "shrink_mask"]}},
]  # fmt: skip

CASES = [
    Case("As in ICDAR 2015: 10 words of about 55 x 22, 6 ignored", {"texts": 10, "size": (55, 22), "ignored": 6}, 5),
    Case("12 quads of about 160 x 45", {"texts": 12, "size": (160, 45)}, 8),
    Case("60 quads of about 100 x 30", {"texts": 60, "size": (100, 30)}, 11),
    Case("60 curved texts of 14 points, about 100 x 30", {"texts": 60, "size": (100, 30), "bend": 0.9}, 15),
    Case("12 quads, 128 samples through a loader with one worker", {"texts": 12, "size": (160, 45), "loader": True}),
]


def picture_and_label(texts: int, size: tuple[int, int], ignored: int = 0, bend: float = 0.0) -> tuple[bytes, str]:
    """A JPEG of soft texture with grey bars for texts, about 90 KB as ICDAR 2015's, and its label.

    Args:
        bend: angle in radians over which a text is bent; 0 for quads.
    """
    rng = np.random.default_rng(0)
    soft = cv2.resize(rng.integers(40, 200, (18, 32, 3), np.uint8), (1280, 720), interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(rng.normal(0, 16, (720, 1280, 3)).astype(np.float32), (0, 0), 1.2)
    picture = np.clip(soft + fine, 0, 255).astype(np.uint8)
    columns = math.ceil(math.sqrt(texts * 1280 / 720))
    rows = math.ceil(texts / columns)
    entries = []
    for i in range(texts):
        width, height = size * rng.uniform(0.7, 1.3, 2)
        centre = np.array([i % columns + 0.5, i // columns + 0.5]) * (1280 / columns, 720 / rows)
        points = centre + text_outline(width, height, bend, rng.uniform(-0.15, 0.15)) + rng.uniform(-3, 3, 2)
        cv2.fillPoly(picture, [np.rint(points).astype(np.int32)], rng.integers(0, 256, 3).tolist())
        text = "###" if i < ignored else "word"
        entries.append({"transcription": text, "points": np.round(points).astype(int).tolist()})
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 75])[1].tobytes(), json.dumps(entries)


def text_outline(width: float, height: float, bend: float, turn: float) -> np.ndarray:
    """(4, 2), or (14, 2) for a bent text, around (0, 0)."""
    t = np.linspace(-0.5, 0.5, 7 if bend else 2)
    if bend:
        radius = width / bend
        along = np.stack([np.sin(t * bend), 1 - np.cos(t * bend)], axis=1)
        upper = along * (radius + height / 2) * (1, -1) - (0, height / 2)
        lower = along * (radius - height / 2) * (1, -1) + (0, height / 2)
    else:
        upper = np.stack([t * width, np.full(2, -height / 2)], axis=1)
        lower = np.stack([t * width, np.full(2, height / 2)], axis=1)
    c, s = math.cos(turn), math.sin(turn)
    return np.concatenate([upper, lower[::-1]]) @ np.array([[c, s], [-s, c]])


def reader(**case) -> dict:
    """`Train` of a config that reads the picture EPOCH times, from a folder that stays until the process ends."""
    image, label = picture_and_label(**case)
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    Path(folder, "picture.jpg").write_bytes(image)
    Path(folder, "labels.txt").write_text(f"picture.jpg\t{label}\n" * EPOCH)
    files = {"data_dir": folder, "label_file_list": [f"{folder}/labels.txt"]}
    dataset = {"name": "SimpleDataSet", **files, "transforms": TRANSFORMS}
    batches = {"batch_size_per_card": BATCH, "shuffle": True, "drop_last": False}
    return {"dataset": dataset, "loader": {**batches, "num_workers": 1, "use_shared_memory": True}}


def epoch_of(batches: Iterable, images_of) -> dict:
    """Goes through the batches; how many pictures they hold, and the last one's size."""
    count = 0
    for batch in batches:
        images = images_of(batch)
        count += len(images)
    return {"samples": count, "side": images.shape[-1]}


def our_loader(**case):
    from ppdet_db.engine import build_dataset, build_loader

    section = reader(**case)
    loader = build_loader(build_dataset(section["dataset"]), section["loader"], train=True)
    return lambda: epoch_of(loader, lambda batch: batch["image"])


def peer_loader(**case):
    import logging

    import paddle
    from ppocr.data import build_dataloader

    section = reader(**case)
    config = {"Global": {}, "Train": section}
    loader = build_dataloader(config, "Train", paddle.CPUPlace(), logging.getLogger())
    return lambda: epoch_of(loader, lambda batch: batch[0])


def ours(loader: bool = False, **case):
    if loader:
        return our_loader(**case)
    import ppdet_db.data.transforms  # noqa: F401, registers them
    from ppdet_db.data.dataset import DetDataset
    from ppdet_db.data.worker import set_up_worker
    from ppdet_db.registry import TRANSFORMS as REGISTRY

    set_up_worker()  # as each process of a loader does
    image, label = picture_and_label(**case)

    class OnePicture(DetDataset):
        def __len__(self):
            return SAMPLES

        def read(self, epoch, index, rng):
            return {"img_path": "benchmark.jpg", "line": "", "image": image, "label": label}

    steps = [REGISTRY.get(name)(**(arguments or {})) for entry in TRANSFORMS for name, arguments in entry.items()]
    samples = OnePicture(steps)

    def run():
        made = [samples.packed(index) for index in range(SAMPLES)]
        return {"text pixels": sum(float(sample["shrink_map"].planes.sum()) for sample in made) / SAMPLES}

    return run


def peer(loader: bool = False, **case):
    if loader:
        return peer_loader(**case)
    from ppocr.data.imaug import create_operators, transform

    image, label = picture_and_label(**case)
    operators = create_operators(TRANSFORMS, {})

    def run():
        made = []
        for index in range(SAMPLES):
            np.random.seed(index)
            random.seed(index)
            made.append(transform({"img_path": "benchmark.jpg", "image": image, "label": label}, operators))
        return {"text pixels": sum(float(sample[3].sum()) for sample in made) / SAMPLES}

    return run


if __name__ == "__main__":
    sys.exit(compare("A training sample: 32 of 640 x 640 from a 1280 x 720 JPEG", CASES, ours, peer, blocks=5))
