"""Paddle's optimizers under PaddleOCR's parameter names. What is built is a `paddle.optimizer.Optimizer`.

`parameters` (by the names they have in the model), `learning_rate` (a number or a schedule) and `regularizer` are
supplied by the program.

What a layer says of its own parameter with `ParamAttr` goes before what is said here: `learning_rate` multiplies the
rate, `regularizer` takes the place of the penalty. (Paddle's constructors, given the penalty, print that it "will not
take effect" as soon as one parameter brings its own; set afterwards it has the same effect without that line.)
"""

from typing import Any

import paddle
from paddle.nn import ClipGradByGlobalNorm, ClipGradByNorm
from paddle.optimizer.lr import LRScheduler

from ppdet_db.optimizer.regularizers import L1, L2, CosineL2Decay
from ppdet_db.registry import OPTIMIZERS

Penalty = L1 | L2 | CosineL2Decay


def _gradient_clip(clip_norm: float | None, clip_norm_global: float | None) -> Any:
    for name, value in (("clip_norm", clip_norm), ("clip_norm_global", clip_norm_global)):
        if value is not None and value <= 0:
            raise ValueError(f"{name} must be above 0, got {value}")
    if clip_norm is not None and clip_norm_global is not None:
        raise ValueError("clip_norm and clip_norm_global exclude each other: give one")
    if clip_norm is not None:
        return ClipGradByNorm(clip_norm)
    return None if clip_norm_global is None else ClipGradByGlobalNorm(clip_norm_global)


def _penalty(
    regularizer: Penalty | None, weight_decay: float | None, learning_rate: float | LRScheduler
) -> Penalty | None:
    """The one penalty that the two options name; None where its factor is 0, which spares an addition a parameter."""
    if regularizer is not None and weight_decay is not None:
        raise ValueError("weight_decay is short for a regularizer L2, and there is a regularizer: give one")
    if isinstance(regularizer, CosineL2Decay):
        regularizer.follow(learning_rate)
        return regularizer
    if weight_decay is not None:
        regularizer = L2(weight_decay)
    return regularizer if regularizer is not None and regularizer.factor else None


