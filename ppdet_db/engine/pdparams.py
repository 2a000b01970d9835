"""Reads what PaddleOCR saves: `x.pdparams` (weights), `x.pdopt` (optimizer), `x.states` (how far a training got).

These are pickles, and a pickle may name any function to be called while it is read. Here it may ask for arrays,
numbers, text, dicts, lists and tuples; any other name is refused, and nothing it names is imported. Arrays are built
by this module from their bytes, not by NumPy's own unpickling, which trusts what it is given.
"""

import pickle
import re
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

import numpy as np

from ppdet_db.errors import CheckpointError

WEIGHTS, OPTIMIZER, STATES = ".pdparams", ".pdopt", ".states"
NAMES = "StructuredToParameterName@@"
"""The entry of a weights file that gives each array's name in Paddle's own counting: `conv2d_0.w_0`."""

OTHER_NAMES = {"numpy._core.multiarray": "numpy.core.multiarray", "__builtin__": "builtins"}
"""Modules as NumPy 2 and pickles of protocol 2 call them."""


def read_weights(file: Path) -> dict[str, np.ndarray]:
    """Structured name -> array. bfloat16, which Paddle stores as uint16, comes as float32.

    Raises:
        CheckpointError: the file cannot be read, is no weights file, or asks for more than arrays.
    """
    weights = {name: value for name, value in _read_dict(file).items() if name != NAMES}
    if not weights:
        raise CheckpointError(f"{file}: holds no weights: it is empty")
    for name, value in weights.items():
        if not isinstance(value, np.ndarray):
            raise CheckpointError(f"{file}: holds no weights: '{name}' in it is no array")
    return {name: _float32(value) if value.dtype == np.uint16 else value for name, value in weights.items()}


def read_optimizer(prefix: str) -> tuple[dict[tuple[str, str], np.ndarray], int | None]:
    """((structured name, slot) -> array, step of the learning rate) of `prefix.pdopt`; slots are such as `moment1_0`.

    The file names its arrays by Paddle's counters (`conv2d_0.w_0_moment1_0`), whose order is that in which another
    program built its network. Which weight a counter stands for says the table in the weights file beside it.

    Raises:
        CheckpointError: a file is missing or damaged, or an array cannot be told whose it is.
    """
    file, weights = Path(prefix + OPTIMIZER), Path(prefix + WEIGHTS)
    content = _read_dict(file)
    names = _read_dict(weights).get(NAMES)
    if not isinstance(names, dict):
        raise _no_resume(file, f"{weights.name} lacks the table {NAMES}, which says which weight an array belongs to")
    if content.pop("master_weights", None):
        raise _no_resume(file, "it was saved in mixed precision (amp_level O2)")
    schedule = content.pop("LR_Scheduler", {})
    content.pop(NAMES, None)  # the arrays under their own names
    structured = {str(counter): str(name) for name, counter in names.items()}
    moments = {}
    for key, value in content.items():
        owner, slot = owner_and_slot(key, structured)
        if owner is None or not isinstance(value, np.ndarray):
            raise _no_resume(file, f"'{key}' belongs to no weight of {weights.name}")
        moments[structured[owner], slot] = value
    return moments, schedule.get("last_epoch") if isinstance(schedule, dict) else None


def owner_and_slot(key: str, counters: Container[str]) -> tuple[str | None, str]:
    """`conv2d_0.w_0_moment1_0` -> (`conv2d_0.w_0`, `moment1_0`): the longest of the counters that a key begins with.

    Without one among them the owner is None.
    """
    at = key.rfind("_")
    while at > 0:
        if key[:at] in counters:
            return key[:at], key[at + 1 :]
        at = key.rfind("_", 0, at)
    return None, key


def read_states(prefix: str) -> dict[str, Any]:
    """`prefix.states`: `epoch`, the last one begun, counted from 1, `global_step`, `best_model_dict`; empty for none.

    Raises:
        CheckpointError: the file cannot be read or asks for more than plain data.
    """
    file = Path(prefix + STATES)
    return _read_dict(file) if file.is_file() else {}


def _no_resume(file: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{file}: training cannot resume from it: {reason}. Start from its weights with Global.pretrained_model."
    )


def _read_dict(file: Path) -> dict[str, Any]:
    try:
        with open(file, "rb") as stream:
            unpickler = _Unpickler(stream, encoding="latin1")  # latin1: for files of Python 2
            content = unpickler.load()
            unpickler.refuse_repetition(stream.tell())
        content = _plain(content, {})
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error.strerror or error}") from error
    except _Refused as error:
        raise CheckpointError(
            f"{file}: refused: it asks for '{error}', and a file of weights needs nothing but arrays and plain data. "
            "It may be made to run a program on your machine; nothing of it was run."
        ) from error
    except Exception as error:  # bytes that are no pickle can fail in any way
        raise CheckpointError(
            f"{file}: cannot be read, the file is damaged or not one that Paddle saved: "
            f"{str(error) or type(error).__name__}"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file}: holds a {type(content).__name__}, not a dict of arrays")
    odd = next((name for name in content if not isinstance(name, str)), None)
    if odd is not None:
        raise CheckpointError(f"{file}: holds something under {odd!r}, which is no name")
    return content


