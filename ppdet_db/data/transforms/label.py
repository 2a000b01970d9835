"""The label's JSON -> polygons, texts and which of them do not count."""

import json

import numpy as np

from ppdet_db.data.transforms.deferring import Deferring
from ppdet_db.errors import SampleError
from ppdet_db.registry import TRANSFORMS

IGNORED_TEXTS = ("*", "###")
LARGEST_COORDINATE = 2**24
"""From here on float32 no longer tells neighbouring pixels apart."""


@TRANSFORMS.register
class DetLabelEncode(Deferring):
    """Reads the JSON label: a list of `{"transcription": str, "points": [[x, y], ...]}`, one entry a text.

    Transcription `*` or `###` marks a text that is neither trained on nor counted; an empty one does not. Other keys,
    `difficult` among them, have no effect, as in PaddleOCR. `[]` is a picture without text, a negative like any other.

    Reads:  label, str
    Writes: polys (K, P, 2), float32, pixels, shorter polygons padded by repeating their last point;
            texts, K strings; ignore_tags (K,), bool
    """

    needs = ("label",)
    gives = ("polys", "texts", "ignore_tags")

    def deferred(self, sample: dict) -> dict:
        entries = parse(sample["label"])
        texts = [entry["transcription"] for entry in entries]
        return {
            **sample,
            "polys": stack_polygons([np.asarray(entry["points"], np.float32) for entry in entries]),
            "texts": texts,
            "ignore_tags": np.array([text in IGNORED_TEXTS for text in texts], bool),
        }


def stack_polygons(polygons: list[np.ndarray]) -> np.ndarray:
    """Polygons (P_i, 2) -> (K, P, 2) float32, padded by repeating the last point; (0, 4, 2) when there are none."""
    longest = max((len(polygon) for polygon in polygons), default=4)
    stacked = np.empty((len(polygons), longest, 2), np.float32)
    for row, polygon in zip(stacked, polygons, strict=True):
        row[: len(polygon)] = polygon
        row[len(polygon) :] = polygon[-1]
    return stacked


def parse(label: str) -> list[dict]:
    """The checked entries. Raises SampleError that names the entry, counted from 1, and what is wrong with it."""
    try:
        entries = json.loads(label)
    except json.JSONDecodeError as error:
        place = f"column {error.colno} of the label" if error.lineno == 1 else f"line {error.lineno} of the label"
        raise SampleError(
            f"broken JSON at {place}: {error.msg}, near {label[max(error.pos - 10, 0) :][:25]!r}"
        ) from error
    if not isinstance(entries, list):
        raise SampleError(f"the label must be a JSON list of texts, got {describe(entries)}")
    for number, entry in enumerate(entries, 1):
        fault = fault_of(entry)
        if fault:
            raise SampleError(f"text {number} of {len(entries)}: {fault}")
    return entries


def fault_of(entry: object) -> str:
    """What is wrong with one text of the label, or the empty string."""
    if not isinstance(entry, dict):
        return f'must be {{"transcription": ..., "points": ...}}, got {describe(entry)}'
    missing = [key for key in ("transcription", "points") if key not in entry]
    if missing:
        return f"has no '{missing[0]}'"
    if not isinstance(entry["transcription"], str):
        return f"transcription must be a string, got {describe(entry['transcription'])}"
    points = entry["points"]
    if not isinstance(points, list):
        return f"points must be a list of [x, y], got {describe(points)}"
    if not are_points(points):
        position = next(i for i, point in enumerate(points) if not are_points([point]))
        return f"point {position + 1} must be [x, y] with two finite numbers, got {describe(points[position])}"
    if len(points) < 3:
        return f"a polygon needs at least 3 points, got {len(points)}"
    return ""


def are_points(values: list) -> bool:
    """Whether each is [x, y], both of sensible size: JSON's `NaN` and `Infinity`, which Python reads, are not.

    Looks at all points together, for pictures can have thousands.
    """
    if not ({type(value) for value in values} <= {list} and {len(value) for value in values} <= {2}):
        return False
    numbers = [number for point in values for number in point]
    return {type(number) for number in numbers} <= {int, float} and all(
        abs(number) < LARGEST_COORDINATE for number in numbers
    )


def describe(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}..."
