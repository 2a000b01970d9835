"""Deployed networks as lists of operators with their weights: Paddle's `.pdmodel` and `.json`, and ONNX.

Files are parsed, nothing in them is run. All three come out alike, so that two networks can be compared whatever
program wrote them.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
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


# ------------------------------------------------------------------------------------------------- layers of a network


@dataclass(eq=False)
class Step:
    """A linear step behind a convolution: `kind` SHIFT, SCALE or NORM and its arrays, by the names they have.

    Args:
        names: of the arrays; NORM: weight, bias, mean, variance.
        epsilon: of NORM.
    """

    kind: str
    names: tuple[str, ...]
    arrays: tuple[np.ndarray, ...]
    epsilon: float = 0.0


@dataclass(eq=False)
class Layer:
    """A convolution with the linear steps right behind it, or such steps alone, where no convolution is before them.

    Args:
        kind: CONV, DECONV or SCALE for steps alone.
        name, kernel: of the convolution's kernel.
        parents: the nearest layers that its input is made of.
    """

    kind: str
    parents: frozenset["Layer"]
    attributes: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    kernel: np.ndarray | None = None
    steps: list[Step] = field(default_factory=list)

    @property
    def label(self) -> tuple:
        """What two layers must have in common to take each other's weights."""
        if self.kernel is None:
            return (self.kind,)
        sides = tuple(self.attributes.get(name, (1, 1)) for name in ("strides", "dilations"))
        return (self.kind, self.kernel.shape, *sides, self.attributes.get("groups", 1))

    def __str__(self) -> str:
        if self.kernel is None:
            return "scale and shift"
        _, shape, strides, dilations, groups = self.label
        first, second, height, width = shape
        text = f"{height}x{width} {'transposed ' if self.kind == DECONV else ''}convolution"
        inputs, outputs = (first, second * groups) if self.kind == DECONV else (second * groups, first)
        text += f", {inputs} -> {outputs} channels"
        for what, value, usual in (
            ("stride", strides, (1, 1)),
            ("dilation", dilations, (1, 1)),
            ("groups", groups, 1),
        ):
            if value != usual:
                text += f", {what} {value if isinstance(value, int) else 'x'.join(map(str, dict.fromkeys(value)))}"
        return text


SHIFT, SCALE = "shift", "scale"


def layers_of(graph: Graph) -> list[Layer]:
    """The network's layers in the order of execution. Activations, pooling and the like only connect them."""
    consumers: dict[str, int] = {}
    for op in graph.ops:
        for name in op.inputs:
            consumers[name] = consumers.get(name, 0) + 1
    constants = {name: (name, array) for name, array in graph.weights.items()}
    makers: dict[str, frozenset[Layer]] = {}  # of each tensor: the nearest layers it is made of
    open_layer: dict[str, Layer] = {}  # of each tensor that is a layer's end: steps may follow
    layers: list[Layer] = []
    own = _written_out_activations(graph)

    def add(layer: Layer, op: Op) -> None:
        layers.append(layer)
        makers[op.output], open_layer[op.output] = frozenset([layer]), layer

    for i, op in enumerate(graph.ops):
        if op.kind in (SAME, RESHAPE) and op.inputs[0] in constants:
            constants[op.output] = constants[op.inputs[0]]
            continue
        data = [name for name in op.inputs if name not in constants]
        fixed = [constants[name] for name in op.inputs if name in constants]
        parents = frozenset().union(*(makers.get(name, frozenset()) for name in data))
        if op.kind in (CONV, DECONV) and len(data) == 1 and fixed:
            (name, kernel), *bias = fixed
            layer = Layer(op.kind, parents, op.attributes, name, kernel)
            layer.steps += [Step(SHIFT, (name,), (array.ravel(),)) for name, array in bias]
            add(layer, op)
            continue
        if op.kind == SAME:
            makers[op.output] = parents
            if data[0] in open_layer and consumers[data[0]] == 1:
                open_layer[op.output] = open_layer[data[0]]
            continue
        step = _step(op, data, fixed) if i not in own else None
        if step is None:
            makers[op.output] = parents
        elif data[0] in open_layer and consumers[data[0]] == 1:
            layer = open_layer[data[0]]
            layer.steps.append(step)
            makers[op.output], open_layer[op.output] = frozenset([layer]), layer
        else:
            add(Layer(SCALE, parents, steps=[step]), op)
    return layers