@OPTIMIZERS.register
class Adam(paddle.optimizer.Adam):
    """Adam (arXiv 1412.6980).

    Args:
        parameters: of the model, by name.
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
        parameters: dict[str, paddle.Tensor],
        learning_rate: float | LRScheduler = 0.001,
        regularizer: Penalty | None = None,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float | None = None,
        clip_norm: float | None = None,
        clip_norm_global: float | None = None,
    ):
        super().__init__(
            parameters=list(parameters.values()),
            learning_rate=learning_rate,
            beta1=beta1,
            beta2=beta2,
            epsilon=epsilon,
            grad_clip=_gradient_clip(clip_norm, clip_norm_global),
        )
        self.regularization = _penalty(regularizer, weight_decay, learning_rate)


@OPTIMIZERS.register
class AdamW(paddle.optimizer.AdamW):
    """Adam with decoupled weight decay (arXiv 1711.05101): each step takes lr * factor * weight off the weight.

    A parameter that brings a penalty of its own is spared the decay, as the others spare it theirs. (Paddle's AdamW
    would apply both.)

    Args:
        parameters: of the model, by name.
        learning_rate: a number or a schedule.
        regularizer: L2, whose factor is the decay.
        beta1: decay of the mean of the gradient.
        beta2: decay of the mean of its square.
        epsilon: added to the denominator.
        weight_decay: the decay where there is no regularizer; 0.01 if left out.
        no_weight_decay_name: parts of names, with spaces between; a parameter whose name holds one is spared.
        one_dim_param_no_weight_decay: spare biases and normalisation weights.
        clip_norm: longest L2 norm of each parameter's gradient.
        clip_norm_global: longest L2 norm of all gradients together.
    """

    def __init__(
        self,
        parameters: dict[str, paddle.Tensor],
        learning_rate: float | LRScheduler = 0.001,
        regularizer: L2 | CosineL2Decay | None = None,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float | None = None,
        no_weight_decay_name: str | None = None,
        one_dim_param_no_weight_decay: bool = False,
        clip_norm: float | None = None,
        clip_norm_global: float | None = None,
    ):
        if isinstance(regularizer, L1):
            raise ValueError("AdamW decays the weights itself and cannot use regularizer L1: use L2, or Adam")
        if regularizer is None and weight_decay is None:
            weight_decay = 0.01
        self.penalty = _penalty(regularizer, weight_decay, learning_rate)
        parts = (no_weight_decay_name or "").split()
        spared = {
            parameter.name
            for name, parameter in parameters.items()
            if parameter.regularizer is not None
            or any(part in name for part in parts)
            or (one_dim_param_no_weight_decay and parameter.ndim == 1)
        }
        super().__init__(
            parameters=list(parameters.values()),
            learning_rate=learning_rate,
            beta1=beta1,
            beta2=beta2,
            epsilon=epsilon,
            weight_decay=0.0,  # `step` sets it
            apply_decay_param_fun=lambda name: name not in spared,
            grad_clip=_gradient_clip(clip_norm, clip_norm_global),
        )

    def step(self) -> None:
        self._weight_decay = self.penalty.factor if self.penalty else 0.0
        super().step()


@OPTIMIZERS.register
class Momentum(paddle.optimizer.Momentum):
    """Stochastic gradient descent with momentum.

    Args:
        parameters: of the model, by name.
        learning_rate: a number or a schedule.
        regularizer: added to the gradient before the velocity sees it.
        momentum: share of the velocity that each step keeps.
        weight_decay: short for a regularizer L2 of this factor.
        clip_norm: longest L2 norm of each parameter's gradient.
        clip_norm_global: longest L2 norm of all gradients together.
    """

    def __init__(
        self,
        parameters: dict[str, paddle.Tensor],
        learning_rate: float | LRScheduler = 0.001,
        regularizer: Penalty | None = None,
        momentum: float = 0.9,
        weight_decay: float | None = None,
        clip_norm: float | None = None,
        clip_norm_global: float | None = None,
    ):
        super().__init__(
            parameters=list(parameters.values()),
            learning_rate=learning_rate,
            momentum=momentum,
            grad_clip=_gradient_clip(clip_norm, clip_norm_global),
        )
        self.regularization = _penalty(regularizer, weight_decay, learning_rate)


@OPTIMIZERS.register
class RMSProp(paddle.optimizer.RMSProp):
    """Gradient descent by the gradient over the root of its mean square (Hinton, lecture 6e of "Neural Networks").

    Args:
        parameters: of the model, by name.
        learning_rate: a number or a schedule.
        regularizer: added to the gradient before the means see it.
        momentum: share of the velocity that each step keeps.
        rho: decay of the mean of the gradient's square.
        epsilon: added to that mean.
        weight_decay: short for a regularizer L2 of this factor.
        clip_norm: longest L2 norm of each parameter's gradient.
        clip_norm_global: longest L2 norm of all gradients together.
    """

    def __init__(
        self,
        parameters: dict[str, paddle.Tensor],
        learning_rate: float | LRScheduler = 0.001,
        regularizer: Penalty | None = None,
        momentum: float = 0.0,
        rho: float = 0.95,
        epsilon: float = 1e-6,
        weight_decay: float | None = None,
        clip_norm: float | None = None,
        clip_norm_global: float | None = None,
    ):
        super().__init__(
            parameters=list(parameters.values()),
            learning_rate=learning_rate,
            momentum=momentum,
            rho=rho,
            epsilon=epsilon,
            grad_clip=_gradient_clip(clip_norm, clip_norm_global),
        )
        self.regularization = _penalty(regularizer, weight_decay, learning_rate)


@OPTIMIZERS.register
class Adadelta(paddle.optimizer.Adadelta):
    """Steps as long as the past ones were, for gradients as large as the past ones (arXiv 1212.5701).

    Args:
        parameters: of the model, by name.
        learning_rate: a number or a schedule; the paper has 1.
        regularizer: added to the gradient before the means see it.
        rho: decay of the means of the squares of gradient and step.
        epsilon: added to both.
        weight_decay: short for a regularizer L2 of this factor.
        clip_norm: longest L2 norm of each parameter's gradient.
        clip_norm_global: longest L2 norm of all gradients together.
    """

    def __init__(
        self,
        parameters: dict[str, paddle.Tensor],
        learning_rate: float | LRScheduler = 0.001,
        regularizer: Penalty | None = None,
        rho: float = 0.95,
        epsilon: float = 1e-8,
        weight_decay: float | None = None,
        clip_norm: float | None = None,
        clip_norm_global: float | None = None,
    ):
        super().__init__(
            parameters=list(parameters.values()),
            learning_rate=learning_rate,
            rho=rho,
            epsilon=epsilon,
            grad_clip=_gradient_clip(clip_norm, clip_norm_global),
        )
        self.regularization = _penalty(regularizer, weight_decay, learning_rate)
