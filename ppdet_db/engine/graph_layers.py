"""The layers of a deployed network, found among its operators: convolutions with the linear steps behind them.

Programs write one network in many ways: a bias in the convolution, as an addition or in a batch norm, an activation
as one operator or in parts. Layers come out alike, so that two networks can be compared.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ppdet_db.engine.graph import ADD, CONV, DECONV, DIVIDE, MULTIPLY, NORM, RESHAPE, SAME, SUBTRACT, Graph, Op


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

    @property
    def names(self) -> list[str]:
        """Of all its arrays."""
        return [*([self.name] if self.name else []), *(name for step in self.steps for name in step.names)]

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
