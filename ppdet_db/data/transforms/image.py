"""Encoded file -> pixels -> the array that the network reads; and the choice of what leaves the sample."""

import re
import struct
from typing import Literal

import cv2
import numpy as np

from ppdet_db.contract import IDENTITY_KEYS
from ppdet_db.errors import SampleError
from ppdet_db.registry import TRANSFORMS

JPEG_START, JPEG_END, JPEG_SCAN = b"\xff\xd8", b"\xff\xd9", 0xDA
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@TRANSFORMS.register
class DecodeImage:
    """Decodes the file into pixels: 8 bits, three channels, upright.

    Grey pictures are repeated into three channels, an alpha channel is dropped, 16 bits become 8. A JPEG's EXIF
    orientation is applied, so polygons refer to the picture as it is seen in a viewer.
    A truncated file is refused: some decoders fill the missing part with grey and say nothing.

    Reads:  image, the encoded file (bytes)
    Writes: image (H, W, 3), uint8

    Args:
        img_mode: channel order; GRAY decodes without colour and repeats the channel three times.
        channel_first: whether to give (3, H, W) instead; of the transforms here only NormalizeImage works on that.
        ignore_orientation: whether to leave the pixels as stored in spite of the EXIF orientation.
    """

    needs = ("image",)
    gives = ("image",)

    def __init__(
        self,
        img_mode: Literal["RGB", "BGR", "GRAY"] = "RGB",
        channel_first: bool = False,
        ignore_orientation: bool = False,
    ):
        if img_mode not in ("RGB", "BGR", "GRAY"):
            raise ValueError(f"img_mode must be RGB, BGR or GRAY, got {img_mode!r}")
        self.img_mode = img_mode
        self.channel_first = channel_first
        self.flags = cv2.IMREAD_GRAYSCALE if img_mode == "GRAY" else cv2.IMREAD_COLOR
        if ignore_orientation:
            self.flags |= cv2.IMREAD_IGNORE_ORIENTATION

    def __call__(self, sample: dict) -> dict:
        image = decode(sample["image"], self.flags)
        if self.img_mode == "RGB":
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        elif self.img_mode == "GRAY":
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        if self.channel_first:
            image = np.ascontiguousarray(image.transpose(2, 0, 1))
        return {**sample, "image": image}


def decode(data: bytes, flags: int) -> np.ndarray:
    """`cv2.imdecode`. Raises SampleError that says what the bytes are when they are no whole picture."""
    fault = what_is_wrong(data)
    image = None
    if not fault:
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error as error:  # for instance more pixels than OpenCV allows
            fault = str(error).strip()
    if image is None:
        raise SampleError(f"cannot be decoded as an image: {fault or f'damaged, or no picture: {data[:12]!r}...'}")
    return image


def what_is_wrong(data: bytes) -> str:
    """`truncated JPEG` and the like, or the empty string. Looks at the ends of the file only, not at its pixels."""
    if not data:
        return "the file is empty"
    if data.startswith(JPEG_START) and JPEG_END not in data[jpeg_scan_start(data) :]:
        return "truncated JPEG (its end marker is missing)"
    if data.startswith(PNG_START) and PNG_END not in data:
        return "truncated PNG (its end chunk is missing)"
    return ""


def jpeg_scan_start(data: bytes) -> int:
    """Where the first scan starts: before it stand the headers, where a thumbnail has an end marker of its own."""
    position = len(JPEG_START)
    while position + 4 <= len(data) and data[position] == 0xFF:
        if data[position + 1] == JPEG_SCAN:
            return position
        if data[position + 1] == 0xFF:  # a fill byte
            position += 1
        else:
            position += 2 + struct.unpack(">H", data[position + 2 : position + 4])[0]
    return position


