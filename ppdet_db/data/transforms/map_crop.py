"""A random crop of a picture together with label maps that are drawn already."""

import numpy as np

from ppdet_db.errors import SampleError
from ppdet_db.registry import TRANSFORMS


@TRANSFORMS.register
class RandomCropImgMask:
    """Cuts one random rectangle out of the picture and out of maps of its size; PSENet's way to crop.

    In the share `1 - p` of the pictures that have text it is drawn around a random pixel of `main_key` that is not 0;
    otherwise anywhere. What is smaller than `size` is padded with zero at the right and bottom, so masks exclude it.
    (PaddleOCR may miss the text it means to hold, and leaves small pictures small.)

    Reads:  image (H, W, 3) or (3, H, W); the maps (H, W) that `main_key` and `crop_keys` name; polys (K, P, 2)
    Writes: what `crop_keys` names, of `size`; polys moved with the picture, points may lie outside

    Args:
        size: [h, w] of the result.
        main_key: the map that tells where text is, `shrink_map` for instance.
        crop_keys: what is cut, the picture among them.
        p: share of the pictures with text that are cut anywhere.
    """

    needs = ("image", "polys")
    gives = ("image", "polys")

    def __init__(self, size: tuple[int, int], main_key: str, crop_keys: list[str], p: float = 3 / 8):
        if len(size) != 2 or min(size) <= 0:
            raise ValueError(f"size must be [height, width] in pixels, got {list(size)}")
        if "image" not in crop_keys:
            raise ValueError(f"crop_keys must name image, got {crop_keys}")
        if not 0 <= p <= 1:
            raise ValueError(f"p must be in [0, 1], got {p}")
        self.size = tuple(size)
        self.main_key = main_key
        self.crop_keys = list(crop_keys)
        self.p = p
        self.needs = tuple(dict.fromkeys(("polys", *crop_keys, main_key)))
        self.gives = tuple(dict.fromkeys(("polys", *crop_keys)))

    def __call__(self, sample: dict) -> dict:
        missing = [key for key in self.needs if key not in sample]
        if missing:
            raise SampleError(f"RandomCropImgMask: no '{missing[0]}' in the sample")
        top, left = self.choose(sample[self.main_key], sample["rng"])
        cropped = {key: self.crop(sample[key], top, left) for key in self.crop_keys}
        return {**sample, **cropped, "polys": sample["polys"] - np.array([left, top], np.float32)}

    def choose(self, mask: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
        """Row and column of the crop's first pixel."""
        size, last = np.array(self.size), np.maximum(np.array(mask.shape) - self.size, 0)
        low, high = np.zeros(2, int), last
        text = np.flatnonzero(mask)
        if len(text) and rng.random() >= self.p:
            pixel = np.array(np.unravel_index(rng.choice(text), mask.shape))
            low, high = np.maximum(pixel - size + 1, 0), np.minimum(pixel, last)
        top, left = rng.integers(low, high + 1)
        return int(top), int(left)

    def crop(self, array: np.ndarray, top: int, left: int) -> np.ndarray:
        first = 1 if array.ndim == 3 and array.shape[0] == 3 else 0  # the axis of the rows
        rows, columns = slice(top, top + self.size[0]), slice(left, left + self.size[1])
        cut = array[(slice(None),) * first + (rows, columns)]
        lacking = [(0, 0)] * array.ndim
        lacking[first : first + 2] = [(0, side - cut.shape[first + i]) for i, side in enumerate(self.size)]
        return np.pad(cut, lacking)
