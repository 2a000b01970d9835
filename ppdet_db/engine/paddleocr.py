"""PaddleOCR's checkpoints as `checkpoint.py` wants them: which arrays of `x.pdparams`, `x.pdopt` and `x.states` belong
to what in a model, an optimizer and a training of ours.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paddle

from ppdet_db.engine import pdparams
from ppdet_db.engine.log import logger
from ppdet_db.errors import CheckpointError

Tensors = dict[str, paddle.Tensor]

WRAPPERS = ("model", "module", "_layers")
"""What names begin with, once or several times, where a network was saved inside of what ran it on several cards."""


def weights_file(path: str | os.PathLike) -> Path:
    """`x.pdparams` of `x`, as PaddleOCR's configs write it, of `x.pdopt` and of itself."""
    return Path(_prefix(path) + pdparams.WEIGHTS)


def optimizer_file(path: str | os.PathLike) -> Path:
    return Path(_prefix(path) + pdparams.OPTIMIZER)


def weights(file: Path, own: Tensors) -> tuple[Tensors, str]:
    """(name -> array, how the names were changed) of the network in the file that fits `own` best."""
    given = {name: paddle.to_tensor(value) for name, value in pdparams.read_weights(file).items()}
    readings = list(_readings(given))
    bare = {unwrapped(name): value for name, value in given.items()}
    if len(bare) == len(given):  # else names are taken twice: whichever was meant, not both
        gone = dict.fromkeys(name.removesuffix(unwrapped(name)) for name in given)
        stripped = f"{', '.join(repr(wrapper) for wrapper in gone if wrapper)} stripped"
        readings += [(network, "; ".join(filter(None, [stripped, how]))) for network, how in _readings(bare)]

    def fitting(reading: tuple[Tensors, str]) -> int:
        return sum(name in own and own[name].shape == value.shape for name, value in reading[0].items())

    return max(readings, key=fitting)  # of those that fit alike, the one with the fewest changes


def _readings(given: Tensors) -> Iterator[tuple[Tensors, str]]:
    """The networks that a file may hold, with what is done to its names.

    A distillation saves several, each under a name (`Student.backbone.conv1...`); a training on ImageNet saves a
    backbone alone (`conv1...`) and its classifier.
    """
    yield given, ""
    networks = sorted({name.partition(".")[0] for name in given if "." in name})
    for network in networks:
        inner = {name.removeprefix(f"{network}."): given[name] for name in given if name.startswith(f"{network}.")}
        others = ", ".join(other for other in networks if other != network)
        yield inner, f"'{network}.' stripped{f'; {others} left aside' if others else ''}"
    yield {f"backbone.{name}": value for name, value in given.items()}, "'backbone.' put before each name"


def unwrapped(name: str) -> str:
    """`backbone.conv1.weight` of `model.module.backbone.conv1.weight`."""
    first, _, rest = name.partition(".")
    return unwrapped(rest) if first in WRAPPERS and rest else name


def moments(file: Path, model: paddle.nn.Layer, optimizer: Any) -> Tensors:
    """`backbone.conv1.weight/moment1_0` -> array, each of a kind that `optimizer` keeps and of its weight's shape.

    Raises:
        CheckpointError: the file is of another optimizer or network, or cannot be told whose its arrays are.
    """
    own = model.state_dict()
    saved, _ = pdparams.read_optimizer(_prefix(file))
    given = {(name if name in own else unwrapped(name), slot): value for (name, slot), value in saved.items()}
    trained = {name: list(value.shape) for name, value in model.named_parameters() if not value.stop_gradient}
    slots = {getattr(optimizer, attribute) for attribute in dir(optimizer) if attribute.endswith("_acc_str")}
    for (name, slot), value in given.items():
        if slot.rpartition("_")[0] not in slots:
            raise _unfit(file, f"'{slot}' is nothing that {type(optimizer).__name__} keeps")
        if value.size != 1 and list(value.shape) != trained.get(name, list(value.shape)):
            raise _unfit(file, f"'{slot}' of {name} is {list(value.shape)}, the weight {trained[name]}")
    return {f"{name}/{slot}": paddle.to_tensor(value) for (name, slot), value in given.items()}


def state(file: Path) -> dict[str, Any]:
    """What a trainer restores. As in PaddleOCR, training goes on with the epoch after the one it was saved in."""
    states = pdparams.read_states(_prefix(file))
    _, schedule_step = pdparams.read_optimizer(_prefix(file))
    epoch, step = states.get("epoch", 0), states.get("global_step", schedule_step or 0)
    scores = states.get("best_model_dict", {})
    best = scores.get("hmean") if isinstance(scores, dict) else None
    if not (isinstance(epoch, int) and isinstance(step, int) and isinstance(schedule_step, int | None)):
        raise CheckpointError(
            f"{_prefix(file)}{pdparams.STATES}: how far the training got must be whole numbers, got epoch {epoch!r}, "
            f"global_step {step!r}, last_epoch {schedule_step!r}"
        )
    logger.info(
        "%s: saved by PaddleOCR %s%s", file,
        f"in epoch {epoch}" if states else f"without {pdparams.STATES}, so epochs are counted from 1 again",
        f"; its best hmean is {best:.4f}" if isinstance(best, float) else "",
    )  # fmt: skip
    return {
        "epoch": epoch,
        "batch_in_epoch": 0,
        "global_step": step,
        "evaluated_at": -1,
        "best": {},
        "schedule": {"last_epoch": step if schedule_step is None else schedule_step},
        "frozen": [],  # PaddleOCR freezes nothing: a weight without moments there is one that nothing uses
    }


def _prefix(path: str | os.PathLike) -> str:
    return str(path).removesuffix(pdparams.WEIGHTS).removesuffix(pdparams.OPTIMIZER)


def _unfit(file: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{optimizer_file(file)}: does not fit this training: {reason}. Use the Architecture and Optimizer that it was "
        "saved with, or start from its weights with Global.pretrained_model."
    )
