"""Reading deployed networks: what comes out of a file."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ppdet_db.engine.graph import CONV, NORM, read_graph
from ppdet_db.engine.graph_layers import layers_of
from ppdet_db.errors import CheckpointError

KERNEL = np.ones((4, 3, 1, 1), np.float32)


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
