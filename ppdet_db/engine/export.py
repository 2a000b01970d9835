"""Network -> files that other programs run: Paddle inference model, ONNX, PaddleOCR's weights file.

Exported is a fused copy in evaluation mode: picture `x` (N, 3, H, W) -> shrink map (N, 1, H, W), N, H and W free.
"""

import os
from pathlib import Path

import paddle
from paddle.static import InputSpec

import ppdet_db.modeling
from ppdet_db.errors import DetError
from ppdet_db.modeling.model import DetModel

NAME = "inference"
"""Stem of the files of a Paddle inference model: `inference.json` is the graph, `inference.pdiparams` the weights."""

INPUT, OUTPUT = "x", "fetch_name_0"
"""What a graph's input and output are called; Paddle chooses the output's."""


class Graph(paddle.nn.Layer):
    """A detector as a function of one tensor that returns one tensor."""

    def __init__(self, model: DetModel):
        super().__init__()
        self.backbone, self.neck, self.head = model.backbone, model.neck, model.head

    # Called part by part: Paddle rewrites the code of a user's part so that sizes it reads stay free in the graph, but
    # only of what is called from code that it rewrites, as this method's. Ours reads no sizes and is left alone.
    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.head(self.neck(self.backbone(x)))["maps"]


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
