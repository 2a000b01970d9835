"""A checkpoint is a folder: `model.safetensors`, `optimizer.safetensors`, `state.json`. Reading one runs no code.

It is written beside its place, synced and renamed, so at every moment one whole checkpoint is there: a kill between
the two renames leaves the old one as `NAME.previous`, which `find` then returns.

`model.safetensors` is what evaluates and predicts. Where training averages its weights, that is the average, and the
weights that training goes on with lie beside it, in `training.safetensors`.

PaddleOCR's files are read as well, here as one `.pdparams` file with its `.pdopt` and `.states` beside it.
"""

import json
import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from safetensors import SafetensorError
from safetensors.paddle import load_file
from safetensors.paddle import save as to_bytes

from ppdet_db.engine import download, paddleocr
from ppdet_db.engine.pdparams import owner_and_slot
from ppdet_db.errors import CheckpointError

MODEL, TRAINING, OPTIMIZER, STATE = (
    "model.safetensors",
    "training.safetensors",
    "optimizer.safetensors",
    "state.json",
)


def save(
    folder: str | os.PathLike,
    model: paddle.nn.Layer,
    optimizer: Any = None,
    state: dict | None = None,
    average: paddle.nn.Layer | None = None,
) -> None:
    """Writes a checkpoint folder, replacing one of that name.

    Args:
        optimizer: its moments are stored by structured parameter name (`backbone.conv1.weight/moment1_0`), never by
            Paddle's global counters, which differ as soon as another model was built first.
        state: JSON data; epoch, steps, schedule, random states.
        average: the same network with averaged weights.

    Raises:
        CheckpointError: the folder cannot be written; what was there before is still there.
    """
    folder = Path(folder)
    fresh, previous = Path(f"{folder}.writing"), _previous(folder)
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for name, network in ((MODEL, average or model), (TRAINING, model if average else None)):
            if network is not None:
                (fresh / name).write_bytes(to_bytes(_contiguous(network.state_dict())))
        if optimizer is not None:
            moments = _by_structured_name(model, optimizer.state_dict())
            (fresh / OPTIMIZER).write_bytes(to_bytes(_contiguous(moments)))
        (fresh / STATE).write_text(json.dumps(state or {}))
        for path in fresh.iterdir():
            _sync(path)
        _sync(fresh)
        if folder.exists():  # else `previous` is the only one there is, and stays until the new one is in place
            shutil.rmtree(previous, ignore_errors=True)
            os.rename(folder, previous)
        os.rename(fresh, folder)
        _sync(folder.parent)
        shutil.rmtree(previous, ignore_errors=True)
    except OSError as error:
        raise CheckpointError(f"{folder}: the checkpoint cannot be written: {error.strerror or error}") from error


def find(folder: str | os.PathLike, missing_ok: bool = False) -> Path | None:
    """The checkpoint of that name: `NAME.previous` if a kill interrupted its replacement.

    Or PaddleOCR's `.pdparams` file, named whole, by its prefix, or by an address it is downloaded from.

    Raises:
        CheckpointError: there is none; says what to do.
    """
    folder = download.fetch(str(folder)) if download.is_url(folder) else Path(folder)
    for whole in (folder, _previous(folder)):
        if os.path.isfile(whole / MODEL):  # not Path.is_file, which raises where a folder may not be entered
            return whole
    if os.path.isfile(paddleocr.weights_file(folder)):
        return paddleocr.weights_file(folder)
    if missing_ok:
        return None
    if folder.suffix in (".pdiparams", ".pdmodel", ".json"):
        raise CheckpointError(
            f"{folder}: belongs to an exported model, which cannot be trained or evaluated. Give the weights of a "
            "training: a checkpoint folder or a .pdparams file."
        )
    reason = f"holds no {MODEL}" if folder.is_dir() else "there is no such folder or file"
    raise CheckpointError(
        f"{folder}: {reason}. A checkpoint is a folder such as output/run/best_accuracy, or PaddleOCR's .pdparams file."
    )


@dataclass(frozen=True)
class LoadReport:
    """What of a file went into a model. Names are structured parameter names, `renamed` says how they came about."""

    source: str
    loaded: list[str]
    missing: list[str]
    unexpected: list[str]
    unequal_shape: list[str]
    renamed: str = ""
    averaged: bool = False

    def __str__(self) -> str:
        parts = [
            f"{len(self.loaded)} of {len(self.loaded) + len(self.missing) + len(self.unequal_shape)} arrays loaded"
        ]
        for what, names in (
            ("not in the file", self.missing),
            ("not in the model", self.unexpected),
            ("of another shape", self.unequal_shape),
        ):
            if names:
                parts.append(f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})")
        if self.averaged:
            parts.append("these are the averages (use_ema)")
        return f"{self.source}: {'; '.join(filter(None, [*parts, self.renamed]))}"


