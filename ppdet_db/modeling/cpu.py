"""Other ways to the same numbers, for what Paddle's kernels are slow at on a CPU.

Each equals the plain way but for the order of its sums. They are taken for float32 on a CPU in dynamic mode; graphs to
export, other devices and other precisions keep Paddle's layers.
"""

import functools

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn


def is_faster_here(x: Tensor) -> bool:
    return paddle.in_dynamic_mode() and paddle.get_device() == "cpu" and x.dtype == paddle.float32


def channel_affine(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """scale x + shift, one of each for a channel: (N, C, H, W), (C,), (C,) -> (N, C, H, W).

    As a batch norm whose mean is 0 and whose variance is 1: its kernel takes a channel at a time, where an addition
    that broadcasts looks up every single element.
    """
    zeros, ones = paddle.zeros_like(shift), paddle.ones_like(shift)
    if scale.stop_gradient != shift.stop_gradient:  # Paddle 3.3.1 gives both of them a gradient, or none
        scale, shift = _with_gradient(scale), _with_gradient(shift)
    return F.batch_norm(x, zeros, ones, scale, shift, epsilon=0.0, use_global_stats=True)


def _with_gradient(x: Tensor) -> Tensor:
    if x.stop_gradient:
        x = x.detach()
        x.stop_gradient = False
    return x


def add_bias(x: Tensor, bias: Tensor | None) -> Tensor:
    """x + bias, one for a channel: (N, C, H, W), (C,) -> (N, C, H, W)."""
    return x if bias is None else channel_affine(x, paddle.ones_like(bias), bias)


def conv_upsampled(x: Tensor, weight: Tensor, scale: int = 1) -> Tensor:
    """The convolution of `upsample_nearest(x, scale)` by a kernel (O, I, k, k), k odd, that keeps the size.

    (N, I, H, W) -> (N, O, scale H, scale W)

    As one transposed convolution of stride `scale`. Input pixel i stands at the upsampled pixels scale i + a,
    0 <= a < scale; a kernel K gives each of them to the outputs up to k // 2 away. So what i gives to output
    scale i - k // 2 + u is sum over a of K[k - 1 - (u - a)], in both directions: the kernel turned by 180 degrees
    and convolved with a scale x scale square of ones.

    A convolution copies the k x k neighbourhood of each pixel, I k^2 numbers, and multiplies; transposed it
    multiplies first and adds O k^2 products to their pixels. So it is the faster one where O < I, whatever the scale;
    and upsampled it has (k + scale - 1)^2 / scale^2 products for each pixel in the place of k^2.
    """
    outputs, inputs, size, _ = weight.shape
    spread = paddle.to_tensor(spreading(size, scale))
    kernel = weight.transpose([1, 0, 2, 3]).reshape([inputs * outputs, size**2]).matmul(spread)
    large = size + scale - 1
    return F.conv2d_transpose(x, kernel.reshape([inputs, outputs, large, large]), stride=scale, padding=size // 2)


@functools.cache
def spreading(size: int, scale: int) -> np.ndarray:
    """(size^2, (size + scale - 1)^2) of 0 and 1: what a kernel, flat, is multiplied with; see conv_upsampled."""
    along = np.zeros((size, size + scale - 1), np.float32)
    for tap in range(size):
        along[size - 1 - tap, tap : tap + scale] = 1
    return np.kron(along, along)


class Conv2D(nn.Conv2D):
    """`nn.Conv2D`, its parameters and its results."""

    def forward(self, x: Tensor) -> Tensor:
        if not is_faster_here(x):
            return super().forward(x)
        return add_bias(self.without_bias(x), self.bias)

    def without_bias(self, x: Tensor) -> Tensor:
        """What the bias has yet to be added to."""
        if self._narrows():
            return conv_upsampled(x, self.weight)
        return F.conv2d(x, self.weight, None, self._stride, self._padding, self._dilation, self._groups)

    def _narrows(self) -> bool:
        """Whether `conv_upsampled` can do it, and does it faster."""
        outputs, inputs, height, width = self.weight.shape
        return (
            outputs < inputs
            and self._groups == 1
            and height == width > 1
            and height % 2 == 1
            and self._padding == height // 2
            and self._stride == self._dilation == [1, 1]
        )


class Conv2DTranspose(nn.Conv2DTranspose):
    """`nn.Conv2DTranspose`, its parameters and its results; without `output_size` and `output_padding`."""

    def forward(self, x: Tensor) -> Tensor:
        if not is_faster_here(x):
            return super().forward(x)
        x = F.conv2d_transpose(
            x, self.weight, None, self._stride, self._padding, groups=self._groups, dilation=self._dilation
        )
        return add_bias(x, self.bias)
