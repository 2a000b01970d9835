"""Weights of deployed detectors: from Paddle inference models and ONNX files into a checkpoint folder.

A deployed network has another form than the one that is trained: re-parameterised blocks are one convolution, batch
norms may be folded into convolutions, the threshold branch is gone, and names say nothing. So layers are found by
what they are and how they are connected, and the result is proved by running both networks.
"""

import hashlib
import importlib.metadata
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import paddle

from ppdet_db.data.transforms.image import IMAGENET_MEAN, IMAGENET_STD
from ppdet_db.engine import checkpoint, pdparams
from ppdet_db.engine.evaluate import predict_with
from ppdet_db.engine.export import NAME, export
from ppdet_db.engine.graph import DECONV, NORM, read_graph
from ppdet_db.engine.graph_layers import SCALE, SHIFT, Layer, Step, layers_of
from ppdet_db.engine.graph_match import match
from ppdet_db.engine.inference import model_file, open_model
from ppdet_db.engine.verify import built_in_picture
from ppdet_db.errors import CheckpointError, DetError
from ppdet_db.modeling.model import DetModel

PACKAGE = "package:"
LARGEST_DIFFERENCE = 1e-3
"""Between the probability maps of the two networks."""
SIZES = ((640, 448), (352, 416))
"""Width and height of the pictures that these are made of."""


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
        DetError: the file cannot be read, is of another network, or computes other maps, or the folder has something
            else in it. Nothing is written then.
    """
    if not is_free(Path(folder)):
        raise CheckpointError(f"{folder}: is there and no checkpoint, so none is put in its place: choose a new folder")
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


def is_free(folder: Path) -> bool:
    """Whether a checkpoint may be put there: it replaces a folder with all that is in it."""
    try:
        return (folder / checkpoint.MODEL).is_file() or not any(folder.iterdir())
    except FileNotFoundError:
        return True
    except OSError:  # a file, or the folder of somebody else
        return False


def parts(names: Iterable[str]) -> list[str]:
    """The names' first level, of the head their first two: `backbone`, `head.thresh`."""
    return list(dict.fromkeys(".".join(name.split(".")[: 2 if name.startswith("head.") else 1]) for name in names))


def source_file(given: str) -> Path:
    """The file that `--from` means: a path, or `package:NAME` for the detector in an installed Python package.

    The package is not imported, only its list of files is read.

    Raises:
        CheckpointError: the package is not installed or has no detector, or the file is of a training.
    """
    if given.endswith(pdparams.WEIGHTS):
        raise CheckpointError(f"{given}: needs no import: give it to Global.pretrained_model or Global.checkpoints")
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
    known = {name for layer in layers for name in layer.names}
    if strange := sorted(set(graph.weights) - known):
        raise CheckpointError(
            f"weights cannot be imported into this network: {', '.join(strange)} belong to no convolution, batch norm, "
            "scale or shift"
        )
    return layers


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
            f"{ours.names[0]}: the file scales or shifts its output, and the network has no place for that"
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
    """Between the probability maps of the two on the built-in picture; NaN counts as infinite."""
    theirs, ours = open_model(source), predict_with(fused)
    worst = 0.0
    for images in normalised_pictures():
        expected = theirs(images)["maps"]
        found = ours(paddle.to_tensor(images))["maps"].numpy()
        difference = float(np.abs(expected - found).max())
        worst = max(worst, difference if np.isfinite(difference) else float("inf"))
    return worst


def normalised_pictures() -> list[np.ndarray]:
    """The built-in picture (1, 3, H, W) in two sizes."""
    picture = cv2.imdecode(np.frombuffer(built_in_picture()[1], np.uint8), cv2.IMREAD_COLOR)
    scaled = (cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for size in SIZES)
    normalised = ((image / 255.0 - IMAGENET_MEAN) / IMAGENET_STD for image in scaled)
    return [np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32) for image in normalised]


def _sha256(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise DetError(f"{file}: cannot be read: {error.strerror}") from error
