"""The picture as if seen from the side: shear and perspective."""

import numpy as np

from ppdet_db.data.transforms.deferring import Deferring, picture_of
from ppdet_db.data.transforms.matrix import project, shift
from ppdet_db.data.transforms.picture import Picture
from ppdet_db.registry import TRANSFORMS

NEAREST = 0.5
"""No pixel of the picture comes nearer to the camera than this, where the centre is at 1: a magnification by 2."""


@TRANSFORMS.register
class RandomPerspective(Deferring):
    """Shears the picture and tilts it away, about its centre, and moves the polygons with it.

    With x, y counted from the centre, a point goes to A (x, y) / (1 + g x + h y), where A is zoom and shear:
    zoom in [1 - scale, 1 + scale], both off-diagonal entries tan of an angle in [-shear, shear], g and h in
    [-perspective, perspective]; all drawn evenly. The names and the matrix are those of the YOLO detectors'
    augmentation, from where PP-OCRv6's configs have them.

    `perspective` is per pixel, so large pictures would tilt beyond the horizon: g and h are made smaller where a
    corner of the picture would be magnified more than twice.

    Reads:  image (H, W, 3), uint8; polys (K, P, 2), pixels; points may lie outside
    Writes: image (h, w, 3), polys; as many points as before

    Args:
        prob: share of the pictures it is applied to.
        scale: largest change of size, in [0, 1); 0 leaves it.
        shear: largest angle in degrees, in [0, 45).
        perspective: largest g and h, per pixel.
        fit_output: whether the result is as large as the tilted picture; otherwise it has the size of the picture
            and what leaves it is lost.
        fill_value: colour, in the picture's channel order, of what the picture does not cover.
    """

    needs = ("image", "polys")
    gives = ("image", "polys")

    def __init__(
        self,
        prob: float = 0.3,
        scale: float = 0.0,
        shear: float = 20.0,
        perspective: float = 0.001,
        fit_output: bool = True,
        fill_value: tuple[int, int, int] = (0, 0, 0),
    ):
        if not 0 <= prob <= 1:
            raise ValueError(f"prob must be in [0, 1], got {prob}")
        if not 0 <= scale < 1:
            raise ValueError(f"scale must be in [0, 1), got {scale}")
        if not 0 <= shear < 45:
            raise ValueError(f"shear must be in [0, 45) degrees, got {shear}")
        if perspective < 0:
            raise ValueError(f"perspective must be 0 or more, got {perspective}")
        if len(fill_value) != 3 or not all(0 <= value <= 255 for value in fill_value):
            raise ValueError(f"fill_value must be three numbers in [0, 255], got {list(fill_value)}")
        self.prob = prob
        self.scale = scale
        self.shear = shear
        self.perspective = perspective
        self.fit_output = fit_output
        self.fill_value = tuple(fill_value)

    def deferred(self, sample: dict) -> dict:
        rng = sample["rng"]
        if rng.random() >= self.prob:
            return sample
        picture = picture_of(sample)
        size = picture.size
        matrix = self.draw(size, rng)
        low, high = np.full(2, -0.5), size - 0.5
        if self.fit_output:
            corners = project(np.array([low, (high[0], low[1]), high, (low[0], high[1])]), matrix)
            low, high = corners.min(axis=0), corners.max(axis=0)
        matrix = shift(-low - 0.5) @ matrix  # the first pixel begins where the result does
        polys = project(sample["polys"], matrix).astype(np.float32)
        return {**sample, "image": self.move(picture, matrix, np.ceil(high - low).astype(int)), "polys": polys}

    def move(self, picture: Picture, matrix: np.ndarray, size: np.ndarray) -> Picture:
        if not any(self.fill_value):
            return picture.moved(matrix, size)
        # a colour of its own must not get to where the picture is black already
        return Picture(Picture(picture.pixels()).moved(matrix, size).pixels(self.fill_value))

    def draw(self, size: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(3, 3) matrix for pixels of a picture of `size` (w, h), its centre staying where it is."""
        tilt = rng.uniform(-self.perspective, self.perspective, 2)
        tilt *= min(1, (1 - NEAREST) / max(np.abs(tilt) @ size / 2, 1e-12))
        shear = np.tan(np.radians(rng.uniform(-self.shear, self.shear, 2)))
        zoom = rng.uniform(1 - self.scale, 1 + self.scale)
        centre = (size - 1) / 2
        moved = np.array([[zoom, zoom * shear[0], 0], [zoom * shear[1], zoom, 0], [*tilt, 1]])
        return shift(centre) @ moved @ shift(-centre)
