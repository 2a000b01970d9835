"""Weights of deployed detectors: from Paddle inference models and ONNX files into a checkpoint folder.

A deployed network has another form than the one that is trained: re-parameterised blocks are one convolution, batch
norms may be folded into convolutions, the threshold branch is gone, and names say nothing. So layers are found by
what they are and how they are connected, and the result is proved by running both networks.
"""

import hashlib
import importlib.metadata
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import paddle

from ppdet_db.data.transforms.image import IMAGENET_MEAN, IMAGENET_STD
from ppdet_db.engine import checkpoint
from ppdet_db.engine.evaluate import predict_with
from ppdet_db.engine.export import NAME, export
from ppdet_db.engine.graph import DECONV, NORM, read_graph
from ppdet_db.engine.graph_layers import SCALE, SHIFT, Layer, Step, describe, layers_of
from ppdet_db.engine.inference import model_file, open_model
from ppdet_db.errors import CheckpointError, DetError
from ppdet_db.modeling.model import DetModel

PACKAGE = "package:"
LARGEST_DIFFERENCE = 1e-3
"""Between the probability maps of the two networks."""


@dataclass(frozen=True)
class ImportReport:
    """What came of an import.

    Args:
        arrays: how many arrays of the network have their values from the file.
        fresh: names of those that have not: what only training uses.
        folded: names of batch norms whose effect was in the convolution before them in the file.
        difference: the largest between the probability maps of the file and of the network.
    """

    source: str
    arrays: int
    fresh: tuple[str, ...]
    folded: tuple[str, ...]
    difference: float

    @property
    def fresh_parts(self) -> list[str]:
        """`head.thresh` for all that lies below it."""
        return parts(self.fresh)

    @property
    def folded_parts(self) -> list[str]:
        return parts(self.folded)


def import_weights(model: DetModel, source: Path, folder: str | os.PathLike) -> ImportReport:
    """Writes a checkpoint folder with the weights of a deployed network, for the fused form of `model`.

    Raises:
        DetError: the file cannot be read, is of another network, or computes other maps. Nothing is written then.
    """
    source = model_file(source)
    found = layers_of(read_graph(source))
    fused = model.fuse()
    pairs = match(found, own_layers(fused), str(source))
    arrays, folded = {}, []
    for theirs, ours in pairs:
        values, norm = transfer(theirs, ours)
        arrays |= values
        folded += [norm] if norm else []
    state = fused.state_dict()
    for name, value in arrays.items():
        state[name].set_value(value.reshape(state[name].shape))
    difference = largest_difference(fused, source)
    if not difference <= LARGEST_DIFFERENCE:
        raise CheckpointError(
            f"{source}: its layers fit the network, but the maps differ by {difference:.2g}: an activation, a padding "
            "or an order must be another. Nothing was written."
        )
    checkpoint.save(folder, fused, state={"source": {"file": source.name, "sha256": _sha256(source)}})
    return ImportReport(
        str(source), len(arrays), tuple(name for name in state if name not in arrays), tuple(folded), difference
    )


def parts(names: Iterable[str]) -> list[str]:
    """The names' first level, of the head their first two: `backbone`, `head.thresh`."""
    return list(dict.fromkeys(".".join(name.split(".")[: 2 if name.startswith("head.") else 1]) for name in names))


def source_file(given: str) -> Path:
    """The file that `--from` means: a path, or `package:NAME` for the detector in an installed Python package.

    The package is not imported, only its list of files is read.

    Raises:
        CheckpointError: the package is not installed or has no detector.
    """
    if not given.startswith(PACKAGE):
        return Path(given)
    name = given.removeprefix(PACKAGE)
    try:
        files = importlib.metadata.files(name) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise CheckpointError(f"{given}: the package is not installed. Run: pip install {name}") from error
    networks = sorted(file for file in files if file.suffix in (".onnx", ".pdmodel"))
    detectors = [file for file in networks if "det" in file.name.lower()]
    if len(detectors) != 1:
        what = "several detectors" if detectors else "no detector"
        names = ", ".join(str(file.locate()) for file in detectors or networks) or "none"
        raise CheckpointError(f"{given}: the package has {what}. Give one of its files with --from: {names}")
    return Path(str(detectors[0].locate()))


def own_layers(fused: DetModel) -> list[Layer]:
    """The layers that a network of ours uses in evaluation, found as those of a file are: in its exported graph."""
    with tempfile.TemporaryDirectory() as folder:
        export(fused, folder)
        graph = read_graph(Path(folder, f"{NAME}.json"))
    layers = layers_of(graph)
    known = {name for layer in layers for name in names_of(layer)}
    if strange := sorted(set(graph.weights) - known):
        raise CheckpointError(
            f"weights cannot be imported into this network: {', '.join(strange)} belong to no convolution, batch norm, "
            "scale or shift"
        )
    return layers


def names_of(layer: Layer) -> list[str]:
    return [*([layer.name] if layer.name else []), *(name for step in layer.steps for name in step.names)]


