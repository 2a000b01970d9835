"""A random crop that runs through no text, brought to a fixed size."""

import math

import numpy as np

from ppdet_db.data.transforms.deferring import Deferring, picture_of
from ppdet_db.registry import TRANSFORMS


class SizedCrop(Deferring):
    """What crops have in common that bring a random rectangle to a fixed size.

    Args:
        size: [w, h] of the result.
        max_tries: how many crops are tried.
        min_crop_side_ratio: smallest side of a crop, as a part of the picture's.
        keep_ratio: whether one scale serves both axes.
    """

    needs = ("image", "polys", "texts", "ignore_tags")
    gives = ("image", "polys", "texts", "ignore_tags")

    largest_scale = math.inf
    """By how much a crop is made larger at most, where one scale serves both axes."""

    def __init__(
        self,
        size: tuple[int, int] = (640, 640),
        max_tries: int = 10,
        min_crop_side_ratio: float = 0.1,
        keep_ratio: bool = True,
    ):
        if len(size) != 2 or min(size) <= 0:
            raise ValueError(f"size must be [width, height] in pixels, got {list(size)}")
        if max_tries < 0:
            raise ValueError(f"max_tries must be 0 or more, got {max_tries}")
        if not 0 <= min_crop_side_ratio <= 1:
            raise ValueError(f"min_crop_side_ratio must be in [0, 1], got {min_crop_side_ratio}")
        self.size = np.array(size)
        self.max_tries = max_tries
        self.min_crop_side_ratio = min_crop_side_ratio
        self.keep_ratio = keep_ratio

    def target(self, crop: np.ndarray) -> np.ndarray:
        """Width and height of the crop on the result."""
        if not self.keep_ratio:
            return self.size
        scale = min(self.largest_scale, *(self.size / crop))
        return np.clip(np.rint(crop * scale).astype(int), 1, self.size)


@TRANSFORMS.register
class EastRandomCropData(SizedCrop):
    """Cuts a random rectangle whose edges run through no text, and scales it to `size`.

    Edges lie between pixels. Those of the picture are always allowed, and every edge that no text straddles, so every
    text is inside some possible crop. A crop is taken when it is large enough and holds a text; after `max_tries`
    failures the whole picture is the crop. A picture without text is cropped at random: a negative.

    Texts outside the crop are dropped. Ignored texts do not hold an edge off (as in PaddleOCR): one that an edge runs
    through is kept whole and stays ignored. A text that already reaches out of the picture is kept whole too. So no
    polygon is ever cut, and points may lie outside the result.

    The polygons stay on their pixels: a pixel's centre x goes to (x - x0 + 0.5) * s - 0.5, where `cv2.resize` puts it,
    with the scale s of each axis after rounding to whole pixels.

    Reads:  image (H, W, 3); polys (K, P, 2), pixels; texts; ignore_tags (K,)
    Writes: image (size[1], size[0], 3), polys, texts, ignore_tags

    Args:
        size: [w, h] of the result.
        max_tries: how many crops are tried.
        min_crop_side_ratio: smallest side of a crop, as a part of the picture's.
        keep_ratio: whether one scale serves both axes, the rest padded with zero at the right and bottom; otherwise
            the crop is stretched.
    """

    def deferred(self, sample: dict) -> dict:
        picture, polys = picture_of(sample), sample["polys"]
        low, high = self.choose(picture.shape, polys[~sample["ignore_tags"]], sample["rng"])
        target = self.target(high - low)
        kept = overlaps(polys, low, high)
        return {
            **sample,
            "image": picture.cropped(low, high, target, (0, 0), self.size),
            "polys": ((polys[kept] - low + 0.5) * (target / (high - low)) - 0.5).astype(np.float32),
            "texts": [text for text, keep in zip(sample["texts"], kept, strict=True) if keep],
            "ignore_tags": sample["ignore_tags"][kept],
        }

    def choose(self, shape: tuple, polys: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Corners (x, y) of the crop: the first pixel, and the one past the last."""
        whole = np.zeros(2, int), np.array([shape[1], shape[0]])
        boxes = np.stack([polys.min(axis=1), polys.max(axis=1)], axis=1)
        boxes = boxes[overlaps(boxes, *whole)]
        strips = [free_strips(boxes[..., axis], whole[1][axis]) for axis in (0, 1)]
        smallest = [max(self.min_crop_side_ratio * side, 1) for side in (shape[1], shape[0])]
        for _ in range(self.max_tries):
            edges = [draw_edges(strips[axis], rng) for axis in (0, 1)]
            if all(last - first >= side for (first, last), side in zip(edges, smallest, strict=True)):
                low, high = np.transpose(edges)
                if len(boxes) == 0 or overlaps(boxes, low, high).any():
                    return low, high
        return whole


def overlaps(polys: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(K,): whether a polygon's bounding box reaches into the pixels from `low` up to, not including, `high`."""
    return np.all((polys.max(axis=1) > low - 0.5) & (polys.min(axis=1) < high - 0.5), axis=1)


def free_strips(coordinates: np.ndarray, length: int) -> list[tuple[int, int]]:
    """First and last edge of each run of neighbouring edges that no text straddles.

    Args:
        coordinates: (K, P), the points' x or y.
        length: of the picture along this axis; edge e lies before pixel e, at e - 0.5, for e in 0 ... length.
    """
    strips, free_from = [], 0
    for low, high in sorted(zip(coordinates.min(axis=1).tolist(), coordinates.max(axis=1).tolist(), strict=True)):
        # the edges that it straddles, but for 0 and `length`: cutting there cuts nothing that the picture still has
        first, last = max(math.floor(low + 0.5) + 1, 1), min(math.ceil(high + 0.5) - 1, length - 1)
        if first <= last:
            if free_from < first:
                strips.append((free_from, first - 1))
            free_from = max(free_from, last + 1)
    return [*strips, (free_from, length)]


def draw_edges(strips: list[tuple[int, int]], rng: np.random.Generator) -> list[int]:
    """Two edges in order, each from a strip drawn at random: narrow gaps between texts are used as often as margins."""
    drawn = [strips[i] for i in rng.integers(len(strips), size=2)]
    return sorted(first + int(rng.integers(last - first + 1)) for first, last in drawn)
