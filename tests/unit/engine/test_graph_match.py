"""Which layer is which."""

import numpy as np
import pytest

from ppdet_db.engine.graph import CONV
from ppdet_db.engine.graph_layers import Layer
from ppdet_db.engine.graph_match import match
from ppdet_db.errors import CheckpointError


def layer(name: str, parents: list[Layer], shape: tuple = (4, 4, 1, 1)) -> Layer:
    return Layer(
        CONV,
        frozenset(parents),
        {"strides": (1, 1), "dilations": (1, 1), "groups": 1},
        name,
        np.ones(shape, np.float32),
    )


def pyramid(order: list[int]) -> list[Layer]:
    """A backbone of three layers with a branch on each, all alike, the branches in this order; then their sum."""
    backbone = [layer("0", [])]
    for name in ("1", "2"):
        backbone.append(layer(name, backbone[-1:]))
    branches = {i: layer(f"branch {i}", [backbone[i]]) for i in order}
    return [*backbone, *branches.values(), layer("last", list(branches.values()))]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_branches_in_any_order_find_their_own(order):
    pairs = match(pyramid(order), pyramid([0, 1, 2]), "a.onnx")
    assert [theirs.name for theirs, _ in pairs] == [ours.name for _, ours in pairs]
    assert len(pairs) == 7


def test_layers_that_nothing_tells_apart_go_by_their_order():
    def twins() -> list[Layer]:
        first = layer("first", [])
        both = [layer("a", [first]), layer("b", [first])]
        return [first, *both, layer("last", both)]

    assert [theirs.name for theirs, _ in match(twins(), twins(), "a.onnx")] == ["first", "a", "b", "last"]


def test_what_one_network_alone_has_is_listed():
    theirs = [layer("x", []), layer("y", [], (8, 4, 3, 3))]
    ours = [layer("backbone.conv.weight", []), layer("neck.conv.weight", [], (16, 4, 1, 1))]
    with pytest.raises(CheckpointError) as error:
        match(theirs, ours, "a.onnx")
    assert str(error.value).splitlines() == [
        "a.onnx: belongs to another network. Nothing was written.",
        "  in the file, not in the network: 3x3 convolution, 4 -> 8 channels",
        "  in the network, not in the file: neck.conv.weight: 1x1 convolution, 4 -> 16 channels",
    ]


def test_the_same_layers_connected_otherwise_are_refused():
    chain = [layer("a", [])]
    for name in "bc":
        chain.append(layer(name, chain[-1:]))
    first = layer("a", [])
    fork = [first, layer("b", [first]), layer("c", [first])]
    with pytest.raises(CheckpointError, match="has the layers of the network, but connected in another way"):
        match(chain, fork, "a.onnx")
