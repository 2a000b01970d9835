"""Paddle's optimizers under PaddleOCR's parameter names. What is built is a `paddle.optimizer.Optimizer`.

`parameters`, `learning_rate` (a number or a schedule) and `regularizer` are supplied by the program.
"""

from typing import Any

import paddle
from paddle.nn import ClipGradByGlobalNorm, ClipGradByNorm
from paddle.optimizer.lr import LRScheduler

from ppdet_db.optimizer.regularizers import L1, L2
from ppdet_db.registry import OPTIMIZERS


def _gradient_clip(clip_norm: float | None, clip_norm_global: float | None) -> Any:
    for name, value in (("clip_norm", clip_norm), ("clip_norm_global", clip_norm_global)):
        if value is not None and value <= 0:
            raise ValueError(f"{name} must be above 0, got {value}")
    if clip_norm is not None and clip_norm_global is not None:
        raise ValueError("clip_norm and clip_norm_global exclude each other: give one")
    if clip_norm is not None:
        return ClipGradByNorm(clip_norm)
    return None if clip_norm_global is None else ClipGradByGlobalNorm(clip_norm_global)


def _penalty(regularizer: L1 | L2 | None, weight_decay: float | None) -> L1 | L2 | None:
    """The one penalty that the two options name; None where its factor is 0, which spares an addition a parameter."""
    if regularizer is not None and weight_decay is not None:
        raise ValueError("weight_decay is short for a regularizer L2, and there is a regularizer: give one")
    if weight_decay is not None:
        regularizer = L2(weight_decay)
    return regularizer if regularizer is not None and regularizer.factor else None


@OPTIMIZERS.register
class Adam(paddle.optimizer.Adam):
    """Adam (arXiv 1412.6980).

    Args:
        parameters: of the model.
        learning_rate: a number or a schedule.
        regularizer: added to the gradient before the moments see it.
        beta1: decay of the mean of the gradient.
        beta2: decay of the mean of its square.
        epsilon: added to the denominator.
        weight_decay: short for a regularizer L2 of this factor.
        clip_norm: longest L2 norm of each parameter's gradient.
        clip_norm_global: longest L2 norm of all gradients together.
    """

    def __init__(
        self,
        parameters: list[paddle.Tensor],
        learning_rate: float | LRScheduler = 0.001,
        regularizer: L1 | L2 | None = None,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float | None = None,
        clip_norm: float | None = None,
        clip_norm_global: float | None = None,
    ):
        super().__init__(
            parameters=parameters,
            learning_rate=learning_rate,
            beta1=beta1,
            beta2=beta2,
            epsilon=epsilon,
            weight_decay=_penalty(regularizer, weight_decay),
            grad_clip=_gradient_clip(clip_norm, clip_norm_global),
        )


@OPTIMIZERS.register
class AdamW(paddle.optimizer.AdamW):
    """Adam with decoupled weight decay (arXiv 1711.05101): each step takes lr * factor * weight off the weight.

    Args:
        parameters: of the model.
        learning_rate: a number or a schedule.
        regularizer: L2, whose factor is the decay.
        beta1: decay of the mean of the gradient.
        beta2: decay of the mean of its square.
        epsilon: added to the denominator.
        weight_decay: the decay where there is no regularizer; 0.01 if left out.
        one_dim_param_no_weight_decay: spare biases and normalisation weights.
        clip_norm: longest L2 norm of each parameter's gradient.
        clip_norm_global: longest L2 norm of all gradients together.
    """

    def __init__(
        self,
        parameters: list[paddle.Tensor],
        learning_rate: float | LRScheduler = 0.001,
        regularizer: L2 | None = None,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float | None = None,
        one_dim_param_no_weight_decay: bool = False,
        clip_norm: float | None = None,
        clip_norm_global: float | None = None,
    ):
        if isinstance(regularizer, L1):
            raise ValueError("AdamW decays the weights itself and cannot use regularizer L1: use L2, or Adam")
        if regularizer is None and weight_decay is None:
            weight_decay = 0.01
        penalty = _penalty(regularizer, weight_decay)
        one_dimensional = {p.name for p in parameters if one_dim_param_no_weight_decay and len(p.shape) == 1}
        super().__init__(
            parameters=parameters,
            learning_rate=learning_rate,
            beta1=beta1,
            beta2=beta2,
            epsilon=epsilon,
            weight_decay=penalty.factor if penalty else 0.0,
            apply_decay_param_fun=lambda name: name not in one_dimensional,
            grad_clip=_gradient_clip(clip_norm, clip_norm_global),
        )


@OPTIMIZERS.register
class Momentum(paddle.optimizer.Momentum):
    """Stochastic gradient descent with momentum.

    Args:
        parameters: of the model.
        learning_rate: a number or a schedule.
        regularizer: added to the gradient before the velocity sees it.
        momentum: share of the velocity that each step keeps.
        weight_decay: short for a regularizer L2 of this factor.
        clip_norm: longest L2 norm of each parameter's gradient.
        clip_norm_global: longest L2 norm of all gradients together.
    """

    def __init__(
        self,
        parameters: list[paddle.Tensor],
        learning_rate: float | LRScheduler = 0.001,
        regularizer: L1 | L2 | None = None,
        momentum: float = 0.9,
        weight_decay: float | None = None,
        clip_norm: float | None = None,
        clip_norm_global: float | None = None,
    ):
        super().__init__(
            parameters=parameters,
            learning_rate=learning_rate,
            momentum=momentum,
            weight_decay=_penalty(regularizer, weight_decay),
            grad_clip=_gradient_clip(clip_norm, clip_norm_global),
        )
