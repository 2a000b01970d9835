"""Pictures -> polygons: the transforms, network and postprocess of a config on files of one's own."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle

from ppdet_db.config import Plan
from ppdet_db.engine import build, checkpoint
from ppdet_db.engine.evaluate import predict_with
from ppdet_db.engine.log import logger
from ppdet_db.errors import DetError, SampleError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


def load_trained(plan: Plan) -> paddle.nn.Layer:
    """The network of a plan with the weights of `Global.checkpoints`, or else of `Global.pretrained_model`.

    Raises:
        DetError: neither is set, or they are of another architecture.
    """
    weights = plan.options.checkpoints or plan.options.pretrained_model
    if not weights:
        raise DetError("no weights given: set -o Global.checkpoints=FOLDER, such as output/run/best_accuracy")
    build.choose_device(plan.options.use_gpu)
    model = build.build_model(plan.architecture)
    logger.info("weights: %s", checkpoint.load_weights(model, weights, strict=True))
    model.eval()
    return model


class Detector:
    """Finds text in pictures, prepared by the evaluation transforms of a plan that need no label.

    Args:
        plan: from `load_plan`.
        model: with its weights loaded.
    """

    def __init__(self, plan: Plan, model: paddle.nn.Layer):
        specs = [spec for spec in plan.eval.dataset.transforms if not _needs_label(spec.cls)]
        self.transforms: list[Callable[[dict], dict]] = [spec.build() for spec in specs]
        self.postprocess = build.build_postprocess(plan.postprocess)
        self.predict = predict_with(model)

    def __call__(self, encoded: bytes) -> tuple[np.ndarray, dict]:
        """An encoded picture -> (picture (H, W, 3) BGR, {"points", "scores"}), points in its pixels.

        Raises:
            SampleError: the bytes are no picture.
        """
        sample: dict[str, Any] = {"image": encoded, "rng": np.random.default_rng(0), "epoch": 0}
        picture = None
        for transform in self.transforms:
            sample = transform(sample)
            if picture is None:
                picture = sample["image"]
                if getattr(transform, "img_mode", "BGR") == "RGB":
                    picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        maps = self.predict(paddle.to_tensor(sample["image"][None]))
        return picture, self.postprocess(maps, sample["shape"][None])[0]


def _needs_label(transform: type) -> bool:
    """Whether a transform works on the label (or, like KeepKeys, ends a labelled sample)."""
    needs = getattr(transform, "needs", ())
    return bool({"label", "polys", "ignore_tags"} & set(needs)) or transform.__name__ == "KeepKeys"


def pictures_of(path: str) -> list[Path]:
    """A picture, a folder's pictures sorted by name, or those that a .txt file lists, one a line.

    Raises:
        DetError: there is nothing of the kind.
    """
    given = Path(path)
    if given.is_dir():
        found = sorted(file for file in given.iterdir() if file.suffix.lower() in SUFFIXES)
    elif given.suffix.lower() == ".txt" and given.is_file():
        lines = given.read_text(encoding="utf-8-sig").splitlines()
        found = [Path(line.strip()) for line in lines if line.strip()]
    elif given.is_file():
        found = [given]
    else:
        raise DetError(f"{path}: no such file or folder. Set Global.infer_img to a picture, a folder or a .txt list.")
    if not found:
        raise DetError(f"{path}: holds no picture ({', '.join(SUFFIXES)})")
    return found


def detect_files(detector: Detector, files: list[Path]) -> Iterator[tuple[Path, np.ndarray | None, dict | str]]:
    """(file, picture, result) of each; (file, None, reason) for one that cannot be read."""
    for file in files:
        try:
            picture, found = detector(file.read_bytes())
            yield file, picture, found
        except (SampleError, OSError) as error:
            yield file, None, str(error)


def result_line(file: Path, found: dict) -> str:
    """PaddleOCR's result file: `picture<TAB>[{"transcription": "", "points": [[x, y], ...], "score": s}, ...]`."""
    entries = [
        {"transcription": "", "points": np.asarray(points).tolist(), "score": round(float(score), 4)}
        for points, score in zip(found["points"], found["scores"], strict=True)
    ]
    return f"{file}\t{json.dumps(entries)}"


def draw(picture: np.ndarray, points: Any, color: tuple[int, int, int] = (0, 0, 255)) -> np.ndarray:
    """A copy of a BGR picture with outlined polygons."""
    drawn = picture.copy()
    width = max(1, round(max(picture.shape[:2]) / 600))
    for polygon in points:
        outline = np.round(np.asarray(polygon)).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(drawn, [outline], True, color, width, cv2.LINE_AA)
    return drawn
