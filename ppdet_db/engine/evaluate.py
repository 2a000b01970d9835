"""Evaluation: any callable images -> {"maps"}, a loader, a postprocess and a metric give one dict of numbers."""

import time
from collections.abc import Callable
from typing import Any

import paddle
from tqdm import tqdm

from ppdet_db.contract import Ragged
from ppdet_db.errors import DetError


def evaluate(
    predict: Callable[[Any], dict],
    loader: Any,
    postprocess: Callable,
    metric: Any,
    seconds: dict[str, float] | None = None,
) -> dict[str, float]:
    """The metric's values over a loader, and `fps`: pictures a second of network and postprocess, reading left out.

    Args:
        predict: (N, 3, H, W) -> {"maps": (N, 1, H, W)}; a model, an inference session, ...
        loader: batches with `image`, `shape` and what the metric reads.
        seconds: where to put those that `network` and `postprocess` take a picture.

    Raises:
        DetError: a picture could not be read; names it.
    """
    metric.reset()
    pictures, network, after = 0, 0.0, 0.0  # the last two in seconds
    for batch in tqdm(loader, desc="evaluate", disable=None, leave=False):
        refuse_bad(batch)
        start = time.perf_counter()
        maps = predict(batch["image"])
        predicted = time.perf_counter()
        found = postprocess(maps, batch["shape"])
        network += predicted - start
        after += time.perf_counter() - predicted
        metric.update(found, batch)
        pictures += len(batch["image"])
    if seconds is not None:
        seconds.update(network=network / max(1, pictures), postprocess=after / max(1, pictures))
    return metric.compute() | {"fps": pictures / (network + after) if network + after else 0.0}


def predict_with(model: paddle.nn.Layer) -> Callable[[Any], dict]:
    """`predict` of a network: in evaluation mode and without gradients, the mode put back afterwards.

    It takes tensors or arrays.
    """

    def predict(images: Any) -> dict:
        training = model.training
        model.eval()
        try:
            with paddle.no_grad():
                return model(images if isinstance(images, paddle.Tensor) else paddle.to_tensor(images))
        finally:
            if training:
                model.train()

    return predict


def refuse_bad(batch: dict) -> None:
    """Raises DetError naming the pictures of a batch that could not be made."""
    bad: Ragged = batch.get("bad", Ragged([]))
    if not len(bad):
        return
    lines = list(dict.fromkeys(map(str, bad)))  # CopyPaste may have met the same one
    if any(sample.line for sample in bad):
        lines.append("Mend the picture or its line in the label file, or remove the line.")
    raise DetError("\n".join(lines))
