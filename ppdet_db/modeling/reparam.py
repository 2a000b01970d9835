"""Re-parameterisation: blocks that are sums of branches in training and one convolution afterwards.

A block says what it becomes by a method `fused()` that returns a layer with equal outputs in evaluation; `fuse`
puts those in place of the blocks. A branch enters as (kernel, bias): batch norms are folded, kernels padded to one
size and added, and `plain_conv` makes the layer. Convolution is linear in its kernel: all that changes is the rounding.

Source: Ding et al., RepVGG: Making VGG-style ConvNets Great Again, arXiv 2101.03697, section 3.3.
"""

import paddle
import paddle.nn.functional as F
from paddle import ParamAttr, Tensor, nn
from paddle.nn.initializer import Constant

from ppdet_db.modeling.cpu import Conv2D


def fuse(layer: nn.Layer) -> None:
    """Replaces, at every depth, each sublayer that has `fused()` by what it returns. Only right in evaluation."""
    for name, child in list(layer.named_children()):
        if hasattr(child, "fused"):
            with paddle.no_grad():
                setattr(layer, name, child.fused())
        else:
            fuse(child)


def fold(kernel: Tensor, batch_norm: nn.Layer, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Kernel (O, I, k, k) and bias (O,) of a convolution and the batch norm behind it, from its running statistics."""
    scale = batch_norm.weight / (batch_norm._variance + batch_norm._epsilon).sqrt()
    mean = batch_norm._mean if bias is None else batch_norm._mean - bias
    return kernel * scale.reshape([-1, 1, 1, 1]), batch_norm.bias - mean * scale


def identity_kernel(channels: int, groups: int) -> Tensor:
    """Kernel (channels, channels / groups, 1, 1) of the convolution that hands its input on."""
    width = channels // groups
    return paddle.eye(width).tile([groups, 1]).reshape([channels, width, 1, 1])


def pad_kernel(kernel: Tensor, size: int) -> Tensor:
    """(O, I, k, k) -> (O, I, size, size), zeros all around; `k` and `size` both odd or both even."""
    margin = (size - kernel.shape[-1]) // 2
    return F.pad(kernel, [margin] * 4) if margin else kernel


def dilate_kernel(kernel: Tensor, dilation: int) -> Tensor:
    """(O, I, k, k) -> (O, I, d, d), d = dilation (k - 1) + 1: the undilated kernel that does the same."""
    outputs, width, size, _ = kernel.shape
    size = dilation * (size - 1) + 1
    spread = paddle.zeros([outputs, width, size, size], kernel.dtype)
    spread[:, :, ::dilation, ::dilation] = kernel
    return spread


def plain_conv(kernel: Tensor, bias: Tensor, stride: int = 1, groups: int = 1) -> Conv2D:
    """The convolution with bias that has this kernel (O, I / groups, k, k), k odd; it keeps the size at stride 1."""
    outputs, width, size, _ = kernel.shape
    empty = ParamAttr(initializer=Constant(0.0))  # a random start would move the program's random state
    conv = Conv2D(width * groups, outputs, size, stride, padding=size // 2, groups=groups, weight_attr=empty)
    conv.to(dtype=kernel.dtype)
    conv.weight.set_value(kernel)
    conv.bias.set_value(bias)
    return conv


class RepDWConv(nn.Layer):
    """bn(conv(x) + conv1(x) + x), all per channel: k x k with a batch norm of its own, 1 x 1, and the input itself.

    Source: Wang et al., RepViT: Revisiting Mobile CNN From ViT Perspective, arXiv 2307.09283, section 3.2.

    Args:
        conv: the k x k branch: a layer of a depthwise convolution without bias and a batch norm, in this order.
        bias: of the 1 x 1 branch.
    """

    def __init__(self, channels: int, conv: nn.Layer, bias: bool):
        super().__init__()
        self.channels = channels
        self.conv = conv
        self.conv1 = nn.Conv2D(channels, channels, 1, groups=channels, bias_attr=None if bias else False)
        self.bn = nn.BatchNorm2D(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x) + self.conv1(x) + x)

    def fused(self) -> Conv2D:
        conv, norm = self.conv.children()
        kernel, bias = fold(conv.weight, norm)
        pointwise = self.conv1.weight + identity_kernel(self.channels, self.channels)
        kernel = kernel + pad_kernel(pointwise, kernel.shape[-1])
        if self.conv1.bias is not None:
            bias = bias + self.conv1.bias
        return plain_conv(*fold(kernel, self.bn, bias), groups=self.channels)


class DilatedReparamBlock(nn.Layer):
    """Depthwise convolution with a large kernel plus ones with small dilated kernels, each with its batch norm.

    (N, channels, H, W) -> the same shape.

    Source: Ding et al., UniRepLKNet, arXiv 2311.15599, section 3.1.

    Args:
        kernel_size: of the large kernel, one of `OTHERS`.
    """

    OTHERS = {  # the large kernel's size -> size and dilation of the small ones
        5: ((3, 1), (3, 2)),
        7: ((5, 1), (3, 2), (3, 3)),
        9: ((5, 1), (5, 2), (3, 3), (3, 4)),
        11: ((5, 1), (5, 2), (3, 3), (3, 4), (3, 5)),
        13: ((5, 1), (7, 2), (3, 3), (3, 4), (3, 5)),
    }

    def __init__(self, channels: int, kernel_size: int):
        super().__init__()
        self.branches = [("lk_origin", "origin_bn", kernel_size, 1)]
        self.branches += [(f"dil_conv_k{k}_{d}", f"dil_bn_k{k}_{d}", k, d) for k, d in self.OTHERS[kernel_size]]
        for conv, norm, size, dilation in self.branches:
            padding = dilation * (size // 2)
            layer = nn.Conv2D(channels, channels, size, 1, padding, dilation, groups=channels, bias_attr=False)
            self.add_sublayer(conv, layer)
            self.add_sublayer(norm, nn.BatchNorm2D(channels))

    def forward(self, x: Tensor) -> Tensor:
        return paddle.add_n([getattr(self, norm)(getattr(self, conv)(x)) for conv, norm, _, _ in self.branches])

    def fused(self) -> Conv2D:
        channels, _, size, _ = self.lk_origin.weight.shape
        kernels, biases = [], []
        for conv, norm, _, dilation in self.branches:
            kernel, bias = fold(getattr(self, conv).weight, getattr(self, norm))
            kernels.append(pad_kernel(dilate_kernel(kernel, dilation), size))
            biases.append(bias)
        return plain_conv(paddle.add_n(kernels), paddle.add_n(biases), groups=channels)
