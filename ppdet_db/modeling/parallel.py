"""Parallel convolutions of one input, each with its batch norm, and their sum."""

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn


def have_batch_statistics(norms: Sequence[nn.BatchNorm2D]) -> bool:
    """Whether these batch norms take the statistics of the batch, and none is held to its running ones."""
    return all(norm.training and not norm._use_global_stats for norm in norms)


def sum_of_parallel(
    x: Tensor, kernels: Sequence[Tensor], norms: Sequence[nn.BatchNorm2D], stride: int, groups: int
) -> Tensor:
    """sum over b of norm_b(kernel_b * x), which needs `have_batch_statistics`.

    (N, C, H, W), B kernels (O, C / groups, k, k), k odd -> (N, O, H / stride, W / stride)

    As one convolution to B O channels, one batch norm and the sum over each B channels side by side: a convolution on a
    CPU copies the k x k neighbourhoods of all pixels, here once and not B times.
    """
    branches, (outputs, _, size, _) = len(kernels), kernels[0].shape

    def side_by_side(tensors: Sequence[Tensor]) -> Tensor:
        return paddle.stack(tensors, axis=1).flatten(0, 1)

    mean, variance = (side_by_side([getattr(norm, name) for norm in norms]) for name in ("_mean", "_variance"))
    x = F.conv2d(x, side_by_side(kernels), stride=stride, padding=size // 2, groups=groups)
    x = F.batch_norm(
        x,
        mean,
        variance,
        side_by_side([norm.weight for norm in norms]),
        side_by_side([norm.bias for norm in norms]),
        training=True,
        momentum=norms[0]._momentum,
        epsilon=norms[0]._epsilon,
    )
    for i, norm in enumerate(norms):
        paddle.assign(mean[i::branches], norm._mean)
        paddle.assign(variance[i::branches], norm._variance)
    return F.conv2d(x, paddle.ones([outputs, branches, 1, 1]), groups=outputs)
