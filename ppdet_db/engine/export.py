"""Network -> files that other programs run: Paddle inference model, ONNX, PaddleOCR's weights file.

Exported is a fused copy in evaluation mode: picture `x` (N, 3, H, W) -> shrink map (N, 1, H, W), N, H and W free.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import paddle
from paddle.static import InputSpec
from paddle.vision.ops import DeformConv2D

import ppdet_db.modeling
from ppdet_db.config import Plan
from ppdet_db.config.document import block_yaml
from ppdet_db.engine import settings
from ppdet_db.engine.inference import CONFIG, ONNX_FILES
from ppdet_db.engine.log import logger
from ppdet_db.engine.verify import Picture, verify
from ppdet_db.errors import DetError
from ppdet_db.modeling.model import DetModel

if TYPE_CHECKING:
    import onnx

NAME = "inference"
"""Stem of the files of a Paddle inference model: `inference.json` is the graph, `inference.pdiparams` the weights."""

ONNX, PDPARAMS = ONNX_FILES[0], "model.pdparams"
WRITTEN = (f"{NAME}.json", f"{NAME}.pdiparams", CONFIG, settings.CLIENTS, ONNX, PDPARAMS)

INPUT = "x"
"""What the input of a graph is called."""

OPSET = 14
"""Version of ONNX's operators, the first that has the hard swish that Paddle2ONNX writes."""


FOLDED_SIZE = 16
"""Constants with at most so many numbers are taken for shapes and not for weights."""


class Graph(paddle.nn.Layer):
    """A detector as a function of one tensor that returns one tensor."""

    def __init__(self, model: DetModel):
        super().__init__()
        self.backbone, self.neck, self.head = model.backbone, model.neck, model.head

    # Called part by part: Paddle rewrites the code of a user's part so that sizes it reads stay free in the graph, but
    # only of what is called from code that it rewrites, as this method's. Ours reads no sizes and is left alone.
    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.head(self.neck(self.backbone(x)))["maps"]


