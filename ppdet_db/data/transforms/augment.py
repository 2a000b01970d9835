"""Changes of the picture by chance, polygons moving with it. All chance comes from the sample's own generator."""

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from ppdet_db.data.transforms.affine_steps import is_affine, move
from ppdet_db.data.transforms.deferring import Deferring, drawn, picture_of
from ppdet_db.data.transforms.imgaug_numpy2 import import_imgaug
from ppdet_db.data.transforms.matrix import project
from ppdet_db.errors import SampleError
from ppdet_db.registry import TRANSFORMS, did_you_mean

CHANCE_ARGUMENTS = ("seed", "random_state", "deterministic")
SIDES = ("px", "percent")
"""Arguments of the croppers and padders that take (top, right, bottom, left)."""


def default_augmenters() -> list[dict]:
    """PaddleOCR's: mirror every second picture, rotate by up to 10 degrees, scale by 0.5 to 3."""
    return [
        {"type": "Fliplr", "args": {"p": 0.5}},
        {"type": "Affine", "args": {"rotate": [-10, 10]}},
        {"type": "Resize", "args": {"size": [0.5, 3]}},
    ]


@TRANSFORMS.register
class IaaAugment(Deferring):
    """Runs imgaug augmenters on the picture and moves the polygons with it.

    Each entry is `{type: NAME, args: {...}}` with the name of any class in `imgaug.augmenters` and its arguments.
    A list of two numbers is a range to draw from; any other list is a choice, as in imgaug, but for the four sides
    that `px` and `percent` of croppers and padders take. An argument may itself be such an entry or a list of them
    (`{type: OneOf, args: {children: [...]}}`). `p` on an augmenter that has none of its own applies it to that share
    of the pictures.

    `Resize` with a range scales the whole picture by one factor drawn from it (imgaug's rule).
    Points that leave the picture keep their coordinates: the crop and the label maps deal with them.
    imgaug counts from the corner of the first pixel, we count from its centre; the half pixel is added and taken off.
    Neither imgaug's nor NumPy's global random state is read or changed.

    Reads:  image (H, W, 3), uint8; polys (K, P, 2), pixels
    Writes: image, polys; as many points as before

    Args:
        augmenter_args: the entries, applied in order; an empty list changes nothing.
            Left out: PaddleOCR's (see `default_augmenters`).
    """

    needs = ("image", "polys")
    gives = ("image", "polys")

    def __init__(self, augmenter_args: list[dict] | None = None):
        self.entries = default_augmenters() if augmenter_args is None else augmenter_args
        imgaug = import_imgaug()
        self.chance = imgaug.random.RNG(0)
        # an augmenter made without a seed holds on to the generator that is the global one at that moment
        with global_generator(imgaug.random, self.chance):
            steps = [build_augmenter(entry, f"augmenter_args[{i}]") for i, entry in enumerate(self.entries)]
            self.augmenter = imgaug.augmenters.Sequential(steps)
        self.is_affine = all(is_affine(step) for step in steps)

    def __reduce__(self) -> tuple:
        """Built anew where it is unpickled: a fresh process must import imgaug in our way, pickle would in its own."""
        return type(self), (self.entries,)

    def deferred(self, sample: dict) -> dict:
        imgaug = import_imgaug()
        self.chance.set_state_(imgaug.random.RNG(int(sample["rng"].integers(2**31))).state)
        with global_generator(imgaug.random, self.chance):
            return self.moved(sample) if self.is_affine else self.augmented(drawn(sample))

    def moved(self, sample: dict) -> dict:
        """The picture undrawn. Each step by itself: what it moves out of the picture must not come back."""
        picture, polys = picture_of(sample), sample["polys"]
        for step in self.augmenter:
            matrix, shape = move(step, picture.shape)
            picture, polys = picture.moved(matrix, shape[1::-1]), project(polys, matrix)
        return {**sample, "image": picture, "polys": polys.astype(np.float32)}

    def augmented(self, sample: dict) -> dict:
        """The picture and the points through imgaug."""
        polys = sample["polys"]
        points = import_imgaug().KeypointsOnImage.from_xy_array(polys.reshape(-1, 2) + 0.5, shape=sample["image"].shape)
        image, points = self.augmenter(image=sample["image"], keypoints=points)
        moved = points.to_xy_array().astype(np.float32) - 0.5
        if moved.size != polys.size:
            raise SampleError("IaaAugment: one of its augmenters removes points (TotalDropout for one): take it out")
        return {**sample, "image": np.ascontiguousarray(image), "polys": moved.reshape(polys.shape)}


@contextlib.contextmanager
def global_generator(random: Any, generator: Any) -> Iterator[None]:
    """Within it, `generator` stands in for imgaug's global one, which is otherwise made from NumPy's global state."""
    before = random.GLOBAL_RNG
    random.GLOBAL_RNG = generator
    try:
        yield
    finally:
        random.GLOBAL_RNG = before


