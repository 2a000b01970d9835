"""Automatic mixed precision: convolutions in 16 bits, what sums over many pixels in 32."""

import contextlib
from typing import Any

import paddle

from ppdet_db.config import GlobalOptions
from ppdet_db.errors import DetError

LEFT_OUT_AT_MOST = 50
"""So many steps in a row end a training: halved as often, any factor has become small enough for gradients to fit."""


class MixedPrecision:
    """What the AMP keys of `Global` ask for; everything in float32 where they do not, or on a CPU.

    Weights, moments, averages and checkpoints are float32 with and without. At O1 the operations that gain from it
    take their inputs in `amp_dtype`, at O2 all but those that must not. Losses and the step from probability and
    threshold to the binary map are float32 in both: they say so themselves.

    With float16, small gradients would become 0: the loss is multiplied before its gradients are taken and these
    divided afterwards. A step whose gradients are not finite is left out: weights and moments stay what they are.

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
        if self.scaler.is_enable():
            self._set_factor(options.scale_loss)
        self.left_out = 0  # steps in a row

    def forward(self) -> contextlib.AbstractContextManager:
        """Around what computes predictions."""
        return paddle.amp.auto_cast(**self.casting) if self.is_on else contextlib.nullcontext()

    def backward(self, loss: paddle.Tensor) -> None:
        """Adds the gradients of a loss to those that are there, multiplied where that is needed."""
        self.scaler.scale(loss).backward()

    def step(self, optimizer: Any) -> None:
        """One step by the gradients that are there.

        Raises:
            DetError: for many steps now they have not been finite.
        """
        self.scaler.step(optimizer)
        if self.scaler.is_enable():
            self.left_out = self.left_out + 1 if self.scaler._cache_found_inf else 0
        if self.left_out == LEFT_OUT_AT_MOST:
            raise DetError(
                f"{self.left_out} steps in a row were left out, because their gradients are not finite in float16. Try "
                "Global.use_dynamic_loss_scaling=true or a smaller Global.scale_loss, else Global.amp_dtype=bfloat16"
            )
        self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """The factor on the loss and how long it has done, as plain data; empty without one."""
        scaler = self.scaler
        if not scaler.is_enable():
            return {}
        return {"scale": scaler._scale.item(), "incr_count": scaler._incr_count, "decr_count": scaler._decr_count}

    def set_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on with the factor of an earlier run, if this one looks for it; else `scale_loss` says what it is."""
        if state and self.scaler.is_use_dynamic_loss_scaling():
            self._set_factor(state["scale"])
            self.scaler._incr_count, self.scaler._decr_count = state["incr_count"], state["decr_count"]

    def _set_factor(self, factor: float) -> None:
        """As a number: Paddle 3.3.1 has it in shape [1], whose `float`, at a step that overflows, NumPy 2.4 refuses."""
        self.scaler._scale = paddle.to_tensor(factor, "float32")


def require_dtype(dtype: str) -> None:
    supported = {"float16": paddle.amp.is_float16_supported, "bfloat16": paddle.amp.is_bfloat16_supported}
    if not supported[dtype]():
        raise DetError(f"Global.amp_dtype is {dtype}, which this GPU has no operations for: use the other one")
