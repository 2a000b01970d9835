"""Augmenters of imgaug that only move the picture, as matrices: drawn as imgaug draws them, without a pixel.

Matrices are (3, 3), for points (x, y, 1) in pixels, centres at whole numbers; shapes are those of a picture, (h, w, 3).
"""

from typing import Any

import numpy as np

from ppdet_db.data.transforms.imgaug_numpy2 import import_imgaug
from ppdet_db.data.transforms.matrix import shift, stretching

Move = tuple[np.ndarray, tuple]


def is_affine(augmenter: Any) -> bool:
    """Whether an augmenter moves the picture, once at most, so that parallels stay parallel and black is around it."""
    iaa, name = import_imgaug().augmenters, type(augmenter).__name__
    if name == "Sequential":
        return len(augmenter) <= 1 and all(is_affine(child) for child in augmenter)
    if name == "Sometimes":
        return all(is_affine(branch) for branch in (augmenter.then_list, augmenter.else_list) if branch is not None)
    if name == "OneOf":
        return all(is_affine(child) for child in augmenter)
    if isinstance(augmenter, iaa.Affine):
        return always(augmenter.order, 1) and always(augmenter.mode, "constant") and always(augmenter.cval, 0)
    if isinstance(augmenter, iaa.CropAndPad):
        return always(augmenter.pad_mode, "constant") and always(augmenter.pad_cval, 0)
    if name == "Resize":
        return always(augmenter.interpolation, "cubic") or always(augmenter.interpolation, "linear")
    return name in ("Identity", "Noop", "Fliplr", "Flipud", "Rot90")


def always(parameter: Any, value: Any) -> bool:
    """Whether a parameter of imgaug has this value for every picture."""
    return isinstance(parameter, import_imgaug().parameters.Deterministic) and parameter.value == value


def move(augmenter: Any, shape: tuple) -> Move:
    """What an augmenter that is affine does to a picture of this shape: the matrix, and the shape after it."""
    return MOVES.get(type(augmenter).__name__, by_points)(augmenter, shape)


def by_points(augmenter: Any, shape: tuple) -> Move:
    """Any of them: three points, given to imgaug alone, tell the matrix. It draws the same for points as for pixels."""
    height, width = shape[:2]
    corners = np.array([[0, 0], [width, 0], [0, height]], np.float64)  # imgaug counts from the first pixel's corner
    points = augmenter(keypoints=import_imgaug().KeypointsOnImage.from_xy_array(corners, shape=shape))
    origin, right, bottom = np.array([[point.x, point.y] for point in points.keypoints])
    matrix = np.eye(3)
    matrix[:2] = np.column_stack([(right - origin) / width, (bottom - origin) / height, origin])
    return shift((-0.5, -0.5)) @ matrix @ shift((0.5, 0.5)), points.shape


def affine(augmenter: Any, shape: tuple) -> Move:
    samples = augmenter._draw_samples(1, augmenter.random_state)
    matrix, shape = samples.to_matrix(0, shape, shape, augmenter.fit_output)
    return matrix.params, shape


def flip(augmenter: Any, shape: tuple) -> Move:
    if augmenter.p.draw_samples((1,), random_state=augmenter.random_state)[0] < 0.5:
        return np.eye(3), shape
    if type(augmenter).__name__ == "Fliplr":
        return stretching((-1, 1), (shape[1] - 1, 0)), shape
    return stretching((1, -1), (0, shape[0] - 1)), shape


def resize(augmenter: Any, shape: tuple) -> Move:
    (height,), (width,), _ = augmenter._draw_samples(1, augmenter.random_state)
    height, width = augmenter._compute_height_width(shape, height, width, augmenter.size_order)
    scale = np.array([width / shape[1], height / shape[0]])
    return stretching(scale, (scale - 1) / 2), (height, width, *shape[2:])


MOVES = {"Affine": affine, "Fliplr": flip, "Flipud": flip, "Resize": resize}
"""Those of nearly every config, in a third of the time that points take."""
