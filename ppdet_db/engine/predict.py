"""Pictures -> polygons: the transforms, network and postprocess of a config on files of one's own."""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle

from ppdet_db.config import Plan
from ppdet_db.data.transforms import KeepKeys
from ppdet_db.engine import build, checkpoint
from ppdet_db.engine.evaluate import predict_with
from ppdet_db.engine.log import logger
from ppdet_db.errors import DetError, SampleError
from ppdet_db.registry import Spec

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
        specs = without_label(plan.eval.dataset.transforms)
        self.transforms: list[Callable[[dict], dict]] = [spec.build() for spec in specs]
        self.postprocess = build.build_postprocess(plan.postprocess)
        self.predict = predict_with(model)

    def __call__(self, encoded: bytes, img_path: str = "") -> tuple[np.ndarray, dict]:
        """An encoded picture -> (picture (H, W, 3) BGR, {"points", "scores"}), points in its pixels.

        Raises:
            SampleError: the bytes are no picture.
        """
        sample: dict[str, Any] = dict.fromkeys(("index", "epoch"), 0)
        sample |= {"img_path": img_path, "line": "", "image": encoded, "rng": np.random.default_rng(0)}
        picture = None
        for transform in self.transforms:
            sample = transform(sample)
            if picture is None and isinstance(sample["image"], np.ndarray):
                picture = sample["image"]
                if getattr(transform, "img_mode", "BGR") == "RGB":
                    picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        maps = self.predict(paddle.to_tensor(sample["image"][None]))
        return picture, self.postprocess(maps, sample["shape"][None])[0]


def without_label(specs: Sequence[Spec]) -> list[Spec]:
    """The transforms that find what they need in a sample that has no `label`, but for KeepKeys, which ends one."""
    keys = {"img_path", "line", "index", "epoch", "rng", "image"}
    kept = []
    for spec in specs:
        if spec.cls is not KeepKeys and keys.issuperset(getattr(spec.cls, "needs", ())):
            keys.update(getattr(spec.cls, "gives", ()))
            kept.append(spec)
    return kept


def pictures_of(path: str) -> list[Path]:
    """A picture, a folder's pictures sorted by name, or those that a .txt file lists, one a line.

    Raises:
        DetError: there is nothing of the kind.
    """
    given = Path(path)
    if given.is_dir():
        found = sorted(file for file in given.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    elif given.suffix.lower() == ".txt" and given.is_file():
        found = [Path(line.strip()) for line in _text(given).splitlines() if line.strip()]
    elif given.is_file():
        found = [given]
    else:
        raise DetError(f"{path}: no such file or folder. Set Global.infer_img to a picture, a folder or a .txt list.")
    if not found:
        cure = ". Folders inside it are not searched." if given.is_dir() else ""
        raise DetError(f"{path}: holds no picture ({', '.join(SUFFIXES)}){cure}")
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DetError(f"{file}: the list cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DetError(f"{file}: not UTF-8 (byte {error.start}). Save the list of pictures as UTF-8.") from error


def detect_files(detector: Detector, files: Iterable[Path]) -> Iterator[tuple[Path, np.ndarray | None, dict | str]]:
    """(file, picture, result) of each; (file, None, reason) for one that cannot be read."""
    for file in files:
        try:
            picture, found = detector(file.read_bytes(), str(file))
            yield file, picture, found
        except SampleError as error:
            yield file, None, str(error)
        except OSError as error:
            yield file, None, f"cannot be read: {error.strerror}"


def result_line(file: Path, found: dict) -> str:
    """PaddleOCR's result file: `picture<TAB>[{"transcription": "", "points": [[x, y], ...], "score": s}, ...]`."""
    entries = [
        {"transcription": "", "points": np.asarray(points).tolist(), "score": round(float(score), 4)}
        for points, score in zip(found["points"], found["scores"], strict=True)
    ]
    return f"{file}\t{json.dumps(entries)}"


def drawn_names(files: Sequence[Path]) -> list[str]:
    """The name under which each picture is drawn: its own, with a number where another folder has one of that name."""
    names: dict[str, None] = {}
    for file in files:
        stem, suffix = (file.stem, file.suffix) if file.suffix.lower() in SUFFIXES else (file.name, ".jpg")
        numbered = (f"{stem}_{number}{suffix}" for number in itertools.count(2))
        names[next(name for name in itertools.chain([stem + suffix], numbered) if name not in names)] = None
    return list(names)


def drawn_file(picture: np.ndarray, points: Any, suffix: str) -> bytes:
    """`draw` as an encoded file of the kind that `suffix` (`.jpg`) names."""
    return cv2.imencode(suffix, draw(picture, points))[1].tobytes()


def draw(picture: np.ndarray, points: Any, color: tuple[int, int, int] = (0, 0, 255)) -> np.ndarray:
    """A copy of a BGR picture with outlined polygons."""
    drawn = picture.copy()
    width = max(1, round(max(picture.shape[:2]) / 600))
    for polygon in points:
        outline = np.round(np.asarray(polygon)).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(drawn, [outline], True, color, width, cv2.LINE_AA)
    return drawn
