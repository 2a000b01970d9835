"""A random crop that runs through no text, brought to a fixed size."""

import cv2
import numpy as np

from ppdet_db.registry import TRANSFORMS


class SizedCrop:
    """What crops have in common that bring a random rectangle to a fixed size.

    Args:
        size: [w, h] of the result.
        max_tries: how many crops are tried.
        min_crop_side_ratio: smallest side of a crop, as a part of the picture's.
        keep_ratio: whether one scale serves both axes.
    """

    needs = ("image", "polys", "texts", "ignore_tags")
    gives = ("image", "polys", "texts", "ignore_tags")

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

    def __call__(self, sample: dict) -> dict:
        image, polys = sample["image"], sample["polys"]
        low, high = self.choose(image.shape, polys[~sample["ignore_tags"]], sample["rng"])
        crop = image[low[1] : high[1], low[0] : high[0]]
        crop, scale = self.fit(crop)
        kept = overlaps(polys, low, high)
        return {
            **sample,
            "image": crop,
            "polys": ((polys[kept] - low + 0.5) * scale - 0.5).astype(np.float32),
            "texts": [text for text, keep in zip(sample["texts"], kept, strict=True) if keep],
            "ignore_tags": sample["ignore_tags"][kept],
        }

    def choose(self, shape: tuple, polys: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Corners (x, y) of the crop: the first pixel, and the one past the last."""
        whole = np.zeros(2, int), np.array([shape[1], shape[0]])
        visible = polys[overlaps(polys, *whole)]
        strips = [free_strips(visible[..., axis], whole[1][axis]) for axis in (0, 1)]
        for _ in range(self.max_tries):
            low, high = np.sort([draw_edges(strips[axis], rng) for axis in (0, 1)], axis=1).T
            large_enough = np.all(high - low >= np.maximum(self.min_crop_side_ratio * whole[1], 1))
            if large_enough and (len(visible) == 0 or overlaps(visible, low, high).any()):
                return low, high
        return whole

    def fit(self, crop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The crop brought to `size`, and the scale of x and y."""
        source = np.array([crop.shape[1], crop.shape[0]])
        target = self.size
        if self.keep_ratio:
            target = np.clip(np.rint(source * min(target / source)).astype(int), 1, target)
        resized = cv2.resize(crop, tuple(int(side) for side in target))
        right, bottom = self.size - target
        if right or bottom:
            resized = cv2.copyMakeBorder(resized, 0, int(bottom), 0, int(right), cv2.BORDER_CONSTANT, value=(0, 0, 0))
        return resized, target / source


def overlaps(polys: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(K,): whether a polygon's bounding box reaches into the pixels from `low` up to, not including, `high`."""
    return np.all((polys.max(axis=1) > low - 0.5) & (polys.min(axis=1) < high - 0.5), axis=1)


def free_strips(coordinates: np.ndarray, length: int) -> list[np.ndarray]:
    """Runs of neighbouring edges that no text straddles.

    Args:
        coordinates: (K, P), the points' x or y.
        length: of the picture along this axis; edge e lies before pixel e, at e - 0.5, for e in 0 ... length.
    """
    free = np.ones(length + 1, bool)
    edges = np.arange(length + 1) - 0.5
    for low, high in zip(coordinates.min(axis=1), coordinates.max(axis=1), strict=True):
        free[(edges > low) & (edges < high)] = False
    free[[0, length]] = True  # cutting there cuts nothing that the picture still has
    where = np.flatnonzero(free)
    return np.split(where, np.flatnonzero(np.diff(where) > 1) + 1)


def draw_edges(strips: list[np.ndarray], rng: np.random.Generator) -> list[int]:
    """Two edges, each from a strip drawn at random, so that narrow gaps between texts are used as often as margins."""
    return [int(rng.choice(strips[i])) for i in rng.integers(len(strips), size=2)]
