"""A moving average of a network's weights, which usually evaluates better than the weights of any one step."""

import copy
import math
from typing import Any, Literal

import paddle
from paddle import nn

STATISTICS = ("_mean", "_variance")
"""Batch norm's parameters that have no gradient and change all the same."""

DecayType = Literal["threshold", "exponential", "normal"]


def decay_at(step: int, decay: float, gamma: float, decay_type: DecayType) -> float:
    """The share that the average keeps at a step, counted from 0."""
    if decay_type == "threshold":
        return min(decay, (1 + step) / (10 + step))
    if decay_type == "exponential":
        return decay * (1 - math.exp(-(step + 1) / gamma))
    return decay


class ModelEMA:
    """Exponential moving average of everything in a network's `state_dict`, running statistics included.

    Step t with decay d_t gives the weights of step s the share (1 - d_s) d_(s+1) ... d_t. These shares sum up to
    1 - d_1 ... d_t, and the average is divided by that (Adam's bias correction, arXiv 1412.6980 section 3, for a decay
    that varies). What is kept is the quotient itself: it moves by (1 - d_t) / (1 - d_1 ... d_t) of its distance to the
    new weights, so what does not change is its own average, to the last bit.

    `model` is a copy of the network, in evaluation mode, whose weights are the averages.

    Args:
        model: whose weights stand in for the average until the first step, which leaves nothing of them.
        decay: that of late steps, in [0, 1).
        gamma: of `exponential`: steps after which the decay has come 63 % of its way.
        decay_type: `threshold`: at most (1 + t) / (10 + t) at step t, counted from 0; `exponential`: grows to `decay`
            as 1 - exp(-(t + 1) / gamma); `normal`: `decay` from the first step on.
        filter_no_grad: leave out parameters without gradient; they do not change, so this saves work alone.
    """

    def __init__(
        self,
        model: nn.Layer,
        decay: float = 0.9998,
        gamma: float = 2000,
        decay_type: DecayType = "threshold",
        filter_no_grad: bool = False,
    ):
        self.decay, self.gamma, self.decay_type = decay, gamma, decay_type
        self.model = copy.deepcopy(model)
        self.model.eval()
        self.averages = self.model.state_dict()
        self.left_out = {
            name
            for name, weight in model.named_parameters()
            if filter_no_grad and weight.stop_gradient and not name.endswith(STATISTICS)
        }
        self.step = 0
        self.sum_of_shares = 0.0

    @paddle.no_grad()
    def update(self, model: nn.Layer) -> None:
        """Takes in the weights after an optimizer step."""
        decay = decay_at(self.step, self.decay, self.gamma, self.decay_type)
        self.step += 1
        self.sum_of_shares = decay * self.sum_of_shares + 1 - decay
        newest = (1 - decay) / self.sum_of_shares
        for name, weight in model.state_dict().items():
            if name in self.left_out:
                continue
            average = self.averages[name]
            if newest < 1 and weight.is_floating_point():
                average.add_((weight - average).scale_(newest))
            else:
                paddle.assign(weight, average)

    def state_dict(self) -> dict[str, Any]:
        """What goes on beside the averages, as plain data."""
        return {"step": self.step, "sum_of_shares": self.sum_of_shares}

    def set_state_dict(self, state: dict[str, Any], averages: dict[str, paddle.Tensor]) -> None:
        """Goes on with averages of an earlier run."""
        self.step, self.sum_of_shares = state["step"], state["sum_of_shares"]
        self.model.set_state_dict(averages)
