"""Automatic mixed precision: convolutions in 16 bits, what sums over many pixels in 32."""

import contextlib
from typing import Any

import numpy as np
import paddle

from ppdet_db.config import GlobalOptions
from ppdet_db.errors import DetError


class MixedPrecision:
    """What the AMP keys of `Global` ask for; everything in float32 where they do not, or on a CPU.

    Weights, moments, averages and checkpoints are float32 with and without. At O1 the operations that gain from it
    take their inputs in `amp_dtype`, at O2 all but those that must not. Losses and the step from probability and
    threshold to the binary map are float32 in both: they say so themselves.

    With float16, small gradients would become 0: the loss is multiplied before its gradients are taken and these
    divided afterwards. A step whose gradients are not finite is left out.

    Source: Micikevicius et al., Mixed Precision Training, arXiv 1710.03740.

    Raises:
        DetError: this GPU cannot do `amp_dtype`.
    """

    def __init__(self, options: GlobalOptions):
        self.notes: list[str] = []
        self.is_on = options.use_amp
        if self.is_on and paddle.get_device() == "cpu":
            self.is_on = False
            self.notes.append("Global.use_amp has no effect on a CPU, where Paddle has no convolution in 16 bits")
        if self.is_on:
            require_dtype(options.amp_dtype)
        self.casting = {
            "level": options.amp_level,
            "dtype": options.amp_dtype,
            "custom_black_list": options.amp_custom_black_list,
            "custom_white_list": options.amp_custom_white_list,
        }
        self.scaler = paddle.amp.GradScaler(
            enable=self.is_on and options.amp_dtype == "float16",
            init_loss_scaling=options.scale_loss,
            use_dynamic_loss_scaling=options.use_dynamic_loss_scaling,
        )
        self._make_factor_a_number()

    def forward(self) -> contextlib.AbstractContextManager:
        """Around what computes predictions."""
        return paddle.amp.auto_cast(**self.casting) if self.is_on else contextlib.nullcontext()

    def backward(self, loss: paddle.Tensor) -> None:
        """Adds the gradients of a loss to those that are there, multiplied where that is needed."""
        self.scaler.scale(loss).backward()

    def step(self, optimizer: Any) -> None:
        """One step by the gradients that are there."""
        self.scaler.step(optimizer)
        self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """The factor on the loss and how long it has done, as plain data; empty without one."""
        state = self.scaler.state_dict()
        return {**state, "scale": state["scale"].item()} if state else {}

    def set_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on with the factor of an earlier run, where both runs have one."""
        if state and self.scaler.is_enable():
            self.scaler.load_state_dict({**state, "scale": np.array([state["scale"]], np.float32)})
            self._make_factor_a_number()

    def _make_factor_a_number(self) -> None:
        """Paddle 3.3.1 has it in shape [1], of which `float`, called when a step overflows, fails with NumPy 2.4."""
        if self.scaler.is_enable():
            self.scaler._scale = self.scaler._scale.reshape([])


def require_dtype(dtype: str) -> None:
    supported = {"float16": paddle.amp.is_float16_supported, "bfloat16": paddle.amp.is_bfloat16_supported}
    if not supported[dtype]():
        raise DetError(f"Global.amp_dtype is {dtype}, which this GPU has no operations for: use the other one")