class _Refused(Exception):
    """The dotted name of what a pickle asked for."""


class _Dtype:
    def __init__(self, code: str, *align_and_copy: Any):
        if not re.fullmatch(r"[biuf][1248]", code):
            raise _Refused(f"numpy.dtype('{code}')")
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple) -> None:
        self.order = {"<": "<", ">": ">"}.get(state[1], "=")

    def of(self, data: bytes | str) -> np.ndarray:
        raw = data.encode("latin1") if isinstance(data, str) else data
        return np.frombuffer(raw, np.dtype(self.code).newbyteorder(self.order))


class _Array:
    def __init__(self, *type_shape_and_code: Any):
        self.view: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        self.view = dtype.of(data).reshape(shape, order="F" if is_fortran else "C")

    def copy(self) -> np.ndarray:
        if self.view is None:
            raise ValueError("an array without content")
        return np.ascontiguousarray(self.view, self.view.dtype.newbyteorder("=")).reshape(self.view.shape)


class _Unpickler(pickle._Unpickler):
    """Gives for each name it knows a function of its own; a name it does not know ends the reading.

    Python's reader, not the one in C: that makes room for as many memo entries as a file of twenty bytes says, 30 GB.
    """

    # a bytearray is as large as the file says before a byte of it is read, and no array needs one
    dispatch = {code: load for code, load in pickle._Unpickler.dispatch.items() if code != pickle.BYTEARRAY8[0]}

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.arrays: list[_Array] = []

    def refuse_repetition(self, size: int) -> None:
        """Raises ValueError where arrays take more room than the `size` bytes of the file: they share some of them."""
        if sum(array.view.nbytes for array in self.arrays if array.view is not None) > size:
            raise ValueError("its arrays are larger than the file")

    def find_class(self, module: str, name: str) -> Callable:
        known = {
            "collections.OrderedDict": self.make_dict,
            "builtins.tuple": self.make_tuple,  # a tensor inside a list or a dict: (its name, array)
            "builtins.bytes": self.make_no_bytes,  # b"" in protocol 2
            "_codecs.encode": self.make_bytes,  # bytes in protocol 2
            "numpy.dtype": self.make_dtype,
            "numpy.ndarray": self.make_array,
            "numpy.core.multiarray._reconstruct": self.make_array,
            "numpy.core.multiarray.scalar": self.make_scalar,
        }
        asked = f"{OTHER_NAMES.get(module, module)}.{name}"
        if asked not in known:
            raise _Refused(f"{module}.{name}")
        return known[asked]

    # Methods: a pickle may set attributes of what it is given, `__defaults__` of a function, which a method refuses.

    def make_dict(self, items: Any = ()) -> dict:
        return dict(items)

    def make_tuple(self, items: Any = ()) -> tuple:
        return tuple(items)

    def make_no_bytes(self) -> bytes:
        return b""

    def make_bytes(self, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise _Refused(f"_codecs.encode(..., '{encoding}')")
        return text.encode("latin1")

    def make_dtype(self, *arguments: Any) -> _Dtype:
        return _Dtype(*arguments)

    def make_array(self, *arguments: Any) -> _Array:
        self.arrays.append(_Array(*arguments))
        return self.arrays[-1]

    def make_scalar(self, dtype: _Dtype, data: bytes | str) -> Any:
        return dtype.of(data)[0].item()


def _plain(value: Any, done: dict[int, Any]) -> Any:
    """The arrays in place of what stood for them; of a tensor with its name, the array.

    Args:
        done: id -> result; what is in many places is made once, or lists of lists could take any time and room.
    """
    if id(value) not in done:
        done[id(value)] = _made_plain(value, done)
    return done[id(value)]


def _made_plain(value: Any, done: dict[int, Any]) -> Any:
    if isinstance(value, _Array):
        return value.copy()
    if isinstance(value, dict):
        return {key: _plain(inner, done) for key, inner in value.items()}
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], _Array):
        return _plain(value[1], done)
    if isinstance(value, list | tuple):
        return type(value)(_plain(inner, done) for inner in value)
    return value


def _float32(bfloat16: np.ndarray) -> np.ndarray:
    """The numbers whose upper halves these are."""
    return (bfloat16.astype(np.uint32) << 16).view(np.float32)
