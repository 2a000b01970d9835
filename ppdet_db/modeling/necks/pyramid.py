"""What feature pyramids share. Lists of levels have the finest first: strides 4, 8, 16, 32."""

import paddle
from paddle import Tensor, nn
from paddle.nn.initializer import KaimingUniform

from ppdet_db.modeling.cpu import Conv2D, conv_upsampled, is_faster_here
from ppdet_db.modeling.layers import upsample_nearest


class Pyramid(nn.Layer):
    """A neck that ends with its levels concatenated.

    `gives_levels` says that the head takes the levels in the place of the concatenation; DetModel asks the head.
    """

    gives_levels = False

    def joined(self, levels: list[Tensor]) -> dict[str, Tensor | list[Tensor]]:
        """Equally wide levels as `fused` (N, C, H/4, W/4), the coarsest first.

        In training on a CPU, for a head that takes them, as `levels`, what they are.
        """
        if self.gives_levels and self.training and is_faster_here(levels[0]):
            return {"levels": levels}
        return {"fused": paddle.concat(at_finest_size(levels), axis=1)}


def conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> Conv2D:
    """Convolution without bias that keeps the size at stride 1; weights start uniform within sqrt(6 / fan_in)."""
    return Conv2D(
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding=kernel_size // 2,
        weight_attr=paddle.ParamAttr(initializer=KaimingUniform()),
        bias_attr=False,
    )


def quarter(out_channels: int) -> int:
    """Width of one level in the neck's output."""
    if out_channels < 4 or out_channels % 4:
        raise ValueError(f"out_channels must be a multiple of 4 (four levels share them), got {out_channels}")
    return out_channels // 4


def squeezed_quarter(out_channels: int) -> int:
    """The same where squeeze and excitation follows, which narrows it to a quarter again."""
    width = quarter(out_channels)
    if width < 4:
        raise ValueError(f"out_channels must be at least 16 (squeezed to a 16th), got {out_channels}")
    return width


def add_top_down(levels: list[Tensor]) -> list[Tensor]:
    """To each level, all coarser ones are added."""
    sums = [levels[-1]]
    for level in reversed(levels[:-1]):
        sums.append(level + upsample_nearest(sums[-1], 2))
    return sums[::-1]


def at_finest_size(levels: list[Tensor]) -> list[Tensor]:
    """The levels at the size of the finest, and now the coarsest first: the order in which necks concatenate them."""
    p2, p3, p4, p5 = levels
    return [upsample_nearest(p5, 8), upsample_nearest(p4, 4), upsample_nearest(p3, 2), p2]


def conv_at_finest_size(levels: list[Tensor], weight: Tensor) -> Tensor:
    """The convolution of `paddle.concat(at_finest_size(levels), axis=1)` by a kernel (O, I, k, k), k odd, at once.

    (N, I/4, H/4, W/4), ..., (N, I/4, H/32, W/32) -> (N, O, H/4, W/4). The concatenation, three quarters of it copies,
    is never made, and each level is multiplied at its own size.
    """
    kernels = weight.split(len(levels), axis=1)
    coarsest_first = zip(reversed(levels), kernels, (8, 4, 2, 1), strict=True)
    return paddle.add_n([conv_upsampled(level, kernel, scale) for level, kernel, scale in coarsest_first])


def each(layers: nn.LayerList, levels: list[Tensor]) -> list[Tensor]:
    """Each layer's answer to its level."""
    return [layer(level) for layer, level in zip(layers, levels, strict=True)]