def load_weights(
    model: paddle.nn.Layer, folder: str | os.PathLike, *, strict: bool, to_train_on: bool = False
) -> LoadReport:
    """Sets the weights of `model` from a checkpoint folder or a PaddleOCR file.

    Args:
        strict: everything must match, as in resuming and evaluating; else at least one array must (pretrained weights).
        to_train_on: where the checkpoint has averaged weights, take those that they are averaged from.

    Raises:
        CheckpointError: no such checkpoint, a damaged file, or too little matches. The model is unchanged then.
    """
    folder = find(folder)
    own = model.state_dict()
    path = folder / (TRAINING if has_average(folder) and to_train_on else MODEL)
    given, renamed = paddleocr.weights(folder, own) if folder.is_file() else (_read(path), "")
    equal = [name for name in own if name in given and given[name].shape == own[name].shape]
    report = LoadReport(
        source=str(folder),
        loaded=equal,
        missing=[name for name in own if name not in given],
        unexpected=[name for name in given if name not in own],
        unequal_shape=[name for name in own if name in given and given[name].shape != own[name].shape],
        renamed=renamed,
        averaged=has_average(folder) and not to_train_on,
    )
    if report.unexpected and hasattr(model, "fuse") and set(given) <= set(model.fuse().state_dict()):
        raise CheckpointError(
            f"{folder}: holds the weights of the fused network. Set Architecture.fused: true in the config, or "
            "-o Architecture.fused=true."
        )
    if not equal:
        raise CheckpointError(f"{report}. Nothing matches: it belongs to another architecture.")
    if strict and (report.missing or report.unexpected or report.unequal_shape):
        raise CheckpointError(
            f"{report}. It belongs to another architecture: use the config it was trained with (config.yml beside it), "
            "or load what matches with Global.pretrained_model."
        )
    for name in equal:
        own[name].set_value(given[name].astype(own[name].dtype))
    return report


def has_average(folder: str | os.PathLike) -> bool:
    """Whether a checkpoint folder has averaged weights beside those to train on."""
    return (Path(folder) / TRAINING).is_file()


def load_average(folder: str | os.PathLike) -> dict[str, paddle.Tensor]:
    """The averaged weights of a checkpoint folder, by name."""
    return _read(find(folder) / MODEL)


def load_optimizer(model: paddle.nn.Layer, optimizer: Any, folder: str | os.PathLike) -> tuple[list[str], list[str]]:
    """Sets the optimizer's moments from a checkpoint. Raises CheckpointError when another model's are there.

    Returns the names of trained parameters for which there are none (they begin at zero), and of those that have some
    and are not trained (they are left out).
    """
    folder = find(folder)
    path = paddleocr.optimizer_file(folder) if folder.is_file() else folder / OPTIMIZER
    if not path.is_file():
        raise CheckpointError(
            f"{path}: not there, so training cannot resume from this checkpoint. Start from its weights with "
            "Global.pretrained_model."
        )
    parameters = model.state_dict()
    state, owners = {}, set()
    moments = paddleocr.moments(folder, model, optimizer) if folder.is_file() else _read(path)
    for key, tensor in moments.items():
        name, _, slot = key.rpartition("/")
        if name not in parameters:
            raise CheckpointError(f"{path}: holds a moment of '{name}', which the model does not have")
        owners.add(name)
        if not parameters[name].stop_gradient:
            tensor.name = f"{parameters[name].name}_{slot}"
            state[tensor.name] = tensor
    own = optimizer.state_dict()
    if "LR_Scheduler" in own:  # Paddle insists on one; the schedule's owner restores it by itself
        state["LR_Scheduler"] = own["LR_Scheduler"]
    optimizer.set_state_dict(state)
    without = [name for name, tensor in model.named_parameters() if not tensor.stop_gradient and name not in owners]
    return without, [name for name in parameters if name in owners and parameters[name].stop_gradient]


def load_state(folder: str | os.PathLike) -> dict:
    """The JSON state of a checkpoint folder; of a PaddleOCR training, what can be known of it."""
    folder = find(folder)
    if folder.is_file():
        return {**paddleocr.state(folder), "random_states": random_states()}
    path = folder / STATE
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error


def random_states() -> dict:
    """Every global random state as plain data; ours draw from explicit seeds, a user's component may not."""
    kind, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": [kind, keys.tolist(), *rest],
        "paddle": [_plain(state.__getstate__()) for state in paddle.get_rng_state()],
    }


def set_random_states(states: dict) -> None:
    version, keys, gauss = states["python"]
    random.setstate((version, tuple(keys), gauss))
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), *rest))
    current = [_plain(state.__getstate__()) for state in paddle.get_rng_state()]
    if [device for device, *_ in current] == [
        device for device, *_ in states["paddle"]
    ]:  # a GPU's says nothing to a CPU
        paddle.set_rng_state([_generator_state(*plain) for plain in states["paddle"]])


def _plain(state: tuple) -> list:
    *head, text = state
    return [*head, bytes(text).decode()]


def _generator_state(*plain: Any) -> Any:
    *head, text = plain
    kind = type(paddle.get_rng_state()[0])
    state = kind.__new__(kind)  # on a state that is in use already, __setstate__ has no effect (Paddle 3.3.1)
    state.__setstate__((*head, list(text.encode())))
    return state


def _by_structured_name(model: paddle.nn.Layer, state: dict) -> dict:
    """`conv2d_0.w_0_moment1_0` -> `backbone.conv1.weight/moment1_0`."""
    names = {tensor.name: name for name, tensor in model.state_dict().items()}
    renamed = {}
    for key, value in state.items():
        if not isinstance(value, paddle.Tensor):
            continue  # the schedule, which state.json holds
        owner, slot = owner_and_slot(key, names)
        renamed[f"{names[owner]}/{slot}"] = value
    return renamed


def _contiguous(tensors: dict) -> dict:
    return {name: tensor if tensor.is_contiguous() else tensor.contiguous() for name, tensor in tensors.items()}


def _read(path: Path) -> dict[str, paddle.Tensor]:
    try:
        return load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read, the file is damaged or not safetensors: {error}") from error


def _previous(folder: Path) -> Path:
    return Path(f"{folder}.previous")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
