"""Which operators of a deployed network make a layer."""

import math

import numpy as np
import pytest

from ppdet_db.engine.graph import ADD, CONV, MULTIPLY, SAME, Graph, Op
from ppdet_db.engine.graph_layers import SCALE, SHIFT, layers_of

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
