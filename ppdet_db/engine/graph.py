"""Deployed networks as lists of operators with their weights: Paddle's `.pdmodel` and `.json`, and ONNX.

Files are parsed, nothing in them is run. All three come out alike, so that two networks can be compared whatever
program wrote them.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ppdet_db.engine.pdiparams import Array, EndsWithin, arrays_of
from ppdet_db.errors import CheckpointError

CONV, DECONV, NORM, ADD, MULTIPLY, SAME, RESHAPE = "conv", "deconv", "norm", "add", "multiply", "same", "reshape"
DIVIDE, SUBTRACT = "divide", "subtract"

PADDLE_KINDS = {
    "conv2d": CONV,
    "depthwise_conv2d": CONV,
    "conv2d_transpose": DECONV,
    "depthwise_conv2d_transpose": DECONV,
    "batch_norm": NORM,
    "batch_norm_": NORM,
    "elementwise_add": ADD,
    "elementwise_mul": MULTIPLY,
    "elementwise_div": DIVIDE,
    "elementwise_sub": SUBTRACT,
    "add": ADD,
    "multiply": MULTIPLY,
    "divide": DIVIDE,
    "subtract": SUBTRACT,
    "assign": SAME,
    "cast": SAME,
    "reshape": RESHAPE,
    "reshape2": RESHAPE,
}
PROGRAM_INPUTS = {  # of the `.pdmodel` operators whose inputs must be told apart: (inputs, output)
    CONV: (("Input", "Filter", "Bias"), "Output"),
    DECONV: (("Input", "Filter", "Bias"), "Output"),
    NORM: (("X", "Scale", "Bias", "Mean", "Variance"), "Y"),
}
ONNX_KINDS = {
    "Conv": CONV,
    "ConvTranspose": DECONV,
    "BatchNormalization": NORM,
    "Add": ADD,
    "Mul": MULTIPLY,
    "Div": DIVIDE,
    "Sub": SUBTRACT,
    "Identity": SAME,
    "Cast": SAME,
    "Reshape": RESHAPE,
    "Unsqueeze": RESHAPE,
    "Squeeze": RESHAPE,
}


@dataclass(frozen=True)
class Op:
    """An operator.

    Args:
        kind: one of the names above, or else the name that the file has for it.
        inputs: names of tensors. CONV, DECONV: data, kernel, bias if there is one; NORM: data, weight, bias, mean,
            variance.
        output: the tensor it makes.
        attributes: `strides`, `dilations`, `groups`, `epsilon`, as far as its kind has them.
    """

    kind: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """A network.

    Args:
        ops: each after those that make its inputs.
        weights: constant tensors by their names; floating point ones as float32.
    """

    ops: list[Op]
    weights: dict[str, np.ndarray]


def read_graph(file: Path) -> Graph:
    """The network of `NAME.pdmodel` or `NAME.json` with `NAME.pdiparams` beside it, or of a `.onnx` file.

    Raises:
        CheckpointError: the file cannot be read, is damaged or no such network.
    """
    readers = {".pdmodel": _read_program, ".json": _read_pir, ".onnx": _read_onnx}
    if file.suffix not in readers:
        kinds = ".pdmodel, .json (with .pdiparams beside it) and .onnx"
        raise CheckpointError(f"{file}: no deployed network by its name; those end in {kinds}")
    try:
        graph = readers[file.suffix](file)
    except OSError as error:
        raise CheckpointError(f"{error.filename or file}: cannot be read: {error.strerror or error}") from error
    except CheckpointError:
        raise
    except Exception as error:  # bytes that are no network can fail in any way
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise CheckpointError(f"{file}: cannot be read, the file is damaged or no network: {reason}") from error
    if not graph.ops:
        raise CheckpointError(f"{file}: cannot be read, the file is damaged or no network: it holds no operator")
    return graph


# ------------------------------------------------------------------------------------------------------------ Paddle


def _read_program(file: Path) -> Graph:
    from paddle.base.proto import framework_pb2

    program = framework_pb2.ProgramDesc.FromString(file.read_bytes())
    if len(program.blocks) != 1:
        raise ValueError(f"{len(program.blocks)} blocks of operators, where a detector has one")
    block = program.blocks[0]
    tensor_type = framework_pb2.VarType.DESCRIPTOR.fields_by_number[3].name  # its name changed between releases
    shapes = {
        variable.name: list(getattr(variable.type, tensor_type).tensor.dims)
        for variable in block.vars
        if variable.persistable and variable.name not in ("feed", "fetch")
    }
    ops = [_program_op(op) for op in block.ops if op.type not in ("feed", "fetch")]
    return Graph(ops, _read_weights(file.with_suffix(".pdiparams"), shapes))


def _program_op(op: Any) -> Op:
    kind = PADDLE_KINDS.get(op.type, op.type)
    inputs = {slot.parameter: list(slot.arguments) for slot in op.inputs}
    outputs = {slot.parameter: list(slot.arguments) for slot in op.outputs}
    slots, output = PROGRAM_INPUTS.get(kind, (tuple(inputs), "Out"))
    names = [name for slot in slots for name in inputs.get(slot, ())]
    made = outputs.get(output) or next(iter(outputs.values()))
    values = {attribute.name: attribute for attribute in op.attrs}
    attributes: dict[str, Any] = {}
    for name in ("strides", "dilations"):
        if name in values:
            attributes[name] = tuple(values[name].ints)
    if "groups" in values:
        attributes["groups"] = values["groups"].i
    if "epsilon" in values:
        attributes["epsilon"] = values["epsilon"].f
    return Op(kind, tuple(names), made[0], attributes)


def _read_pir(file: Path) -> Graph:
    content = json.loads(file.read_text(encoding="utf-8"))
    ((block,),) = ([region["blocks"] for region in content["program"]["regions"]],)
    (block,) = block
    names: dict[int, str] = {}
    shapes: dict[str, list[int]] = {}
    ops = []
    for op in block["ops"]:
        outputs = op["O"] if isinstance(op["O"], list) else [op["O"]]
        if op["#"] == "p":
            name = op["A"][-1]
            names[outputs[0]["%"]] = name
            shapes[name] = outputs[0]["TT"]["D"][1]
            continue
        kind = PADDLE_KINDS.get(op["#"].partition(".")[2], op["#"].partition(".")[2])
        inputs = [names.get(tensor["%"], str(tensor["%"])) for tensor in op.get("I", ())]
        if kind == NORM:
            data, mean, variance, weight, bias = inputs
            inputs = [data, weight, bias, mean, variance]
        elif kind in (CONV, DECONV):
            inputs = inputs[:2]  # a transposed one has its output's size besides
        values = {attribute["N"]: attribute["AT"].get("D") for attribute in op.get("A", ())}
        attributes = {
            name: tuple(number["D"] for number in values[name]) for name in ("strides", "dilations") if name in values
        }
        attributes |= {name: values[name] for name in ("groups", "epsilon") if name in values}
        if outputs and kind != "fetch":
            ops.append(Op(kind, tuple(inputs), str(outputs[0]["%"]), attributes))
    return Graph(ops, _read_weights(file.with_suffix(".pdiparams"), shapes))


DTYPES = {2: "<i4", 3: "<i8", 4: "<f2", 5: "<f4", 6: "<f8"}
"""Of the numbers that a detector has, by Paddle's code of their kind."""