@TRANSFORMS.register
class NormalizeImage:
    """`(image * scale - mean) / std`, channel by channel in the picture's own order.

    Reads:  image (H, W, 3) or (3, H, W)
    Writes: image, float32, same shape

    Args:
        scale: a number, or a fraction as PaddleOCR's files write it (`1./255.`); 1/255 when left out.
        mean: three numbers; ImageNet's, in RGB order, when left out.
        std: three numbers; ImageNet's when left out.
        order: whether the picture is (H, W, 3), `hwc`, or (3, H, W), `chw`.
    """

    needs = ("image",)
    gives = ("image",)

    def __init__(
        self,
        scale: float | str | None = None,
        mean: list[float] | None = None,
        std: list[float] | None = None,
        order: Literal["hwc", "chw"] = "chw",
    ):
        mean, std = IMAGENET_MEAN if mean is None else mean, IMAGENET_STD if std is None else std
        if len(mean) != 3 or len(std) != 3:
            raise ValueError(f"mean and std must have three numbers, got {mean} and {std}")
        if any(value == 0 for value in std):
            raise ValueError(f"std must not contain 0, got {std}")
        if order not in ("hwc", "chw"):
            raise ValueError(f"order must be hwc or chw, got {order!r}")
        self.order = order
        shape = (1, 1, 3) if order == "hwc" else (3, 1, 1)
        deviation = np.asarray(std, np.float64).reshape(shape)
        # one multiplication and one subtraction a pixel instead of three passes
        self.factor = (parse_scale(scale) / deviation).astype(np.float32)
        self.offset = (np.asarray(mean, np.float64).reshape(shape) / deviation).astype(np.float32)

    def __call__(self, sample: dict) -> dict:
        shape = sample["image"].shape
        if shape[2 if self.order == "hwc" else 0] != 3:
            raise SampleError(
                f"NormalizeImage with order: {self.order} got a picture of shape {shape}; set order: hwc "
                "before ToCHWImage, chw after it"
            )
        image = sample["image"] * self.factor
        image -= self.offset
        return {**sample, "image": image}


def parse_scale(scale: float | str | None) -> float:
    """1/255 for None; a number; or `a/b` with a and b plain numbers."""
    if scale is None:
        return 1 / 255
    number = r"\s*(\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*"
    if not isinstance(scale, str):
        value = float(scale)
    elif re.fullmatch(f"{number}(/{number})?", scale):
        numerator, _, denominator = scale.partition("/")
        value = float(numerator) / (float(denominator) or np.inf) if denominator else float(numerator)
    else:
        raise ValueError(f"scale must be a number or a fraction such as 1./255., got {scale!r}")
    if not 0 < value < np.inf:
        raise ValueError(f"scale must be positive, got {scale!r}")
    return value


@TRANSFORMS.register
class ToCHWImage:
    """(H, W, 3) -> (3, H, W), as convolutions read it.

    Reads:  image (H, W, 3)
    Writes: image (3, H, W), same dtype
    """

    needs = ("image",)
    gives = ("image",)

    def __call__(self, sample: dict) -> dict:
        return {**sample, "image": sample["image"].transpose(2, 0, 1)}


@TRANSFORMS.register
class KeepKeys:
    """Keeps what the network, the loss and the metric read, and what names the picture; drops the rest.

    The sample stays a dict, so the order of the keys has no meaning (in PaddleOCR it has).

    Args:
        keep_keys: the keys; `contract.IDENTITY_KEYS` are kept without being named.
    """

    needs = ()
    gives = ()

    def __init__(self, keep_keys: list[str]):
        if not keep_keys:
            raise ValueError("keep_keys must name at least one key")
        self.keep_keys = list(keep_keys)
        self.needs = tuple(keep_keys)

    def __call__(self, sample: dict) -> dict:
        for key in self.keep_keys:
            if key not in sample:
                makers = [name for name in TRANSFORMS.names() if key in getattr(TRANSFORMS.get(name), "gives", ())]
                cure = f"made by {' or '.join(makers)}" if makers else "no known transform makes it"
                raise SampleError(f"KeepKeys: no '{key}' in the sample ({cure})")
        identity = [key for key in IDENTITY_KEYS if key in sample and key not in self.keep_keys]
        return {key: sample[key] for key in (*self.keep_keys, *identity)}
