"""Which predictor stands behind a command: a trained network, an exported model, or the network on an engine."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ppdet_db.config import InferencePlan, Plan
from ppdet_db.engine.build import load_inference_plan
from ppdet_db.engine.evaluate import predict_with
from ppdet_db.engine.export import export, refuse_for_onnx, to_onnx
from ppdet_db.engine.inference import Engine, InferenceModel, deployed_config, model_file, open_model, require_engine
from ppdet_db.engine.log import logger
from ppdet_db.engine.predict import without_label
from ppdet_db.engine.settings import transform_values, values_of
from ppdet_db.engine.weights import load_trained
from ppdet_db.errors import ConfigError
from ppdet_db.modeling.model import DetModel


def choose_predictor(
    plan: Plan | InferencePlan, exported: str | None, engine: Engine | None
) -> Callable[[Any], dict[str, Any]]:
    """An exported model, the network of a plan, or that network on an engine.

    Args:
        plan: a `Plan` where the network or a comparison with it is wanted.
        exported: a folder or file of an exported model; None for the network of `Global.checkpoints`.
        engine: what runs it; None for the network itself, or the engine that the exported file is made for.

    Raises:
        DetError: there is no such model, there are no such weights, or the engine cannot run them.
    """
    if engine is not None:
        require_engine(engine)
    if exported is not None:
        file = model_file(Path(exported), engine)
        if isinstance(plan, Plan):
            note_differences(plan.for_inference(), file)
        return open_model(file, engine)
    model = load_trained(plan)
    if engine is None:
        return predict_with(model)
    logger.info("the network runs on %s", engine)
    return through_engine(model, engine)


def through_engine(model: DetModel, engine: Engine) -> InferenceModel:
    """A network as it is now, exported into a temporary folder and opened there by an engine.

    The network is not changed; building its fused copy draws random numbers.

    Raises:
        DetError: the network has no graph, or the engine is not installed.
    """
    require_engine(engine)
    if engine != "paddle":
        refuse_for_onnx(model)
    with tempfile.TemporaryDirectory(prefix="ppdet_db_") as name:
        folder = Path(name)
        export(model, folder)
        if engine != "paddle":
            to_onnx(folder, {})
        return open_model(folder, engine)


def note_differences(plan: InferencePlan, file: Path) -> None:
    """Logs where a config treats pictures or maps otherwise than an exported model says of itself: other boxes follow.

    Args:
        plan: of the config, which counts.
        file: the exported graph.
    """
    if deployed_config(file) is None:
        return
    try:
        given, exported = _described(plan), _described(load_inference_plan(file))
    except ConfigError as error:  # another program's, and the config counts
        logger.info("note: what the exported model says of its transforms is not understood: %s", error.problems[0])
        return
    for name in [*dict.fromkeys([*given, *exported])]:
        if given.get(name) != exported.get(name):
            config, model = (values.get(name, "none") for values in (given, exported))
            logger.info("note: %s is %s in the config, which counts, and %s in the exported model", name, config, model)


def _described(plan: InferencePlan) -> dict[str, dict[str, Any]]:
    described = {spec.cls.__name__: transform_values(spec) for spec in without_label(plan.transforms)}
    return described | {plan.postprocess.cls.__name__: values_of(plan.postprocess)}
