"""What happens between a scene and its file: uneven light, blur, noise, JPEG."""

import cv2
import numpy as np

from ppdet_db.data.synthetic.chance import happens, pick


def light(rng: np.random.Generator, picture: np.ndarray, depth: float) -> np.ndarray:
    """Lets the brightness drift smoothly over the picture, by up to `depth` (0 ... 1) of it."""
    height, width = picture.shape[:2]
    coarse = rng.uniform(1 - depth, 1, (3, 3)).astype(np.float32)
    gain = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.multiply(picture, cv2.merge([gain] * 3), dtype=cv2.CV_8U)


def blur(rng: np.random.Generator, picture: np.ndarray, smallest: float) -> np.ndarray:
    """Out of focus or shaken, but so little that text of `smallest` pixels height stays legible."""
    most = float(np.clip(0.05 * smallest, 0.35, 1.6))
    if happens(rng, 0.7):
        return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, most))
    length = int(np.clip(round(most * 3), 2, 5))
    kernel = np.zeros((length, length), np.float32)
    row, column = pick(
        rng, ((np.arange(length), np.arange(length)), (length // 2, slice(None)), (slice(None), length // 2))
    )
    kernel[row, column] = 1 / length
    return cv2.filter2D(picture, -1, kernel)


def noise(rng: np.random.Generator, picture: np.ndarray, sigma: float) -> np.ndarray:
    """Grain of `sigma` grey levels. It is drawn once a pixel, for all three channels."""
    grain = rng.standard_normal(picture.shape[:2], np.float32) * np.float32(sigma)
    return cv2.add(picture, cv2.merge([grain] * 3), dtype=cv2.CV_8U)


def photograph(rng: np.random.Generator, picture: np.ndarray, smallest: float) -> bytes:
    """JPEG bytes of a scene (H, W, 3) BGR whose smallest legible text is `smallest` pixels high."""
    if happens(rng, 0.6):
        picture = light(rng, picture, rng.uniform(0.1, 0.45))
    if happens(rng, 0.5):
        picture = blur(rng, picture, smallest)
    if happens(rng, 0.5):
        picture = noise(rng, picture, rng.uniform(1, 7))
    quality = int(rng.integers(45, 96))
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