def export_run(
    plan: Plan,
    model: DetModel,
    folder: str | os.PathLike,
    *,
    onnx: bool = False,
    pdparams: bool = False,
    pictures: Sequence[Picture] = (),
) -> list[Path]:
    """Writes the network of a run with its settings into a folder, once the pictures have shown that it does the same.

    Files that are there from an earlier export are replaced, or removed where they are not asked for.

    Args:
        plan: whose evaluation transforms and postprocess go into `inference.yml` and `clients.yml`.
        model: with its weights loaded.
        onnx: `model.onnx` too.
        pdparams: `model.pdparams` too, PaddleOCR's weights file of the network before it is fused.
        pictures: what the exported network is compared on; none for no comparison.

    Returns:
        The files.

    Raises:
        DetError: the network cannot be exported, does something else afterwards, or the folder cannot be written.
            What was there before is still there.
    """
    if onnx:
        refuse_for_onnx(model)
    if pdparams and plan.architecture.fused:
        raise DetError("--pdparams: PaddleOCR trains networks before they are fused; this one has Architecture.fused")
    folder = Path(folder)
    fresh = Path(f"{folder}.writing")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        export(model, fresh)
        config = block_yaml(settings.inference_config(plan))
        (fresh / CONFIG).write_text(config, encoding="utf-8")
        clients, untold = settings.client_settings(plan)
        (fresh / settings.CLIENTS).write_text(block_yaml(clients), encoding="utf-8")
        if onnx:
            to_onnx(fresh, {CONFIG: config})
        if pdparams:
            paddle.save(model.state_dict(), str(fresh / PDPARAMS))
        verify(plan, model, fresh, pictures)
        folder.mkdir(exist_ok=True)
        for name in WRITTEN:
            if (fresh / name).exists():
                os.replace(fresh / name, folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise DetError(f"{folder}: the model cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    for sentence in untold:
        logger.info("note: other programs find other boxes: %s", sentence)
    return [folder / name for name in WRITTEN if (folder / name).exists()]


def export(model: DetModel, folder: str | os.PathLike) -> None:
    """Writes `inference.json` and `inference.pdiparams` of a fused copy into a folder, which is made.

    Arrays have their structured names (`backbone.conv1.weight`).

    Raises:
        DetError: a part of the network cannot be a graph; says which line.
    """
    paddle.jit.ignore_module([ppdet_db.modeling])
    graph = Graph(model.fuse())
    graph.eval()
    for name, tensor in [*graph.named_parameters(), *graph.named_buffers()]:
        tensor.name = name
    spec = InputSpec([None, 3, None, None], "float32", INPUT)
    try:
        paddle.jit.save(graph, str(Path(folder) / NAME), input_spec=[spec])
    except OSError as error:
        raise DetError(f"{folder}: the model cannot be written: {error.strerror or error}") from error
    except Exception as error:  # Paddle raises whatever the rewritten code does
        raise DetError(f"the network cannot be exported: Paddle makes no graph of it: {error}") from error


def refuse_for_onnx(model: paddle.nn.Layer) -> None:
    """Raises DetError where a package is missing, or the network has an operator that Paddle2ONNX does not convert."""
    for name, layer in model.named_sublayers():
        if isinstance(layer, DeformConv2D):
            raise DetError(
                f"the network cannot be converted to ONNX: {name} is a deformable convolution, which Paddle2ONNX does "
                "not convert (its issue 1183). Export without --onnx, or train a backbone without dcn_stage."
            )
    try:
        import onnx  # noqa: F401
        import paddle2onnx  # noqa: F401
    except ImportError as error:
        raise DetError(
            f'ONNX needs a package that is not installed ({error}). Run: pip install "ppdet_db[onnx]". Paddle2ONNX has '
            "no release for Python 3.13."
        ) from error


def to_onnx(folder: Path, metadata: dict[str, str]) -> None:
    """Writes `model.onnx` of the Paddle inference model in a folder: the same graph, arrays and names.

    Args:
        metadata: what the file says of itself besides.
    """
    import onnx
    import paddle2onnx

    with captured() as said:
        try:
            # its optimizer installs packages by itself
            data = paddle2onnx.export(
                str(folder / f"{NAME}.json"), str(folder / f"{NAME}.pdiparams"), opset_version=OPSET, optimize_tool=None
            )
        except Exception as error:  # it hides its own behind an UnboundLocalError
            raise DetError(f"the network cannot be converted to ONNX: {said() or error}") from error
    model = onnx.load_model_from_string(data)
    fold_shapes(model)
    for value, sides in ((model.graph.input[0], ("N", "3", "H", "W")), (model.graph.output[0], ("N", "1", "H", "W"))):
        for dim, side in zip(value.type.tensor_type.shape.dim, sides, strict=True):
            if side.isdigit():
                dim.dim_value = int(side)
            else:
                dim.dim_param = side
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    onnx.save(model, str(folder / ONNX))


def fold_shapes(model: "onnx.ModelProto") -> None:
    """Computes what follows from constants alone, such as how often to repeat a pixel, and stores the result instead.

    OpenVINO otherwise does not know how many axes a feature has, and refuses the model. Weights are left as they are.
    """
    from onnx import helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    known: dict[str, np.ndarray] = {}
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Constant":
            value = numpy_helper.to_array(node.attribute[0].t)
            if value.size <= FOLDED_SIZE:
                known[node.output[0]] = value
        elif node.input and set(node.input) <= known.keys():
            [value] = ReferenceEvaluator(node).run(None, {name: known[name] for name in node.input})
            known[node.output[0]] = value
            node = helper.make_node("Constant", [], node.output, node.name, value=numpy_helper.from_array(value))
        nodes.append(node)
    read = {name for node in nodes for name in node.input} | {output.name for output in model.graph.output}
    del model.graph.node[:]
    model.graph.node.extend(node for node in nodes if read.intersection(node.output))


@contextmanager
def captured() -> Iterator[Callable[[], str]]:
    """Takes what is printed meanwhile off the terminal, by libraries in C++ too; gives it when asked."""
    with tempfile.TemporaryFile() as file:
        streams = (sys.stdout, sys.stderr)
        kept = []
        for number, stream in enumerate(streams, start=1):
            stream.flush()
            kept.append(os.dup(number))
            os.dup2(file.fileno(), number)
        try:
            yield lambda: _text(file)
        finally:
            for number, stream in enumerate(streams, start=1):
                stream.flush()
                os.dup2(kept[number - 1], number)
                os.close(kept[number - 1])


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace").strip()
