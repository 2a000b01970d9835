"""Encoded file -> pixels -> the array that the network reads; and the choice of what leaves the sample."""

import re
from dataclasses import replace
from typing import Literal

import cv2
import numpy as np

from ppdet_db.contract import IDENTITY_KEYS
from ppdet_db.data.transforms import jpeg
from ppdet_db.data.transforms.deferring import Deferring, Packing
from ppdet_db.data.transforms.packed import Packed
from ppdet_db.data.transforms.picture import Picture
from ppdet_db.errors import SampleError
from ppdet_db.registry import TRANSFORMS

PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@TRANSFORMS.register
class DecodeImage(Deferring):
    """Decodes the file into pixels: 8 bits, three channels, upright.

    Grey pictures are repeated into three channels, an alpha channel is dropped, 16 bits become 8. A JPEG's EXIF
    orientation is applied, so polygons refer to the picture as it is seen in a viewer.
    A truncated file is refused: some decoders fill the missing part with grey and say nothing.

    Deferred, a JPEG is decoded when its pixels are asked for, at a smaller scale where that is all that is needed.

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

    def deferred(self, sample: dict) -> dict:
        data = sample["image"]
        fault = what_is_wrong(data)
        if fault:
            raise undecodable(fault)
        header = jpeg.read_header(data) if data.startswith(jpeg.START) and not self.channel_first else None
        if header is not None:
            return {**sample, "image": Picture(jpeg.JpegFile(data, header, self.decode, self.flags))}
        image = self.decode(data, self.flags)
        if self.channel_first:
            image = np.ascontiguousarray(image.transpose(2, 0, 1))
        return {**sample, "image": image}

    def decode(self, data: bytes, flags: int) -> np.ndarray:
        """Pixels (H, W, 3) in the channel order of `img_mode`. Raises SampleError where there are none."""
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error as error:  # for instance more pixels than OpenCV allows
            raise undecodable(str(error).strip()) from error
        if image is None:
            raise undecodable(f"damaged, or no picture: {data[:12]!r}...")
        if self.img_mode == "RGB":
            return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if self.img_mode == "GRAY" else image


def undecodable(fault: str) -> SampleError:
    return SampleError(f"cannot be decoded as an image: {fault}")


def what_is_wrong(data: bytes) -> str:
    """`truncated JPEG` and the like, or the empty string. Looks at the ends of the file only, not at its pixels."""
    if not data:
        return "the file is empty"
    if data.startswith(jpeg.START) and jpeg.is_truncated(data):
        return "truncated JPEG (its end marker is missing)"
    if data.startswith(PNG_START) and PNG_END not in data:
        return "truncated PNG (its end chunk is missing)"
    return ""


@TRANSFORMS.register
class NormalizeImage(Packing):
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
        self.factor = tuple((parse_scale(scale) / np.asarray(std, np.float64)).tolist())
        self.offset = tuple((np.asarray(mean, np.float64) / std).tolist())

    def packed(self, sample: dict) -> dict:
        image = sample["image"]
        if isinstance(image, Packed):  # normalised before
            image = image.floats()
        if image.shape[2 if self.order == "hwc" else 0] != 3:
            raise SampleError(
                f"NormalizeImage with order: {self.order} got a picture of shape {image.shape}; set order: hwc "
                "before ToCHWImage, chw after it"
            )
        planes = image if self.order == "chw" else planes_of(image)
        normalized = Packed(planes, self.factor, self.offset, is_hwc=self.order == "hwc")
        return {**sample, "image": normalized if image.dtype == np.uint8 else normalized.floats()}


def planes_of(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (3, H, W), also in memory: so neither ToCHWImage nor the batch has to move them."""
    planes = np.empty((3, *image.shape[:2]), image.dtype)
    cv2.split(image, list(planes))
    return planes


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
class ToCHWImage(Packing):
    """(H, W, 3) -> (3, H, W), as convolutions read it.

    Reads:  image (H, W, 3)
    Writes: image (3, H, W), same dtype
    """

    needs = ("image",)
    gives = ("image",)

    def packed(self, sample: dict) -> dict:
        image = sample["image"]
        chw = replace(image, is_hwc=False) if isinstance(image, Packed) else image.transpose(2, 0, 1)
        return {**sample, "image": chw}


@TRANSFORMS.register
class KeepKeys(Packing):
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

    def packed(self, sample: dict) -> dict:
        for key in self.keep_keys:
            if key not in sample:
                makers = [name for name in TRANSFORMS.names() if key in getattr(TRANSFORMS.get(name), "gives", ())]
                cure = f"made by {' or '.join(makers)}" if makers else "no known transform makes it"
                raise SampleError(f"KeepKeys: no '{key}' in the sample ({cure})")
        identity = [key for key in IDENTITY_KEYS if key in sample and key not in self.keep_keys]
        return {key: sample[key] for key in (*self.keep_keys, *identity)}
