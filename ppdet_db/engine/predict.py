"""Pictures -> polygons: the transforms, network and postprocess of a config on files of one's own."""

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import paddle

from ppdet_db.config import InferencePlan, Plan
from ppdet_db.data.transforms import KeepKeys
from ppdet_db.engine import build
from ppdet_db.engine.evaluate import predict_with
from ppdet_db.engine.pdf import is_page, is_pdf, pages_of, read_page
from ppdet_db.errors import DetError, SampleError
from ppdet_db.registry import Spec

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
FOUND_IN_FOLDERS = (*SUFFIXES, ".pdf")
STAGES = ("decode", "resize", "network", "postprocess")


class Prepared(NamedTuple):
    """A picture on its way through a `Detector`.

    Args:
        picture: (H, W, 3) BGR.
        image: (3, h, w) float32, what the network reads.
        shape: (4,) as in `contract.KEYS`.
    """

    picture: np.ndarray
    image: np.ndarray
    shape: np.ndarray


class Detector:
    """Finds text in pictures, prepared by the evaluation transforms of a plan that need no label.

    `seconds` counts the time of each stage: decode, resize (with all transforms behind decoding), network, postprocess.

    Args:
        plan: from `load_plan` or `load_inference_plan`.
        model: a network with its weights loaded, or any callable (N, 3, H, W) -> {"maps"}, as `open_model` gives.
    """

    def __init__(self, plan: Plan | InferencePlan, model: Callable[[Any], dict]):
        plan = plan.for_inference() if isinstance(plan, Plan) else plan
        self.transforms: list[Callable[[dict], dict]] = [spec.build() for spec in without_label(plan.transforms)]
        self.postprocess = build.build_postprocess(plan.postprocess)
        self.predict = predict_with(model) if isinstance(model, paddle.nn.Layer) else model
        self.seconds = dict.fromkeys(STAGES, 0.0)

    def __call__(self, encoded: bytes, img_path: str = "") -> tuple[np.ndarray, dict]:
        """An encoded picture -> (picture (H, W, 3) BGR, {"points", "scores"}), points in its pixels.

        Raises:
            SampleError: the bytes are no picture.
        """
        prepared = self.prepare(encoded, img_path)
        return prepared.picture, self.find([prepared])[0]

    def prepare(self, encoded: bytes, img_path: str = "") -> Prepared:
        """An encoded picture through the transforms. Raises SampleError where the bytes are no picture."""
        sample: dict[str, Any] = dict.fromkeys(("index", "epoch"), 0)
        sample |= {"img_path": img_path, "line": "", "image": encoded, "rng": np.random.default_rng(0)}
        picture = None
        for transform in self.transforms:
            with self.timed("decode" if picture is None else "resize"):
                sample = transform(sample)
            if picture is None and isinstance(sample["image"], np.ndarray):
                picture = sample["image"]
                if getattr(transform, "img_mode", "BGR") == "RGB":
                    picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        return Prepared(picture, sample["image"], sample["shape"])

    def find(self, pictures: Sequence[Prepared]) -> list[dict]:
        """{"points", "scores"} of each of some pictures whose `image` has one size: they go through together."""
        with self.timed("network"):
            maps = self.predict(np.stack([picture.image for picture in pictures]))
        with self.timed("postprocess"):
            return self.postprocess(maps, np.stack([picture.shape for picture in pictures]))

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Counts the time of what is inside to a stage."""
        start = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - start


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

    A PDF file stands for its pages, `file.pdf#1` and so on.

    Raises:
        DetError: there is nothing of the kind.
    """
    given = Path(path)
    if given.is_dir():
        found = sorted(file for file in given.iterdir() if file.suffix.lower() in FOUND_IN_FOLDERS and file.is_file())
    elif given.suffix.lower() == ".txt" and given.is_file():
        found = [Path(line.strip()) for line in _text(given).splitlines() if line.strip()]
    elif given.is_file() or is_page(given):
        found = [given]
    else:
        raise DetError(f"{path}: no such file or folder. Set Global.infer_img to a picture, a folder or a .txt list.")
    if not found:
        cure = ". Folders inside it are not searched." if given.is_dir() else ""
        raise DetError(f"{path}: holds no picture ({', '.join(FOUND_IN_FOLDERS)}){cure}")
    return [picture for file in found for picture in (pages_of(file) if is_pdf(file) else [file])]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DetError(f"{file}: the list cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DetError(f"{file}: not UTF-8 (byte {error.start}). Save the list of pictures as UTF-8.") from error


def detect_files(
    detector: Detector, files: Iterable[Path], batch_size: int = 1
) -> Iterator[tuple[Path, np.ndarray | None, dict | str]]:
    """(file, picture, result) of each, in order; (file, None, reason) for one that cannot be read.

    Args:
        files: pictures, or pages of PDF files (`file.pdf#3`).
        batch_size: how many may go through the network together. Only pictures that the transforms give one size do,
            so that none is padded: what is found does not depend on the pictures beside it.
    """
    files = iter(files)
    ahead = 1 if batch_size == 1 else 4 * batch_size  # pictures of one size need not follow each other
    while window := list(itertools.islice(files, ahead)):
        read = [_prepared(detector, file) for file in window]
        results: dict[int, dict] = {}
        for group in _of_one_size(read, batch_size):
            results.update(zip(group, detector.find([read[i] for i in group]), strict=True))
        for i, (file, prepared) in enumerate(zip(window, read, strict=True)):
            yield (file, None, prepared) if isinstance(prepared, str) else (file, prepared.picture, results[i])


def _prepared(detector: Detector, file: Path) -> Prepared | str:
    try:
        with detector.timed("decode"):
            encoded = read_page(file) if is_pdf(file) or is_page(file) else file.read_bytes()
        return detector.prepare(encoded, str(file))
    except SampleError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _of_one_size(read: Sequence[Prepared | str], batch_size: int) -> Iterator[list[int]]:
    """Positions of the pictures, in lists of at most `batch_size` that have one size."""
    by_size: dict[tuple[int, ...], list[int]] = {}
    for i, prepared in enumerate(read):
        if not isinstance(prepared, str):
            by_size.setdefault(prepared.image.shape, []).append(i)
    for positions in by_size.values():
        for start in range(0, len(positions), batch_size):
            yield positions[start : start + batch_size]


def speed(detector: Detector, pictures: int) -> str:
    """`12.3 pictures a second; ms a picture: decode 5.1, resize 3.0, ...`: without drawing and writing results."""
    seconds = sum(detector.seconds.values())
    split = ", ".join(f"{stage} {1000 * value / pictures:.1f}" for stage, value in detector.seconds.items())
    return f"{pictures / seconds:.2f} images/s; ms an image: {split}"


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
