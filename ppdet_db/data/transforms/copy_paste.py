"""Texts of another picture, turned and pasted onto this one."""

import math

import cv2
import numpy as np

from ppdet_db.data.transforms.label import stack_polygons
from ppdet_db.registry import TRANSFORMS

MOST_PASTED = 30
PLACES_TRIED = 50


@TRANSFORMS.register
class CopyPaste:
    """Pastes texts of one other sample onto this picture, each turned by a random angle.

    The dataset puts that sample, run through the transforms before this one, into `ext_data`. Pasted are the pixels
    inside the text's polygon, of whatever shape; ignored texts are not pasted, and none that is larger than the
    picture. Where no free place is found the text is left out.

    Reads:  image (H, W, 3), uint8; polys (K, P, 2), pixels; texts; ignore_tags (K,); ext_data, with the same keys
    Writes: image, polys, texts, ignore_tags, longer by the pasted texts; removes ext_data

    Args:
        objects_paste_ratio: share of the other picture's texts to paste; at least one text, at most 30.
        limit_paste: whether the bounding box of a pasted text must keep clear of those of all other texts.
    """

    needs = ("image", "polys", "texts", "ignore_tags")
    gives = ("image", "polys", "texts", "ignore_tags")
    ext_data_num = 1

    def __init__(self, objects_paste_ratio: float = 0.2, limit_paste: bool = True):
        if not 0 <= objects_paste_ratio <= 1:
            raise ValueError(f"objects_paste_ratio must be in [0, 1], got {objects_paste_ratio}")
        self.objects_paste_ratio = objects_paste_ratio
        self.limit_paste = limit_paste

    def __call__(self, sample: dict) -> dict:
        sample = dict(sample)
        other = sample.pop("ext_data")[0]
        rng = sample["rng"]
        image = sample["image"].copy()
        polygons, texts = list(sample["polys"]), list(sample["texts"])
        for i in self.select(other["ignore_tags"], rng):
            pasted = self.paste(image, polygons, other["image"], other["polys"][i], rng)
            if pasted is not None:
                polygons.append(pasted)
                texts.append(other["texts"][i])
        added = len(texts) - len(sample["texts"])
        ignore_tags = np.concatenate([sample["ignore_tags"], np.zeros(added, bool)])
        return {**sample, "image": image, "polys": stack_polygons(polygons), "texts": texts, "ignore_tags": ignore_tags}

    def select(self, ignore_tags: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Which texts of the other picture to paste."""
        count = max(1, min(int(self.objects_paste_ratio * len(ignore_tags)), MOST_PASTED))
        return rng.permutation(np.flatnonzero(~ignore_tags))[:count]

    def paste(
        self,
        image: np.ndarray,
        polygons: list[np.ndarray],
        source: np.ndarray,
        polygon: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray | None:
        """Draws the text into `image` and returns its polygon there; None where there is no room for it."""
        turn = rotation(rng.uniform(0, 360))
        turned = polygon @ turn.T
        corner = np.floor(turned.min(axis=0))
        w, h = (int(side) for side in np.ceil(turned.max(axis=0)) - corner + 1)
        place = self.place(w, h, image.shape, polygons, rng)
        if place is None:
            return None
        x, y = place
        patch = cv2.warpAffine(source, np.column_stack([turn, -corner]), (w, h), borderMode=cv2.BORDER_REPLICATE)
        inside = np.zeros((h, w), np.uint8)
        cv2.fillPoly(inside, [np.rint(turned - corner).astype(np.int32)], 1)
        image[y : y + h, x : x + w][inside == 1] = patch[inside == 1]
        return (turned - corner + place).astype(np.float32)

    def place(
        self, w: int, h: int, shape: tuple, polygons: list[np.ndarray], rng: np.random.Generator
    ) -> np.ndarray | None:
        """Where the first pixel of a w x h patch goes, (x, y)."""
        size = np.array([w, h])
        room = [shape[1], shape[0]] - size
        if room.min() < 0:
            return None
        if not self.limit_paste:
            return rng.integers(room + 1)
        lows = np.array([polygon.min(axis=0) for polygon in polygons]).reshape(-1, 2)
        highs = np.array([polygon.max(axis=0) for polygon in polygons]).reshape(-1, 2)
        for place in rng.integers(room + 1, size=(PLACES_TRIED, 2)):
            if not np.any(np.all((lows < place + size) & (highs > place - 1), axis=1)):
                return place
        return None


def rotation(degrees: float) -> np.ndarray:
    """(2, 2) matrix that turns points (x, y) about the origin."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, s], [-s, c]])
