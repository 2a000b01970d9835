"""Numbers that are not finite: found before they are printed or saved, and named."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from ppdet_db.errors import DetError


def finite_medians(recent: Sequence[dict[str, paddle.Tensor]], step: int, folder: Path) -> dict[str, float]:
    """Medians of recent losses.

    Args:
        recent: of one step each, the last of them of `step`.
        folder: where the checkpoints are, for the message.

    Raises:
        DetError: one is not finite; names it and its step.
    """
    if not recent:
        return {}
    names = list(recent[0])
    values = paddle.stack([paddle.stack([losses[name] for name in names]) for losses in recent]).numpy()
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(bad.any(axis=1).argmax())
        found = {name: value for name, value, is_bad in zip(names, values[row], bad[row], strict=True) if is_bad}
        if len(found) > 1:
            found.pop("loss", None)  # the sum says less than the part it comes from
        raise DetError(
            f"{', '.join(f'{name} is {value}' for name, value in found.items())} at step "
            f"{step - len(values) + 1 + row}: {_diverged(folder)}"
        )
    return dict(zip(names, np.median(values, axis=0).tolist(), strict=True))


def refuse_bad_weights(model: nn.Layer, step: int, folder: Path) -> None:
    """A gradient can be NaN where the loss is not; the next loss would tell, but the checkpoint comes first."""
    weights = {name: value for name, value in model.state_dict().items() if value.is_floating_point()}
    finite = paddle.stack([paddle.isfinite(value).all() for value in weights.values()]).numpy()
    if not finite.all():
        name = list(weights)[int(finite.argmin())]
        raise DetError(f"the weight {name} is not finite after step {step}: {_diverged(folder)}")


def _diverged(folder: Path) -> str:
    return (
        f"training has diverged and stops; the checkpoints in {folder} are from before. Try a lower learning "
        "rate, a longer warm-up (lr.warmup_epoch) or Optimizer.clip_norm_global."
    )
