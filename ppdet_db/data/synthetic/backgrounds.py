"""What lies behind the text: photographs that installed packages carry, and textures that are drawn."""

import importlib.util
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from ppdet_db.data.synthetic.chance import happens, pick, weighted

PHOTOS = tuple(
    # package, file in it. Looked through: no lettering in any of them, which would be text without a label; and all
    # of a stated free licence, see docs/data.md
    ("skimage", f"data/{name}")
    for name in ("coffee.png", "camera.png", "gravel.png", "brick.png", "grass.png", "chelsea.png", "ihc.png",
                 "retina.jpg", "hubble_deep_field.jpg")
)  # fmt: skip


@lru_cache(maxsize=1)
def photos() -> tuple[np.ndarray, ...]:
    """The photographs of PHOTOS that are installed: (h, w, 3) BGR uint8, at most 800 pixels wide or high."""
    found = []
    for package, file in PHOTOS:
        spec = importlib.util.find_spec(package)  # the place only: importing these packages takes seconds
        for folder in (spec.submodule_search_locations or []) if spec else []:
            photo = cv2.imread(str(Path(folder) / file)) if (Path(folder) / file).is_file() else None
            if photo is not None:
                factor = min(1.0, 800 / max(photo.shape[:2]))
                found.append(cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))
    return tuple(found)


def background(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Something without text, (height, width, 3) BGR uint8, that the caller may draw on."""
    weights = {_photo: 5.0 if photos() else 0.0, _clouds: 2, _plain: 2, _wood: 1, _bricks: 1, _fabric: 1, _facade: 1}
    picture = weighted(rng, weights)(rng, width, height)
    if happens(rng, 0.3):
        picture = _clutter(rng, np.ascontiguousarray(picture), int(rng.integers(1, 12)))
    return cv2.convertScaleAbs(picture, alpha=rng.uniform(0.6, 1.15), beta=rng.uniform(0, 25))


def _photo(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A crop, mirrored, with its colours mixed anew: a dozen photographs must do for thousands of pictures."""
    photo = pick(rng, photos())
    factor = min(photo.shape[1] / width, photo.shape[0] / height) * rng.uniform(0.35, 1)
    w, h = max(8, int(width * factor)), max(8, int(height * factor))
    x, y = int(rng.integers(photo.shape[1] - w + 1)), int(rng.integers(photo.shape[0] - h + 1))
    crop = cv2.resize(photo[y : y + h, x : x + w], (width, height), interpolation=cv2.INTER_LINEAR)
    if happens(rng, 0.5):
        crop = crop[:, ::-1]
    if happens(rng, 0.5):
        mix = np.eye(3) * 0.6 + rng.dirichlet((1, 1, 1), 3) * 0.4
        crop = cv2.transform(crop, mix)
    return crop


def muted(rng: np.random.Generator) -> np.ndarray:
    """A BGR colour (3,), 0 ... 255, as things have it: mostly near grey, seldom glaring."""
    return np.clip(rng.uniform(15, 245) + rng.uniform(-1, 1, 3) * 200 * rng.random() ** 2, 0, 255)


def smooth_noise(rng: np.random.Generator, width: int, height: int, cells: float) -> np.ndarray:
    """(height, width) float32 in 0 ... 1 that changes over about `cells` spots along the longer side."""
    longer = max(width, height)
    shape = (max(2, round(cells * height / longer)), max(2, round(cells * width / longer)))
    return cv2.resize(rng.random(shape, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)


def _tinted(rng: np.random.Generator, grey: np.ndarray) -> np.ndarray:
    """A grey map (0 ... 1) between two random colours."""
    dark, bright = muted(rng), muted(rng)
    channels = [
        np.clip(low + (high - low) * grey, 0, 255).astype(np.uint8) for low, high in zip(dark, bright, strict=True)
    ]
    return cv2.merge(channels)


def _clouds(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Fractal noise: plaster, stone, foliage out of focus."""
    grey = sum(smooth_noise(rng, width, height, 3 * 3**octave) * 0.5**octave for octave in range(4))
    return _tinted(rng, grey / 1.875)


def _plain(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A wall or a table: one colour that drifts."""
    drift = smooth_noise(rng, width, height, 2)
    base, depth = muted(rng), rng.uniform(5, 50)
    return cv2.merge([np.clip(b + depth * (drift - 0.5), 0, 255).astype(np.uint8) for b in base])


def _wood(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Grain: noise stretched along one side, in browns, with seams between boards."""
    grain = cv2.resize(rng.random((height, max(2, width // 60)), np.float32), (width, height))
    grain = 0.5 * grain + 0.5 * smooth_noise(rng, width, height, 5)
    picture = cv2.merge([np.clip(b + 70 * (grain - 0.5), 0, 255).astype(np.uint8) for b in (60, 100, 150)])
    board = int(rng.integers(40, 140))
    picture[int(rng.integers(board)) :: board] //= 2
    return (
        picture if happens(rng, 0.6) else np.ascontiguousarray(cv2.resize(picture.transpose(1, 0, 2), (width, height)))
    )


def _bricks(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A wall of bricks or tiles, each a little different."""
    h = int(rng.integers(14, 50))
    w = int(h * rng.uniform(1, 3))
    rows, columns = height // h + 2, width // w + 2
    shades = rng.integers(-25, 26, (rows, columns, 1)) + muted(rng)
    y, x = np.mgrid[0:height, 0:width]
    shifted = x + (y // h % 2) * (w // 2 if happens(rng, 0.7) else 0)
    picture = np.clip(shades, 0, 255).astype(np.uint8)[y // h, shifted // w]
    picture[(y % h < 2) | (shifted % w < 2)] = muted(rng)
    return picture


def _fabric(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Stripes or checks of two threads: cloth, blinds, grilles."""
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    across = np.sin(x * rng.uniform(0.1, 1.2)) * (1 if happens(rng, 0.7) else 0)
    down = np.sin(y * rng.uniform(0.1, 1.2))
    return _tinted(rng, np.clip(0.5 + 0.2 * (across + down) + 0.2 * smooth_noise(rng, width, height, 4), 0, 1))


def _facade(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A wall with a lot on it."""
    return _clutter(rng, _plain(rng, width, height), int(rng.integers(6, 40)))


def _clutter(rng: np.random.Generator, picture: np.ndarray, count: int) -> np.ndarray:
    """Draws rectangles, beams and discs: windows, doors, pipes, the nearest relatives of letters."""
    height, width = picture.shape[:2]
    for _ in range(count):
        colour = muted(rng).tolist()
        x, y = int(rng.integers(width)), int(rng.integers(height))
        w, h = int(rng.integers(4, max(5, width // 4))), int(rng.integers(4, max(5, height // 4)))
        thick = int(pick(rng, (-1, -1, 1, 2, 4)))
        shape = int(rng.integers(3))
        if shape == 0:
            cv2.rectangle(picture, (x, y), (x + w, y + h), colour, thick)
        elif shape == 1:
            cv2.ellipse(picture, (x, y), (w // 2, h // 2), int(rng.integers(180)), 0, 360, colour, thick)
        else:
            cv2.line(picture, (x, y), (x + w, y + int(rng.integers(-h, h + 1))), colour, abs(thick) + 1, cv2.LINE_AA)
    return picture
