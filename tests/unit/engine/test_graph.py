"""Reading deployed networks: what comes out of a file, and which of its operators make a layer."""

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ppdet_db.engine.graph import ADD, CONV, MULTIPLY, NORM, SAME, SCALE, SHIFT, Graph, Op, layers_of, read_graph
from ppdet_db.errors import CheckpointError

ATTRIBUTES = {"strides": (1, 1), "dilations": (1, 1), "groups": 1}
KERNEL = np.ones((4, 3, 1, 1), np.float32)


def steps(graph: Graph) -> list[list[str]]:
    return [[step.kind for step in layer.steps] for layer in layers_of(graph)]


def number(value: float) -> np.ndarray:
    return np.array([value], np.float32)


def conv(source: str, output: str) -> Op:
    return Op(CONV, (source, "kernel"), output, ATTRIBUTES)


def test_steps_right_behind_a_convolution_are_its_own():
    ops = [conv("x", "a"), Op(SAME, ("a",), "b"), Op(ADD, ("b", "bias"), "c"), Op(MULTIPLY, ("scale", "c"), "d")]
    [layer] = layers_of(Graph(ops, {"kernel": KERNEL, "bias": np.ones((1, 4, 1, 1), np.float32), "scale": number(2)}))
    assert [(step.kind, step.names, step.arrays[0].shape) for step in layer.steps] == [
        (SHIFT, ("bias",), (4,)),
        (SCALE, ("scale",), (1,)),
    ]


def test_steps_behind_an_activation_are_a_layer_whose_parent_is_the_convolution():
    ops = [conv("x", "a"), Op("relu", ("a",), "b"), Op(MULTIPLY, ("b", "s"), "c"), Op(ADD, ("c", "t"), "d")]
    first, second = layers_of(Graph(ops, {"kernel": KERNEL, "s": number(2), "t": number(3)}))
    assert first.steps == []
    assert [step.kind for step in second.steps] == [SCALE, SHIFT]
    assert second.parents == {first}


def test_a_step_on_one_of_two_ways_is_not_the_convolutions():
    ops = [conv("x", "a"), Op(MULTIPLY, ("a", "s"), "b"), Op(ADD, ("a", "b"), "c")]
    assert steps(Graph(ops, {"kernel": KERNEL, "s": number(2)})) == [[], [SCALE]]


def test_a_bias_that_is_reshaped_is_a_bias():
    ops = [Op("reshape", ("bias", "shape"), "b4"), conv("x", "a"), Op(ADD, ("a", "b4"), "c")]
    [layer] = layers_of(Graph(ops, {"kernel": KERNEL, "bias": np.ones(4, np.float32)}))
    assert [step.names for step in layer.steps] == [("bias",)]


@pytest.mark.parametrize(
    ("ops", "weights"),
    [
        (
            [
                Op(ADD, ("a", "three"), "b"),
                Op("clip", ("b", "zero", "six"), "c"),
                Op(MULTIPLY, ("a", "c"), "d"),
                Op("divide", ("d", "six"), "y"),
            ],
            {"three": number(3), "zero": number(0), "six": number(6)},
        ),
        (
            [
                Op("divide", ("a", "root"), "b"),
                Op("erf", ("b",), "c"),
                Op(ADD, ("c", "one"), "d"),
                Op(MULTIPLY, ("a", "d"), "e"),
                Op(MULTIPLY, ("e", "half"), "y"),
            ],
            {"root": number(math.sqrt(2)), "one": number(1), "half": number(0.5)},
        ),
    ],
    ids=["hardswish", "gelu"],
)
def test_the_numbers_of_an_activation_are_no_weights(ops, weights):
    learned = [Op(MULTIPLY, ("y", "s"), "z"), Op(ADD, ("z", "t"), "out")]
    weights = {"kernel": KERNEL, "s": number(0.5), "t": number(1), **weights}
    assert steps(Graph([conv("x", "a"), *ops, *learned], weights)) == [[], [SCALE, SHIFT]]


def write_onnx(file: Path, nodes: list, weights: dict[str, np.ndarray]) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph), str(file))
    return file


def test_onnx_with_weights_as_initializers_or_constants(tmp_path):
    norm = {name: np.full(4, i + 1.0, np.float32) for i, name in enumerate(("weight", "bias", "mean", "variance"))}
    nodes = [
        helper.make_node("Constant", [], ["kernel"], value=numpy_helper.from_array(KERNEL)),
        helper.make_node("Conv", ["x", "kernel"], ["a"], strides=[2, 2], group=1),
        helper.make_node("BatchNormalization", ["a", *norm], ["y"], epsilon=1e-3),
    ]
    [layer] = layers_of(read_graph(write_onnx(tmp_path / "a.onnx", nodes, norm)))
    assert layer.label == (CONV, (4, 3, 1, 1), (2, 2), (1, 1), 1)
    [step] = layer.steps
    assert (step.kind, step.names, step.epsilon) == (NORM, tuple(norm), pytest.approx(1e-3))
    assert [array[0] for array in step.arrays] == [1, 2, 3, 4]


def test_onnx_whose_operators_are_programs_is_refused(tmp_path):
    file = write_onnx(tmp_path / "a.onnx", [helper.make_node("Run", ["x"], ["y"], domain="mine")], {})
    with pytest.raises(CheckpointError, match=r"a\.onnx: .*operator mine\.Run is none that a detector needs"):
        read_graph(file)


def test_onnx_that_points_at_other_files_is_refused(tmp_path):
    file = write_onnx(tmp_path / "a.onnx", [helper.make_node("Conv", ["x", "kernel"], ["y"])], {"kernel": KERNEL})
    model = onnx.load(str(file))
    [tensor] = model.graph.initializer
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    file.write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match="its weights lie in other files"):
        read_graph(file)


def test_a_name_that_is_no_networks(tmp_path):
    with pytest.raises(CheckpointError, match=r"those end in \.pdmodel, \.json .* and \.onnx"):
        read_graph(tmp_path / "a.pdparams")
