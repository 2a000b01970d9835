"""A random crop at the picture's own scale, which may cut texts: what PP-OCRv6 trains on."""

import numpy as np

from ppdet_db.data.transforms.crop import SizedCrop, overlaps
from ppdet_db.data.transforms.deferring import picture_of
from ppdet_db.data.transforms.label import stack_polygons
from ppdet_db.geometry import clip_polygon, min_area_quad, polygon_area
from ppdet_db.registry import TRANSFORMS

LEAST_AREA = 120
"""Square pixels of the uncropped picture that must be left of a text that is cut."""
LEAST_HEIGHT = 0.5
"""Part of its shorter side that must be left."""


@TRANSFORMS.register
class RandomCrop(SizedCrop):
    """Cuts a random rectangle, scales it down to `size` where it is larger, and puts it at a random place on black.

    Width and height are drawn each on its own, from `min_crop_side_ratio` of the picture's (or `size`, if that is
    less) to `largest_side` times `size`, at most the whole picture. A smaller crop is not scaled up, so letters keep
    their size. A crop is taken when it holds a text; after `max_tries` failures the whole picture is the crop. A
    picture without text is cropped at random: a negative.

    A text across an edge is cut there exactly: it goes on as the part inside, as several texts where it falls into
    several parts. A part counts when at least 120 square pixels and half of the text's shorter side are left;
    otherwise it is marked ignored, so that the loss does not look at half letters. Ignored texts are cut and stay
    ignored.

    The polygons stay on their pixels, which cover half a pixel around their centres, as in `EastRandomCropData`.

    PaddleOCR makes every cut text a quadrangle, which leaves curved ones, takes what is too small of a text for
    background, and does not crop pictures without text.

    Reads:  image (H, W, 3); polys (K, P, 2), pixels; texts; ignore_tags (K,)
    Writes: image (size[1], size[0], 3), polys, texts, ignore_tags; fewer texts, or more where some fall into parts

    Args:
        size: [w, h] of the result.
        max_tries: how many crops are tried.
        min_crop_side_ratio: smallest side of a crop, as a part of the picture's.
        keep_ratio: whether one scale, at most 1, serves both axes; otherwise the crop is stretched to `size`.
        largest_side: a crop's side is at most so many times that of the result, at least 1. With 1, and
            `min_crop_side_ratio` 1, every crop is `size` itself and no letter changes its size: for fine-tuning at
            the scale of evaluation. (3 in PaddleOCR.)
    """

    largest_scale = 1

    def __init__(
        self,
        size: tuple[int, int] = (640, 640),
        max_tries: int = 10,
        min_crop_side_ratio: float = 0.1,
        keep_ratio: bool = True,
        largest_side: float = 3,
    ):
        super().__init__(size, max_tries, min_crop_side_ratio, keep_ratio)
        if largest_side < 1:
            raise ValueError(f"largest_side must be at least 1, got {largest_side}")
        self.largest_side = largest_side

    def deferred(self, sample: dict) -> dict:
        picture, rng = picture_of(sample), sample["rng"]
        low, high = self.choose(picture.shape, sample["polys"][~sample["ignore_tags"]], rng)
        target = self.target(high - low)
        place = rng.integers(self.size - target + 1)
        polygons, texts, ignore_tags = cut(sample, low, high)
        scale = target / (high - low)
        return {
            **sample,
            "image": picture.cropped(low, high, target, place, self.size),
            "polys": ((polygons - low + 0.5) * scale - 0.5 + place).astype(np.float32),
            "texts": texts,
            "ignore_tags": ignore_tags,
        }

    def choose(self, shape: tuple, polys: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Corners (x, y) of the crop: the first pixel, and the one past the last."""
        whole = np.array([shape[1], shape[0]])
        visible = polys[overlaps(polys, np.zeros(2, int), whole)]
        smallest = np.clip((whole * self.min_crop_side_ratio).astype(int), 1, self.size)
        for _ in range(self.max_tries):
            side = np.minimum(rng.integers(smallest, (self.largest_side * self.size).astype(int) + 1), whole)
            low = rng.integers(whole - side + 1)
            if len(visible) == 0 or holds_a_text(visible, low, low + side):
                return low, low + side
        return np.zeros(2, int), whole


def inside(polys: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(K,): whether a polygon lies wholly on the pixels from `low` up to, not including, `high`."""
    return np.all((polys.min(axis=1) >= low - 0.5) & (polys.max(axis=1) <= high - 0.5), axis=1)


def holds_a_text(polys: np.ndarray, low: np.ndarray, high: np.ndarray) -> bool:
    """Whether one of the texts is inside, or a part of one that counts."""
    if inside(polys, low, high).any():
        return True
    crossed = polys[overlaps(polys, low, high)]
    return any(counts(part, poly) for poly in crossed for part in parts_of(poly, low, high))


def cut(sample: dict, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Polygons, texts and ignore tags of what is in the crop, in pixels of the uncropped picture."""
    polys = sample["polys"]
    polygons: list[np.ndarray] = []
    texts: list[str] = []
    ignore_tags: list[bool] = []
    is_inside = inside(polys, low, high)
    for i in np.flatnonzero(overlaps(polys, low, high)):
        parts = [polys[i]] if is_inside[i] else parts_of(polys[i], low, high)
        for part in parts:
            polygons.append(part)
            texts.append(sample["texts"][i])
            ignore_tags.append(bool(sample["ignore_tags"][i] or not (is_inside[i] or counts(part, polys[i]))))
    return stack_polygons(polygons), texts, np.array(ignore_tags, bool)


def parts_of(poly: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[np.ndarray]:
    return clip_polygon(poly, low - 0.5, high - 0.5)


def counts(part: np.ndarray, whole: np.ndarray) -> bool:
    """Whether enough is left of a text to learn from."""
    return polygon_area(part) >= LEAST_AREA and min_area_quad(part)[1] >= LEAST_HEIGHT * min_area_quad(whole)[1]
