"""Bringing a picture to a size that the network takes."""

import math
from typing import Literal

import cv2
import numpy as np

from ppdet_db.data.transforms.deferring import Deferring, picture_of
from ppdet_db.errors import SampleError
from ppdet_db.registry import TRANSFORMS

STRIDE = 32
"""The network halves the picture five times."""
LONG_STRIDE = 128
"""PaddleOCR rounds up to this one under `resize_long`."""


@TRANSFORMS.register
class DetResizeForTest:
    """Resizes the picture to multiples of 32 by one of three rules; polygons stay in pixels of the source picture.

    - `image_shape`: exactly this; with `keep_ratio` this height, and the width that follows, rounded up.
    - `limit_side_len` with `limit_type`: scaled up until the short side has that length (`min`), down until the long
      side has (`max`), or either way until the long side has (`resize_long`); both sides are then rounded to the
      nearest multiple of 32. Without any option: 736, `min`.
    - `resize_long`: the long side gets this length; both sides are rounded up to multiples of 128.

    A picture whose height and width add up to less than 64 is first padded to 32 x 32, zero, right and bottom. `shape`
    then tells of the padded picture, so that what is found in the map comes back to the right pixels. (PaddleOCR
    gives the unpadded size there and returns such boxes at the wrong scale.)

    Reads:  image (H, W, 3), uint8
    Writes: image (h, w, 3), uint8; shape (4,), float32: src_h, src_w, ratio_h, ratio_w, ratio = resized / source

    Args:
        image_shape: [h, w], multiples of 32.
        keep_ratio: whether the width follows from the picture; with `image_shape` only.
        limit_side_len: pixels.
        limit_type: which side `limit_side_len` means; `min` when left out.
        resize_long: length of the long side in pixels.
        max_side_limit: pixels; under `limit_side_len` a longer side is scaled down to this.
    """

    needs = ("image",)
    gives = ("image", "shape")

    def __init__(
        self,
        image_shape: list[int] | None = None,
        keep_ratio: bool | None = None,
        limit_side_len: int | None = None,
        limit_type: Literal["min", "max", "resize_long"] | None = None,
        resize_long: int | None = None,
        max_side_limit: int = 4000,
    ):
        options = {"image_shape": image_shape, "limit_side_len": limit_side_len, "resize_long": resize_long}
        chosen = [name for name, value in options.items() if value is not None]
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(chosen)} exclude each other: keep one")
        if keep_ratio is not None and image_shape is None:
            raise ValueError("keep_ratio has a meaning with image_shape only")
        if limit_type is not None and limit_side_len is None:
            raise ValueError("limit_type needs limit_side_len")
        if limit_type not in (None, "min", "max", "resize_long"):
            raise ValueError(f"limit_type must be min, max or resize_long, got {limit_type!r}")
        if image_shape is not None and (len(image_shape) != 2 or any(s <= 0 or s % STRIDE for s in image_shape)):
            raise ValueError(f"image_shape must be [height, width], positive multiples of {STRIDE}, got {image_shape}")
        lengths = {"limit_side_len": limit_side_len, "resize_long": resize_long, "max_side_limit": max_side_limit}
        for name, value in lengths.items():
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be positive, got {value}")
        self.image_shape = image_shape
        self.keep_ratio = bool(keep_ratio)
        self.limit_side_len = 736 if limit_side_len is None else limit_side_len
        self.limit_type = limit_type or "min"
        self.resize_long = resize_long
        self.max_side_limit = max_side_limit

    def __call__(self, sample: dict) -> dict:
        image = sample["image"]
        if sum(image.shape[:2]) < 2 * STRIDE:
            bottom, right = (max(STRIDE - side, 0) for side in image.shape[:2])
            image = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=(0, 0, 0))
        src_h, src_w = image.shape[:2]
        h, w = self.target(src_h, src_w)
        shape = np.array([src_h, src_w, h / src_h, w / src_w], np.float32)
        return {**sample, "image": cv2.resize(image, (w, h)), "shape": shape}

    def target(self, h: int, w: int) -> tuple[int, int]:
        """Height and width of the resized picture."""
        if self.image_shape is not None:
            target_h, target_w = self.image_shape
            return target_h, math.ceil(w * target_h / h / STRIDE) * STRIDE if self.keep_ratio else target_w
        if self.resize_long is not None:
            ratio = self.resize_long / max(h, w)
            return round_up(int(h * ratio), LONG_STRIDE), round_up(int(w * ratio), LONG_STRIDE)
        return self.limited(h, w)

    def limited(self, h: int, w: int) -> tuple[int, int]:
        """The rule of `limit_side_len`. Lengths are cut to whole pixels after each step, as PaddleOCR does."""
        side = min(h, w) if self.limit_type == "min" else max(h, w)
        fits = {"min": side >= self.limit_side_len, "max": side <= self.limit_side_len, "resize_long": False}
        ratio = 1.0 if fits[self.limit_type] else self.limit_side_len / side
        h, w = int(h * ratio), int(w * ratio)
        if max(h, w) > self.max_side_limit:
            ratio = self.max_side_limit / max(h, w)
            h, w = int(h * ratio), int(w * ratio)
        # Python's round: halves go to the even multiple
        return max(round(h / STRIDE) * STRIDE, STRIDE), max(round(w / STRIDE) * STRIDE, STRIDE)


