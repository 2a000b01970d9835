"""Whether an exported network does what the trained one does: map against map, box against box."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import paddle

from ppdet_db.config import Plan
from ppdet_db.engine.inference import ONNX_FILES, open_model
from ppdet_db.engine.log import logger
from ppdet_db.engine.predict import Detector, Prepared
from ppdet_db.errors import DetError, SampleError
from ppdet_db.geometry import polygon_iou

MAP_BOUND = 1e-3
"""How far a pixel of the map may be off. Rounding, in other engines and by fusing, makes about 1e-5."""

IOU_BOUND = 0.8
"""Least overlap of a box with its partner: where a pixel lies at `thresh`, rounding moves an edge by one pixel."""

SCORE_BOUND = 1e-2
"""How far a score may be off; so near to `box_thresh`, a box may be found by one engine alone."""

Picture = tuple[str, bytes]
"""Name and encoded file."""


@dataclass
class Comparison:
    """An engine against the training network, over all pictures.

    Args:
        map_difference: the largest of any pixel.
        boxes, expected: how many the engine and the training network found.
        iou: the least of two boxes that belong together.
        score_difference: the largest of these.
        alone: boxes without a partner: picture, finder, corners.
    """

    map_difference: float = 0.0
    boxes: int = 0
    expected: int = 0
    iou: float = 1.0
    score_difference: float = 0.0
    alone: tuple[str, ...] = ()

    def add(self, name: str, engine: str, maps: list[np.ndarray], found: list[dict], box_thresh: float | None) -> None:
        """Another picture: maps and boxes of the training network first, then of the engine."""
        self.map_difference = float(np.maximum(self.map_difference, np.abs(maps[1] - maps[0]).max()))  # NaN stays
        trained, exported = ([*zip(texts["points"], texts["scores"], strict=True)] for texts in found)
        self.expected += len(trained)
        self.boxes += len(exported)
        left = list(range(len(exported)))
        alone = []
        for points, score in trained:
            ious = [polygon_iou(points, exported[i][0]) for i in left]
            if not ious or max(ious) < IOU_BOUND:
                alone.append(("training", points, score))
                continue
            partner = left.pop(int(np.argmax(ious)))
            self.iou = min(self.iou, max(ious))
            self.score_difference = max(self.score_difference, abs(float(score) - float(exported[partner][1])))
        alone += [(engine, *exported[i]) for i in left]
        self.alone += tuple(
            f"{name}: found by {finder} alone: {np.asarray(points).tolist()}, score {score:.4f}"
            for finder, points, score in alone
            if box_thresh is None or abs(score - box_thresh) > SCORE_BOUND
        )

    def faults(self) -> list[str]:
        """A sentence for each bound that is broken."""
        faults = list(self.alone)
        if not self.map_difference <= MAP_BOUND:  # which NaN does not either
            faults.insert(0, f"maps differ by {self.map_difference:.2g}, more than {MAP_BOUND:g}")
        if self.score_difference > SCORE_BOUND:
            faults.append(f"scores differ by {self.score_difference:.2g}, more than {SCORE_BOUND:g}")
        return faults

    def __str__(self) -> str:
        return (
            f"maps differ by {self.map_difference:.1e} at most; {self.boxes} boxes of {self.expected}, "
            f"least IoU {self.iou:.3f}, scores differ by {self.score_difference:.1e} at most"
        )


def verify(plan: Plan, model: paddle.nn.Layer, folder: Path, pictures: Sequence[Picture]) -> None:
    """Compares each engine's model in an exported folder with the network that it was made of, and logs the outcome.

    Both get the picture as the evaluation transforms of the plan make it, and its postprocess finds the boxes.

    Raises:
        DetError: a bound is broken; lists what differs. Or a picture cannot be read.
    """
    engines = {"paddle": open_model(folder, "paddle")}
    if (folder / ONNX_FILES[0]).is_file():
        engines["onnxruntime"] = open_model(folder, "onnxruntime")
    trained = Detector(plan, model)
    comparisons = {engine: Comparison() for engine in engines if pictures}
    for name, data in pictures:
        picture = prepared(trained, name, data)
        images, shape = picture.image[None].astype(np.float32), picture.shape[None]
        expected = trained.predict(images)["maps"].numpy()
        for engine, comparison in comparisons.items():
            maps = [expected, engines[engine](images)["maps"]]
            found = [trained.postprocess({"maps": values}, shape)[0] for values in maps]
            comparison.add(name, engine, maps, found, getattr(trained.postprocess, "box_thresh", None))
    for engine, comparison in comparisons.items():
        logger.info("%s against training on %d pictures: %s", engine, len(pictures), comparison)
    faults = [f"{engine}: {fault}" for engine, comparison in comparisons.items() for fault in comparison.faults()]
    if faults:
        raise DetError("\n".join(["the exported model does not do what the trained network does:", *faults]))


def prepared(detector: Detector, name: str, data: bytes) -> Prepared:
    try:
        return detector.prepare(data, name)
    except SampleError as error:
        raise DetError(f"{name}: {error}") from error


def built_in_picture() -> Picture:
    """A page with lines of several sizes and tilts, 700 x 500."""
    rows, columns = np.mgrid[:500, :700]
    picture = np.stack([200 + rows / 20, 215 + columns / 40, 225 - rows / 50], axis=-1).astype(np.uint8)
    tops = (40, 75, 120, 175, 240, 320, 410)
    for number, top in enumerate(tops):
        size = 0.5 + 0.25 * number
        text = "Text of line 0123456789"[: 23 - 2 * number]
        cv2.putText(
            picture, text, (30, top), cv2.FONT_HERSHEY_SIMPLEX, size, (60, 40, 30), 1 + number // 2, cv2.LINE_AA
        )
    turn = cv2.getRotationMatrix2D((350, 250), 4, 1)
    picture = cv2.warpAffine(picture, turn, (700, 500), borderMode=cv2.BORDER_REPLICATE)
    return "built-in picture", cv2.imencode(".png", picture)[1].tobytes()
