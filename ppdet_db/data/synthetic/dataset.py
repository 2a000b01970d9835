"""SyntheticDataSet: what each picture shows, and the sample it becomes."""

import json
from collections.abc import Sequence
from typing import Literal, get_args

import cv2
import numpy as np

from ppdet_db.data.dataset import DetDataset, Transform
from ppdet_db.data.synthetic.backgrounds import background
from ppdet_db.data.synthetic.camera import photograph
from ppdet_db.data.synthetic.chance import happens, pick, weighted
from ppdet_db.data.synthetic.documents import blank_document, document
from ppdet_db.data.synthetic.fonts import faces
from ppdet_db.data.synthetic.patch import IGNORED
from ppdet_db.data.synthetic.placement import Placement, paste, placement_of_page, scaling, translation
from ppdet_db.data.synthetic.signs import Street
from ppdet_db.registry import DATASETS

Kind = Literal["horizontal", "rotated", "perspective", "curved"]
KINDS: tuple[Kind, ...] = get_args(Kind)
PAGES = {"horizontal": 5, "rotated": 3, "perspective": 2, "curved": 1}
"""How often a page lies so, among the kinds asked for: most come from a scanner."""


@DATASETS.register
class SyntheticDataSet(DetDataset):
    """Pictures of rendered text with exact polygons, drawn on demand: signs in scenes, and pages full of text.

    Picture `index` is a function of (`seed`, `index`) and of what is installed: the fonts (`fonts` lists those in use)
    and photographs of optional packages. It does not change from epoch to epoch, like files on a disk. A `seed` of its
    own for evaluation gives pictures never seen in training.

    Each text is one line, with a polygon that keeps about a tenth of its height away from the ink: 4 points, or 14
    where the text is curved. Texts made illegible on purpose are labelled `###`.

    Args:
        num_samples: how many pictures.
        size: [w, h] in pixels.
        kinds: how texts lie: `horizontal` (axis-aligned), `rotated`, `perspective`, `curved`.
        seed: of the pictures.
        font_size: smallest and largest em in pixels; pages use the lower third of it.
        dense_ratio: share of pages (receipts, forms, articles) among the pictures with text.
        negative_ratio: share of pictures without any text.
        ignore_ratio: share of texts that are illegible and ignored.
        transforms: see DetDataset.
        data_root: taken like every dataset does; nothing is read from it.
        base_seed: see DetDataset; it seeds the transforms, not the pictures.
    """

    def __init__(
        self,
        num_samples: int = 2000,
        size: tuple[int, int] = (480, 480),
        kinds: tuple[Kind, ...] = KINDS,
        seed: int = 0,
        font_size: tuple[int, int] = (10, 64),
        dense_ratio: float = 0.5,
        negative_ratio: float = 0.04,
        ignore_ratio: float = 0.04,
        transforms: Sequence[Transform] = (),
        data_root: str | None = None,
        base_seed: int = 0,
    ):
        super().__init__(transforms, base_seed)
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}")
        if len(size) != 2 or min(size) < 128:
            raise ValueError(f"size must be [w, h] with both at least 128 pixels, got {size}")
        if not kinds or not set(kinds) <= set(KINDS):
            raise ValueError(f"kinds must name at least one of {', '.join(KINDS)}, and no other, got {kinds}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        if len(font_size) != 2 or not 7 <= font_size[0] <= font_size[1] <= min(size) // 2:
            raise ValueError(
                f"font_size must be [smallest, largest] from 7 to half the picture's shorter side, got {font_size}"
            )
        for name, share in (
            ("dense_ratio", dense_ratio),
            ("negative_ratio", negative_ratio),
            ("ignore_ratio", ignore_ratio),
        ):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {share}")
        faces()  # raises here, once, where there are none
        self.num_samples, self.size, self.kinds, self.seed = num_samples, tuple(size), tuple(kinds), seed
        self.font_size, self.dense_ratio = tuple(font_size), dense_ratio
        self.negative_ratio, self.ignore_ratio = negative_ratio, ignore_ratio

    @property
    def fonts(self) -> list[str]:
        """File names of the faces in use: more when the optional font packages are installed."""
        return sorted({face.path.replace("\\", "/").rsplit("/", 1)[-1] for face in faces()})

    def __len__(self) -> int:
        return self.num_samples

    def read(self, epoch: int, index: int, rng: np.random.Generator) -> dict:
        """The picture as JPEG bytes and its label. `epoch` and `rng` play no part."""
        rng = np.random.default_rng((self.seed, index))
        picture, labels = self._scene(rng)
        legible = [_short_side(polygon) for polygon, text in labels if text != IGNORED]
        return {
            "img_path": f"synthetic/{self.seed}/{index}.jpg",
            "line": "",
            "image": photograph(rng, picture, min(legible, default=20.0)),
            "label": json.dumps(
                [{"transcription": text, "points": np.round(polygon, 1).tolist()} for polygon, text in labels],
                ensure_ascii=False,
            ),
        }

    def _scene(self, rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[np.ndarray, str]]]:
        """Pixels (h, w, 3) BGR uint8, and polygon (P, 2) and transcription of each text."""
        picture = background(rng, *self.size)
        empty = happens(rng, self.negative_ratio)
        if happens(rng, self.dense_ratio):
            return self._page(rng, picture, empty)
        if empty:
            return picture, []
        street = Street(rng, picture, self.kinds, self.font_size, self.ignore_ratio)
        return picture, street.hang(int(rng.integers(2, 14)))

    def _page(
        self, rng: np.random.Generator, picture: np.ndarray, empty: bool
    ) -> tuple[np.ndarray, list[tuple[np.ndarray, str]]]:
        """A page on a table, or one that fills the picture. An `empty` one has lines and boxes, but no text."""
        width, height = self.size
        kind = weighted(rng, {kind: PAGES[kind] for kind in self.kinds})
        low, high = self.font_size
        sizes = (low, low + (high - low) // 3)
        fills = happens(rng, 0.5)
        w, h = (width, height) if fills else (int(width * rng.uniform(0.55, 0.98)), int(height * rng.uniform(0.8, 1)))
        patch = blank_document(rng, w, h, sizes) if empty else document(rng, w, h, sizes, self.ignore_ratio)
        placement = _fitted(placement_of_page(rng, kind, w, h), patch.texts, width, height)
        if fills:
            picture[:] = patch.colour[0, 0]
        elif happens(rng, 0.5):
            picture[:] = pick(rng, (5, 60, 128, 200, 250))
        paste(picture, patch, placement)
        return picture, [(placement.polygon(box), text) for box, text in patch.texts]


def _fitted(placement: Placement, texts: list, width: int, height: int) -> Placement:
    """Moves a placement around (0, 0) into the picture, made smaller where texts would stick out."""
    points = np.concatenate([placement.polygon(box) for box, _ in texts] or [np.zeros((1, 2))])
    reach = np.abs(points).max(0) + 3
    factor = min(1.0, (width / 2) / reach[0], (height / 2) / reach[1])
    if factor < 1:
        placement = placement.then(scaling(factor))
    return placement.then(translation(width // 2, height // 2))


def _short_side(polygon: np.ndarray) -> float:
    """Of a text, in pixels. That of a curved one is its end, that of an upright one the side of its rectangle."""
    rectangle = cv2.minAreaRect(polygon.astype(np.float32))[1]
    return min(*rectangle, float(np.hypot(*(polygon[0] - polygon[-1]))))
