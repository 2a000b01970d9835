"""Exported models as predictors: the file, an inference engine, and nothing of the network's own code.

A predictor goes wherever a network does: `evaluate(open_model("exported"), loader, postprocess, metric)`.
"""

import importlib
import json
import os
import re
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np

from ppdet_db.config.schema import Engine
from ppdet_db.engine.pdiparams import arrays_of
from ppdet_db.engine.protobuf import fields
from ppdet_db.errors import DetError
from ppdet_db.registry import did_you_mean

ENGINES: tuple[str, ...] = get_args(Engine)
PROGRAMS = ("inference.json", "inference.pdmodel")
"""A folder's graph for Paddle Inference: that of Paddle 3, and that of Paddle 2."""
ONNX_FILES = ("model.onnx", "inference.onnx")
CONFIG = "inference.yml"
"""The file beside a graph, and the key in the metadata of an ONNX model, with transforms and postprocess."""
METADATA_PROPS = 14
"""Field of ONNX's ModelProto whose entries are pairs: 1 is the key, 2 the value."""
EXTRAS = {"onnxruntime": "onnx", "openvino": "openvino"}
"""The pip extra that installs an engine's package, which has the engine's name."""
BLANK = (1, 3, 64, 64)
"""The picture that a model is tried with; a side that the model fixes counts instead."""

SOURCE_PLACE = re.compile(r" *\(at /\S+:\d+\)")
"""Where in Paddle's own source an error comes from."""

Session = tuple[Callable[[np.ndarray], np.ndarray], list[int | None]]
"""How an opened file is run, and the shape of its input, None where it is free."""


class InferenceModel:
    """Normalised pictures (N, 3, H, W) -> {"maps": (N, 1, H, W) float32}, computed by an inference engine on the CPU.

    Opening runs one blank picture, so that a file which is no text detector is told before any work.

    Args:
        file: the graph.
        engine: which engine runs it.

    Raises:
        DetError: the file is missing, damaged or of another kind, or the engine is not installed.
    """

    def __init__(self, file: Path, engine: Engine):
        self.file, self.engine = file, engine
        if not file.is_file():
            raise DetError(f"{file}: there is no such file")
        try:
            refuse_damaged(file)
            self._run, shape = OPEN[engine](file)
            blank = [fixed or free for fixed, free in zip(shape, BLANK, strict=True)]
            maps = self._run(np.zeros(blank, np.float32))
        except DetError:
            raise
        except Exception as error:  # every engine has exceptions of its own
            raise DetError(
                f"{file}: {engine} cannot use it: {reason(error)}. The file is damaged, or no text detector of "
                "one picture input (N, 3, H, W)."
            ) from error
        if list(maps.shape) != [blank[0], 1, *blank[2:]]:
            raise DetError(
                f"{file}: no text detector: of pictures {blank} it makes {list(maps.shape)}, not one map of their size"
            )

    def __call__(self, images: Any) -> dict[str, np.ndarray]:
        images = np.ascontiguousarray(images, dtype=np.float32)
        try:
            return {"maps": self._run(images)}
        except Exception as error:
            raise DetError(
                f"{self.file}: {self.engine} fails on pictures {list(images.shape)}: {reason(error)}"
            ) from error


def open_model(path: str | os.PathLike, engine: Engine | None = None) -> InferenceModel:
    """An exported folder, or one graph file of any name, as a predictor.

    Args:
        path: a folder with `inference.json` or `inference.pdmodel` and `inference.pdiparams` beside it, or with
            `model.onnx`; or such a file.
        engine: None takes Paddle Inference for Paddle's files and ONNX Runtime for ONNX.

    Raises:
        DetError: there is no such model, it cannot be used, or the engine is not installed.
    """
    if engine is not None:
        require_engine(engine)
    file = model_file(Path(path), engine)
    is_onnx = file.suffix == ".onnx"
    if engine is not None and is_onnx == (engine == "paddle"):
        wanted = "inference.json or inference.pdmodel" if engine == "paddle" else "an .onnx file"
        raise DetError(f"{file}: the engine {engine} reads {wanted}")
    return InferenceModel(file, engine or ("onnxruntime" if is_onnx else "paddle"))


def require_engine(engine: str) -> None:
    """Raises DetError where there is no engine of that name, or its package is not installed."""
    if engine not in ENGINES:
        raise DetError(f"no engine '{engine}'. {did_you_mean(engine, ENGINES)}")
    if engine in EXTRAS:
        _package(engine)


def model_file(path: Path, engine: Engine | None = None) -> Path:
    """The graph that a path means: itself, or the one in a folder that the engine reads.

    Raises:
        DetError: there is none.
    """
    if not path.is_dir():
        if path.suffix not in (".json", ".pdmodel", ".onnx"):
            kinds = "inference.json, inference.pdmodel or .onnx"
            raise DetError(f"{path}: not an exported model: give its folder, or a file {kinds}")
        return path
    names = {"paddle": PROGRAMS, None: (*PROGRAMS, *ONNX_FILES)}.get(engine, ONNX_FILES)
    for name in names:
        if (path / name).is_file():
            return path / name
    cure = " Export it with --onnx." if names == ONNX_FILES else ""
    raise DetError(f"{path}: holds no exported model that {engine or 'an engine'} reads ({', '.join(names)}).{cure}")


