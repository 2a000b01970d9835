"""A detector: backbone -> neck -> head, wired by their channels."""

import paddle
from paddle import nn

from ppdet_db.errors import ConfigError, DetError
from ppdet_db.registry import Spec

STRIDES = (4, 8, 16, 32)


class DetModel(nn.Layer):
    """Picture (N, 3, H, W), sides multiples of 32 -> the head's dict: `maps` (N, 3, H, W) in training, (N, 1, H, W)
    in evaluation.

    The neck gets the backbone's `out_channels` as its `in_channels`, the head the neck's. Raises ConfigError, naming
    the class, when one of them does not say its channels.

    Args:
        backbone: picture -> four features at strides 4, 8, 16, 32; `out_channels`: their channels.
        neck: four features -> a dict with `fused` (N, C, H/4, W/4); `out_channels`: C.
        head: the neck's dict -> a dict with `maps`.
    """

    def __init__(self, backbone: Spec, neck: Spec, head: Spec):
        super().__init__()
        self.backbone = backbone.build()
        channels = getattr(self.backbone, "out_channels", None)
        if not isinstance(channels, list | tuple) or len(channels) != len(STRIDES) or not all(map(is_count, channels)):
            raise ConfigError(
                f"{place(backbone)} must have out_channels, the list of the channels of its features at strides "
                f"4, 8, 16 and 32; it has {channels!r}"
            )
        self.neck = neck.build(in_channels=list(channels))
        channels = getattr(self.neck, "out_channels", None)
        if not is_count(channels):
            raise ConfigError(
                f"{place(neck)} must have out_channels, the number of channels of 'fused'; it has {channels!r}"
            )
        self.head = head.build(in_channels=channels)

    def forward(self, x: paddle.Tensor) -> dict[str, paddle.Tensor]:
        height, width = x.shape[2:]
        # an exported graph has free sides, -1
        if (height > 0 and height % STRIDES[-1]) or (width > 0 and width % STRIDES[-1]):
            raise DetError(
                f"the sides of a picture must be multiples of 32, got {height} x {width} (height x width): "
                "set them with DetResizeForTest, or the size of the crop in training"
            )
        return self.head(self.neck(self.backbone(x)))


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def place(spec: Spec) -> str:
    name = getattr(spec.cls, "__name__", repr(spec.cls))
    return f"{spec.where}: {name}" if spec.where else name