def _read_weights(file: Path, shapes: dict[str, list[int]]) -> dict[str, np.ndarray]:
    """The arrays of a `.pdiparams` file: one after the other in the order of their names, each with its shape."""
    if not file.is_file():
        raise CheckpointError(f"{file}: not there; the weights of {file.stem} must lie beside the network")
    arrays = arrays_of(file.read_bytes())
    weights = {}
    try:
        for name in sorted(shapes):
            weights[name] = _as_float32(_next_array(arrays, name, list(shapes[name])))
        if next(arrays, None) is not None:
            raise ValueError("it holds more arrays than the network")
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise CheckpointError(f"{file}: cannot be read, it is damaged or of another network: {reason}") from error
    return weights


def _next_array(arrays: Iterator[Array], name: str, expected: list[int]) -> np.ndarray:
    try:
        kind, shape, data = next(arrays)
    except (StopIteration, EndsWithin) as error:
        raise ValueError(f"it ends in the middle of '{name}'") from error
    if shape != expected:
        raise ValueError(f"'{name}' is {shape} there and {expected} in the network")
    return np.frombuffer(data, DTYPES[kind]).reshape(shape)


# -------------------------------------------------------------------------------------------------------------- ONNX


def _read_onnx(file: Path) -> Graph:
    try:
        import onnx
    except ImportError as error:
        raise CheckpointError(f'{file}: needs the package onnx. Run: pip install "ppdet_db[onnx]"') from error

    model = onnx.load_model(str(file), format="protobuf", load_external_data=False)
    weights: dict[str, np.ndarray] = {}
    ops = []
    for tensor in model.graph.initializer:
        weights[tensor.name] = _onnx_array(tensor)
    for node in model.graph.node:
        values = {attribute.name: attribute for attribute in node.attribute}
        if node.domain not in ("", "ai.onnx") or any(value.g.node or value.graphs for value in values.values()):
            raise ValueError(f"its operator {node.domain}.{node.op_type} is none that a detector needs")
        if node.op_type == "Constant":
            if "value" in values:
                weights[node.output[0]] = _onnx_array(values["value"].t)
            continue
        attributes: dict[str, Any] = {}
        kind = ONNX_KINDS.get(node.op_type, node.op_type.lower())
        if kind in (CONV, DECONV):
            attributes["strides"] = tuple(values["strides"].ints) if "strides" in values else (1, 1)
            attributes["dilations"] = tuple(values["dilations"].ints) if "dilations" in values else (1, 1)
            attributes["groups"] = values["group"].i if "group" in values else 1
        elif kind == NORM:
            attributes["epsilon"] = values["epsilon"].f if "epsilon" in values else 1e-5
        ops.append(Op(kind, tuple(name for name in node.input if name), node.output[0], attributes))
    return Graph(ops, weights)


def _onnx_array(tensor: Any) -> np.ndarray:
    from onnx import TensorProto, numpy_helper

    if tensor.data_location == TensorProto.EXTERNAL:
        raise ValueError("its weights lie in other files: give a model that holds them itself")
    return _as_float32(numpy_helper.to_array(tensor))


def _as_float32(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype.kind == "f" else array