def _open_paddle(file: Path) -> Session:
    weights = file.with_suffix(".pdiparams")
    if not weights.is_file():  # Paddle 3.3.1 would run inference.json with whatever is in memory
        raise DetError(f"{weights}: there is no such file; it holds the weights of {file.name}")
    refuse_cut_weights(weights)
    try:
        run = _paddle_session(file, weights, onednn=True)
        run(np.zeros(BLANK, np.float32))
    except Exception:  # oneDNN of Paddle 3.3.1 lacks some operators that Paddle has
        run = _paddle_session(file, weights, onednn=False)
    return run, [None] * len(BLANK)


def _paddle_session(file: Path, weights: Path, onednn: bool) -> Callable[[np.ndarray], np.ndarray]:
    from paddle import inference

    config = inference.Config(str(file), str(weights))
    config.disable_gpu()
    config.disable_glog_info()
    # sets the number for the whole process, so it has to be the one that everything else in it has
    config.set_cpu_math_library_num_threads(_threads() or 1)
    if onednn:
        config.enable_mkldnn()
        config.set_mkldnn_cache_capacity(10)  # one entry for each size of pictures; without bound otherwise
    else:
        config.disable_mkldnn()
    predictor = inference.create_predictor(config)
    names = predictor.get_input_names()
    if len(names) != 1:
        raise DetError(f"{file}: no text detector: it has the inputs {', '.join(names)} and not one alone")
    source = predictor.get_input_handle(names[0])
    maps = predictor.get_output_handle(predictor.get_output_names()[0])

    def run(images: np.ndarray) -> np.ndarray:
        source.reshape(images.shape)
        source.copy_from_cpu(images)
        predictor.run()
        return maps.copy_to_cpu()

    return run


def _threads() -> int | None:
    """OMP_NUM_THREADS, which Paddle itself goes by and other engines do not look at; None where it is no number."""
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(given) if given.isdigit() and int(given) else None


def refuse_damaged(file: Path) -> None:
    """Raises ValueError where a graph is no JSON or protobuf at all, or a .pdmodel without operators.

    Paddle 3.3.1 dies of such a .pdmodel (SIGSEGV).
    """
    data = file.read_bytes()
    if file.suffix == ".json":
        json.loads(data)
        return
    if not data:
        raise ValueError("it is empty")
    deque(fields(data), maxlen=0)
    if file.suffix == ".pdmodel":
        from paddle.base.proto import framework_pb2

        if not any(block.ops for block in framework_pb2.ProgramDesc.FromString(data).blocks):
            raise ValueError("it holds no operator")


def refuse_cut_weights(file: Path) -> None:
    """Raises ValueError where a `.pdiparams` file does not end with an array: Paddle 3.3.1 makes up what is missing."""
    data = file.read_bytes()
    if not data:
        raise ValueError("the weights are empty")
    deque(arrays_of(data), maxlen=0)


def deployed_config(file: Path) -> tuple[str, str] | None:
    """The text that says what belongs around a graph, and where it stands; None where there is none.

    It is in the metadata of an ONNX model under `inference.yml`, or in the file of that name beside a graph.

    Raises:
        DetError: either cannot be read.
    """
    reading = file
    try:
        if file.suffix == ".onnx":
            for number, pair in fields(file.read_bytes()):
                if number == METADATA_PROPS and (entry := dict(fields(pair))).get(1) == CONFIG.encode():
                    return str(entry[2], "utf-8"), f"{file}: {CONFIG}"
        reading = file.with_name(CONFIG)
        return (reading.read_text("utf-8"), str(reading)) if reading.is_file() else None
    except OSError as error:
        raise DetError(f"{reading}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # bytes that are no network can fail in any way
        raise DetError(f"{reading}: cannot be read, the file is damaged: {error}") from error


def _open_onnxruntime(file: Path) -> Session:
    onnxruntime = _package("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors come as exceptions
    options.intra_op_num_threads = _threads() or 0  # 0: as many as there are cores
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    [source] = session.get_inputs()
    output = session.get_outputs()[0].name

    def run(images: np.ndarray) -> np.ndarray:
        return session.run([output], {source.name: images})[0]

    return run, [side if isinstance(side, int) else None for side in source.shape]


def _open_openvino(file: Path) -> Session:
    openvino = _package("openvino")
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": _threads() or 0}  # 0: as it sees fit
    model = openvino.Core().compile_model(str(file), "CPU", settings)
    [source] = model.inputs
    request = model.create_infer_request()

    def run(images: np.ndarray) -> np.ndarray:
        return request.infer([images])[0]  # a copy already

    return run, [side.get_length() if side.is_static else None for side in source.partial_shape]


OPEN: dict[str, Callable[[Path], Session]] = {
    "paddle": _open_paddle,
    "onnxruntime": _open_onnxruntime,
    "openvino": _open_openvino,
}


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DetError(
            f'the engine {name} is not installed ({error}). Run: pip install "ppdet_db[{EXTRAS[name]}]"'
        ) from error


def reason(error: Exception) -> str:
    """The sentence of an engine's error that says what is wrong, without the traceback of its C++."""
    text = str(error).rpartition("Error Message Summary:")[2]
    lines = [line.strip() for line in text.splitlines() if line.strip(" -") and line.strip() != "In user code:"]
    line = SOURCE_PLACE.sub("", lines[0]) if lines else type(error).__name__
    return (line if len(line) <= 300 else line[:300] + "...").rstrip(".")