def round_up(length: int, stride: int) -> int:
    return max(math.ceil(length / stride), 1) * stride


@TRANSFORMS.register
class Resize(Deferring):
    """Stretches the picture to a fixed size, and the polygons with it: a pixel's centre x goes to (x + 0.5) s - 0.5.

    (PaddleOCR multiplies by s alone, which moves labels by (s - 1) / 2 pixels.)

    Reads:  image (H, W, 3); polys (K, P, 2), pixels
    Writes: image (size[0], size[1], 3); polys

    Args:
        size: [h, w] of the result.
    """

    needs = ("image", "polys")
    gives = ("image", "polys")

    def __init__(self, size: tuple[int, int] = (640, 640)):
        if len(size) != 2 or min(size) <= 0:
            raise ValueError(f"size must be [height, width] in pixels, got {list(size)}")
        self.size = tuple(size)

    def deferred(self, sample: dict) -> dict:
        picture = picture_of(sample)
        target = np.array(self.size[::-1])
        polys = (sample["polys"] + 0.5) * (target / picture.size) - 0.5
        return {**sample, "image": picture.scaled(target), "polys": polys.astype(np.float32)}


@TRANSFORMS.register
class Pad:
    """Adds zeros at the right and bottom, so polygons keep their places.

    Reads:  image (H, W, 3)
    Writes: image (h, w, 3), same dtype

    Args:
        size: the height and width of the result, or [h, w]; a picture that is larger is an error.
        size_div: without `size`: both sides grow to the next multiple of this.
    """

    needs = ("image",)
    gives = ("image",)

    def __init__(self, size: int | tuple[int, int] | None = None, size_div: int = 32):
        if isinstance(size, int):
            size = (size, size)
        if size is not None and (len(size) != 2 or min(size) <= 0):
            raise ValueError(f"size must be [height, width] in pixels, got {list(size)}")
        if size_div <= 0:
            raise ValueError(f"size_div must be positive, got {size_div}")
        self.size = size
        self.size_div = size_div

    def __call__(self, sample: dict) -> dict:
        shape = sample["image"].shape
        h, w = self.size or (round_up(side, self.size_div) for side in shape[:2])
        if shape[0] > h or shape[1] > w:
            raise SampleError(f"Pad to size [{h}, {w}] got a larger picture, [{shape[0]}, {shape[1]}]")
        return {**sample, "image": np.pad(sample["image"], [(0, h - shape[0]), (0, w - shape[1]), (0, 0)])}