def _step(op: Op, data: list[str], fixed: Sequence[tuple[str, np.ndarray]]) -> Step | None:
    if len(data) != 1 or not fixed:
        return None
    if op.kind == NORM and len(fixed) == 4:
        names, arrays = zip(*fixed, strict=True)
        return Step(NORM, names, tuple(array.ravel() for array in arrays), op.attributes.get("epsilon", 1e-5))
    if op.kind not in (ADD, MULTIPLY, DIVIDE, SUBTRACT) or len(fixed) != 1 or fixed[0][1].dtype.kind != "f":
        return None
    name, array = fixed[0]
    is_reversed = op.inputs[0] == name and op.kind in (DIVIDE, SUBTRACT)
    if is_reversed or sum(side > 1 for side in array.shape) > 1:
        return None
    value = {DIVIDE: lambda x: 1 / x, SUBTRACT: np.negative}.get(op.kind, np.asarray)(array.ravel())
    return Step(SHIFT if op.kind in (ADD, SUBTRACT) else SCALE, (name,), (value,))


def _written_out_activations(graph: Graph) -> set[int]:
    """Positions of the scalings and shifts that are part of an activation: x clip(x + 3, 0, 6) / 6 and
    x (1 + erf(x / sqrt 2)) / 2, as files write hardswish and gelu that have no operator for these.
    """
    forms = {
        "clip": ((SHIFT, 3.0), [(SCALE, 1 / 6)]),
        "erf": ((SCALE, 0.5**0.5), [(SHIFT, 1.0), (SCALE, 0.5)]),
    }
    maker = {op.output: i for i, op in enumerate(graph.ops)}
    users: dict[str, list[int]] = {}
    for i, op in enumerate(graph.ops):
        for name in op.inputs:
            users.setdefault(name, []).append(i)

    def scalar(i: int | None) -> tuple[str, float] | None:
        if i is None:
            return None
        op = graph.ops[i]
        data = [name for name in op.inputs if name not in graph.weights]
        step = _step(op, data, [(name, graph.weights[name]) for name in op.inputs if name in graph.weights])
        return (step.kind, float(step.arrays[0][0])) if step and step.arrays[0].size == 1 else None

    def is_close(found: tuple[str, float] | None, wanted: tuple[str, float]) -> bool:
        return found is not None and found[0] == wanted[0] and math.isclose(found[1], wanted[1], rel_tol=1e-6)

    parts: set[int] = set()
    for op in graph.ops:
        if op.kind not in forms:
            continue
        before, after = forms[op.kind]
        first = maker.get(op.inputs[0])
        if first is None or not is_close(scalar(first), before):
            continue
        x = next(name for name in graph.ops[first].inputs if name not in graph.weights)
        missing, joined, mine, end = list(after), False, {first}, op.output
        while (missing or not joined) and len(users.get(end, ())) == 1:
            i = users[end][0]
            found = scalar(i)
            wanted = next((form for form in missing if is_close(found, form)), None)
            if wanted is not None:
                missing.remove(wanted)
                mine.add(i)
            elif graph.ops[i].kind == MULTIPLY and set(graph.ops[i].inputs) == {end, x}:
                joined = True
            else:
                break
            end = graph.ops[i].output
        if joined and not missing:
            parts |= mine
    return parts


def describe(layers: Iterable[Layer]) -> str:
    """`3 x 1x1 convolution, 16 -> 32 channels; ...`"""
    counts: dict[str, int] = {}
    for layer in layers:
        counts[str(layer)] = counts.get(str(layer), 0) + 1
    return "; ".join(f"{count} x {text}" if count > 1 else text for text, count in counts.items())
