"""Which layer of a network is which of another that has the same layers under other names, in another order."""

from collections import Counter
from collections.abc import Iterable, Sequence

from ppdet_db.engine.graph_layers import Layer, describe
from ppdet_db.errors import CheckpointError


def match(theirs: Sequence[Layer], ours: Sequence[Layer], source: str) -> list[tuple[Layer, Layer]]:
    """Pairs of layers that are alike and stand in the same place of their networks, in the order of `ours`.

    Layers get colours: first by what they are, then again and again by their colour and those of the layers before and
    behind them, until no more can be told apart. Those that then still share a colour are the same in every respect but
    their order, which decides. (Weisfeiler and Leman's refinement.)

    Raises:
        CheckpointError: the networks are not the same; lists every layer that only one has.
    """
    left, right = Counter(map(str, theirs)), Counter(map(str, ours))
    if left != right:
        raise CheckpointError(f"{source}: belongs to another network. Nothing was written.{_differences(theirs, ours)}")
    sides = (theirs, ours)
    colours = [{layer: hash(layer.label) for layer in side} for side in sides]
    while True:
        colours = _refined(sides, colours)
        groups = [_grouped(side, colour) for side, colour in zip(sides, colours, strict=True)]
        if any(len(layers) != len(groups[0].get(colour, ())) for colour, layers in groups[1].items()):
            raise CheckpointError(
                f"{source}: belongs to another network. Nothing was written. It has the layers of the network, but "
                "connected in another way."
            )
        tied = next((colour for colour, layers in groups[1].items() if len(layers) > 1), None)
        if tied is None:
            break
        for group, colour in zip(groups, colours, strict=True):
            colour[group[tied][0]] = hash(("first", tied))
    place = {colour: layers[0] for colour, layers in groups[0].items()}
    return [(place[colours[1][layer]], layer) for layer in ours]


def _refined(sides: Sequence[Sequence[Layer]], colours: list[dict[Layer, int]]) -> list[dict[Layer, int]]:
    children = [{layer: [c for c in side if layer in c.parents] for layer in side} for side in sides]
    while True:
        fresh = [
            {
                layer: hash(
                    (
                        colour[layer],
                        tuple(sorted(colour[parent] for parent in layer.parents)),
                        tuple(sorted(colour[child] for child in behind[layer])),
                    )
                )
                for layer in side
            }
            for side, colour, behind in zip(sides, colours, children, strict=True)
        ]
        if [len(set(colour.values())) for colour in fresh] == [len(set(colour.values())) for colour in colours]:
            return fresh
        colours = fresh


def _grouped(side: Iterable[Layer], colour: dict[Layer, int]) -> dict[int, list[Layer]]:
    groups: dict[int, list[Layer]] = {}
    for layer in side:
        groups.setdefault(colour[layer], []).append(layer)
    return groups


def _differences(theirs: Sequence[Layer], ours: Sequence[Layer]) -> str:
    lines = []
    if surplus := _surplus(theirs, ours):
        lines.append(f"in the file, not in the network: {describe(surplus)}")
    lines += [f"in the network, not in the file: {layer.names[0]}: {layer}" for layer in _surplus(ours, theirs)]
    return "".join(f"\n  {line}" for line in lines)


def _surplus(side: Sequence[Layer], other: Sequence[Layer]) -> list[Layer]:
    """The layers of a side of which the other has not as many alike: the last of them."""
    left, surplus = Counter(map(str, other)), []
    for layer in side:
        left[str(layer)] -= 1
        if left[str(layer)] < 0:
            surplus.append(layer)
    return surplus