# ---------------------------------------------------------------------------------------------------------- matching


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
    known = Counter(map(str, ours))
    surplus = []
    for layer in theirs:
        known[str(layer)] -= 1
        if known[str(layer)] < 0:
            surplus.append(layer)
    if surplus:
        lines.append(f"in the file, not in the network: {describe(surplus)}")
    given = Counter(map(str, theirs))
    for layer in ours:
        given[str(layer)] -= 1
        if given[str(layer)] < 0:
            lines.append(f"in the network, not in the file: {names_of(layer)[0]}: {layer}")
    return "".join(f"\n  {line}" for line in lines)


# ------------------------------------------------------------------------------------------------------------ values


def transfer(theirs: Layer, ours: Layer) -> tuple[dict[str, np.ndarray], str]:
    """(name -> array for one layer of ours that makes it compute what theirs does, name of a batch norm that theirs
    has no counterpart of).

    Where both have the same steps the arrays are copied. Else all of theirs are folded into kernel and shift, and the
    steps of ours that are left over do nothing.

    Raises:
        CheckpointError: ours has no place for a shift or scale of theirs.
    """
    kernel = {ours.name: theirs.kernel} if theirs.kernel is not None else {}
    if _kinds(theirs.steps) == _kinds(ours.steps):
        for step, own in zip(theirs.steps, ours.steps, strict=True):
            kernel |= dict(zip(own.names, step.arrays, strict=True))
            if step.kind == NORM:
                kernel[own.names[-1]] = step.arrays[-1] + np.float32(step.epsilon - own.epsilon)
        return kernel, ""
    scale, shift = composed(theirs.steps)
    if theirs.kernel is not None:
        axis = 1 if theirs.kind == DECONV else 0
        kernel = {ours.name: theirs.kernel * scale.reshape([-1 if i == axis else 1 for i in range(4)])}
        scale = np.ones(1)
    values, norm = dict(kernel), ""
    for step in ours.steps:
        size = step.arrays[0].size
        if step.kind == NORM:
            norm = step.names[0].rpartition(".")[0]
            arrays = [np.broadcast_to(x, size) for x in (scale, shift, 0.0, 1 - step.epsilon)]
            scale, shift = np.ones(1), np.zeros(1)
        elif step.kind == SCALE and scale.size <= size and not shift.any():
            arrays, scale = [np.broadcast_to(scale, size)], np.ones(1)
        elif step.kind == SHIFT and shift.size <= size and not (scale != 1).any():
            arrays, shift = [np.broadcast_to(shift, size)], np.zeros(1)
        else:
            arrays = [np.full(size, float(step.kind == SCALE))]
        values |= dict(zip(step.names, arrays, strict=True))
    if shift.any() or (scale != 1).any():
        raise CheckpointError(
            f"{names_of(ours)[0]}: the file scales or shifts its output, and the network has no place for that"
        )
    return {name: np.ascontiguousarray(value, np.float32) for name, value in values.items()}, norm


def _kinds(steps: Sequence[Step]) -> list[tuple]:
    return [(step.kind, *map(np.size, step.arrays)) for step in steps]


def composed(steps: Sequence[Step]) -> tuple[np.ndarray, np.ndarray]:
    """(scale, shift) of steps one after the other: x -> scale x + shift."""
    scale, shift = np.ones(1), np.zeros(1)
    for step in steps:
        arrays = [array.astype(np.float64) for array in step.arrays]
        if step.kind == SHIFT:
            shift = shift + arrays[0]
        elif step.kind == SCALE:
            scale, shift = scale * arrays[0], shift * arrays[0]
        else:
            weight, bias, mean, variance = arrays
            factor = weight / np.sqrt(variance + step.epsilon)
            scale, shift = scale * factor, (shift - mean) * factor + bias
    return scale, shift


# ------------------------------------------------------------------------------------------------------ verification


def largest_difference(fused: DetModel, source: Path) -> float:
    """Between the probability maps of the two on the built-in pictures; NaN counts as infinite."""
    theirs, ours = open_model(source), predict_with(fused)
    worst = 0.0
    for images in builtin_pictures():
        expected = theirs(images)["maps"]
        found = ours(paddle.to_tensor(images))["maps"].numpy()
        difference = float(np.abs(expected - found).max())
        worst = max(worst, difference if np.isfinite(difference) else float("inf"))
    return worst


def builtin_pictures() -> list[np.ndarray]:
    """Normalised pictures (1, 3, H, W) of two sizes with lines of text and noise."""
    pictures = []
    for height, width in ((320, 480), (416, 352)):
        rng = np.random.default_rng(height)
        picture = cv2.GaussianBlur(rng.integers(90, 255, (height, width, 3), np.uint8), (0, 0), 3)
        for y in range(30, height, 45):
            size, x = rng.uniform(0.6, 1.4), int(rng.integers(5, 60))
            color = [int(c) for c in rng.integers(0, 90, 3)]
            cv2.putText(picture, f"Text {y} in a line", (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, color, 2, cv2.LINE_AA)
        normalised = (picture / 255.0 - IMAGENET_MEAN) / IMAGENET_STD
        pictures.append(np.ascontiguousarray(normalised.transpose(2, 0, 1)[None], np.float32))
    return pictures


def _sha256(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise DetError(f"{file}: cannot be read: {error.strerror}") from error
