"""From the label file to the network: each step a class that the YAML names, a callable sample -> sample."""

from ppdet_db.data.transforms.augment import ColorJitter, IaaAugment
from ppdet_db.data.transforms.border_map import MakeBorderMap
from ppdet_db.data.transforms.copy_paste import CopyPaste
from ppdet_db.data.transforms.crop import EastRandomCropData
from ppdet_db.data.transforms.image import DecodeImage, KeepKeys, NormalizeImage, ToCHWImage
from ppdet_db.data.transforms.label import DetLabelEncode
from ppdet_db.data.transforms.map_crop import RandomCropImgMask
from ppdet_db.data.transforms.perspective import RandomPerspective
from ppdet_db.data.transforms.random_crop import RandomCrop
from ppdet_db.data.transforms.resize import DetResizeForTest, Pad, Resize
from ppdet_db.data.transforms.shrink_map import MakeShrinkMap

__all__ = [
    "ColorJitter",
    "CopyPaste",
    "DecodeImage",
    "DetLabelEncode",
    "DetResizeForTest",
    "EastRandomCropData",
    "IaaAugment",
    "KeepKeys",
    "MakeBorderMap",
    "MakeShrinkMap",
    "NormalizeImage",
    "Pad",
    "RandomCrop",
    "RandomCropImgMask",
    "RandomPerspective",
    "Resize",
    "ToCHWImage",
]