def build_augmenter(entry: dict, where: str) -> Any:
    """The imgaug augmenter of one entry. Raises ValueError that names the entry and what is wrong with it."""
    if not is_entry(entry):
        raise ValueError(f"{where} must be {{type: NAME, args: {{...}}}}, got {entry}")
    name, arguments = entry["type"], dict(entry.get("args") or {})
    classes = augmenter_classes()
    if name not in classes:
        raise ValueError(f"{where}: no imgaug augmenter named {name!r}. {did_you_mean(name, classes)}")
    known = [key for key in inspect.signature(classes[name]).parameters if key not in CHANCE_ARGUMENTS]
    share = arguments.pop("p") if "p" in arguments and "p" not in known else None
    for key in arguments:
        if key in CHANCE_ARGUMENTS:
            raise ValueError(f"{where}: {name} may not set '{key}': all chance follows Global.seed")
        if key not in known:
            raise ValueError(f"{where}: {name} has no argument '{key}'. {did_you_mean(key, known)}")
    arguments = {key: convert(value, f"{where}.{key}") for key, value in arguments.items()}
    arguments.update({key: tuple(v) for key, v in arguments.items() if key in SIDES and isinstance(v, list)})
    try:
        augmenter = classes[name](**arguments)
        return augmenter if share is None else classes["Sometimes"](share, augmenter)
    except Exception as error:  # imgaug checks values with assert and bare Exception
        raise ValueError(f"{where}: {name}: {error}") from error


def is_entry(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) <= {"type", "args"}
        and isinstance(value.get("type"), str)
        and isinstance(value.get("args"), dict | None)
    )


def augmenter_classes() -> dict[str, type]:
    """Every augmenter of imgaug by name."""
    imgaug = import_imgaug()
    members = inspect.getmembers(imgaug.augmenters, inspect.isclass)
    return {
        name: cls
        for name, cls in members
        if issubclass(cls, imgaug.augmenters.Augmenter) and not inspect.isabstract(cls)
    }


def convert(value: Any, where: str) -> Any:
    """A value from YAML -> what imgaug takes: ranges as tuples, nested entries as augmenters."""
    if isinstance(value, dict) and "type" in value:
        return build_augmenter(value, where)
    if isinstance(value, dict):
        return {key: convert(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        items = [convert(item, f"{where}[{i}]") for i, item in enumerate(value)]
        is_range = len(items) == 2 and all(isinstance(item, int | float) for item in items)
        return tuple(items) if is_range else items
    return value


@TRANSFORMS.register
class ColorJitter:
    """Changes brightness, contrast, saturation and hue by random amounts, in random order; the picture alone.

    Factors are drawn from [max(0, 1 - v), 1 + v], the hue shift from [-v, v] turns of the colour circle. Contrast is
    around the picture's mean grey, saturation around each pixel's grey. The picture is taken as BGR; in RGB red and
    blue swap their weights in the grey.

    Reads:  image (H, W, 3), uint8
    Writes: image, same shape and dtype

    Args:
        brightness: v, or the range [low, high] of the factor.
        contrast: the same.
        saturation: the same.
        hue: v at most 0.5, or the range [low, high] of the shift within [-0.5, 0.5].
    """

    needs = ("image",)
    gives = ("image",)

    def __init__(
        self,
        brightness: float | tuple[float, float] = 0,
        contrast: float | tuple[float, float] = 0,
        saturation: float | tuple[float, float] = 0,
        hue: float | tuple[float, float] = 0,
    ):
        self.ranges = {
            "brightness": factor_range("brightness", brightness),
            "contrast": factor_range("contrast", contrast),
            "saturation": factor_range("saturation", saturation),
            "hue": hue_range(hue),
        }

    def __call__(self, sample: dict) -> dict:
        rng, image = sample["rng"], sample["image"]
        adjust = {
            "brightness": adjust_brightness,
            "contrast": adjust_contrast,
            "saturation": adjust_saturation,
            "hue": adjust_hue,
        }
        for name in rng.permutation(list(self.ranges)):
            low, high = self.ranges[name]
            if (low, high) != NO_CHANGE[name]:
                image = adjust[name](image, rng.uniform(low, high))
        return {**sample, "image": image}


NO_CHANGE = {"brightness": (1, 1), "contrast": (1, 1), "saturation": (1, 1), "hue": (0, 0)}


def factor_range(name: str, value: float | tuple[float, float]) -> tuple[float, float]:
    low, high = (max(0, 1 - value), 1 + value) if isinstance(value, int | float) else value
    if not 0 <= low <= high:
        raise ValueError(f"{name} must be a number from 0 up or [low, high] with 0 <= low <= high, got {value}")
    return low, high


def hue_range(value: float | tuple[float, float]) -> tuple[float, float]:
    low, high = (-value, value) if isinstance(value, int | float) else value
    if not -0.5 <= low <= high <= 0.5:
        raise ValueError(f"hue must be in [0, 0.5] or [low, high] within [-0.5, 0.5], got {value}")
    return low, high


def adjust_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    return cv2.addWeighted(image, factor, image, 0, 0)


def adjust_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    mean = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).mean()
    return cv2.addWeighted(image, factor, image, 0, (1 - factor) * mean)


def adjust_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return cv2.addWeighted(image, factor, grey, 1 - factor, 0)


def adjust_hue(image: np.ndarray, shift: float) -> np.ndarray:
    """Turns the colour circle by `shift` turns; OpenCV counts 256 steps a turn in HSV_FULL."""
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV_FULL)
    hsv[..., 0] += np.uint8(round(shift * 256) % 256)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR_FULL)
