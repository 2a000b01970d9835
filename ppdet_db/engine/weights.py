"""The weights that a config names: `Global.checkpoints` and `Global.pretrained_model`."""

from collections.abc import Iterator
from contextlib import contextmanager

from ppdet_db.config import Plan
from ppdet_db.engine import build, checkpoint, download
from ppdet_db.engine.log import logger
from ppdet_db.errors import CheckpointError, DetError
from ppdet_db.modeling.model import DetModel


def load_trained(plan: Plan) -> DetModel:
    """The network of a plan with the weights of `Global.checkpoints`, or else of `Global.pretrained_model`.

    An address in a file's `pretrained_model` is no trained network but the backbone that a training starts from, in
    PaddleOCR's files and ours; it is not fetched. One that `-o` gives is.

    Raises:
        DetError: neither is set, or they are of another architecture.
    """
    key = "checkpoints" if plan.options.checkpoints else "pretrained_model"
    weights = getattr(plan.options, key)
    line = line_of(plan, key)
    only_to_start_from = key == "pretrained_model" and line and weights and download.is_url(weights)
    if not weights or only_to_start_from:
        why = f". {line}: Global.pretrained_model is what a training starts from" if only_to_start_from else ""
        raise DetError(f"no weights given: set -o Global.checkpoints=FOLDER, such as output/run/best_accuracy{why}")
    build.choose_device(plan.options.use_gpu)
    model = build.build_model(plan.architecture)
    with named_by(plan, key):
        logger.info("weights: %s", checkpoint.load_weights(model, weights, strict=True))
    model.eval()
    return model


@contextmanager
def named_by(plan: Plan, key: str) -> Iterator[None]:
    """Puts before an error about weights the line that names them: `det.yml:15: Global.pretrained_model: ...`.

    What `-o` names is in the command that the user has just written, so nothing is put there.
    """
    try:
        yield
    except CheckpointError as error:
        line = line_of(plan, key)
        raise CheckpointError(f"{line}: Global.{key}: {error}" if line else str(error)) from error


def line_of(plan: Plan, key: str) -> str:
    """`det.yml:15` of a key of `Global`; empty where no file has it."""
    mark = plan.config.marks.get(("Global", key))
    return str(mark) if mark is not None and mark.line else ""
