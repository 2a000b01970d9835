"""Where config and components meet. The names below are the Python API, see docs/api.md."""

from ppdet_db.engine.build import (
    build_dataset,
    build_loader,
    build_loss,
    build_metric,
    build_model,
    build_optimizer,
    build_postprocess,
    build_transforms,
    load_plan,
)
from ppdet_db.engine.evaluate import evaluate
from ppdet_db.engine.trainer import Trainer

__all__ = [
    "Trainer",
    "build_dataset",
    "build_loader",
    "build_loss",
    "build_metric",
    "build_model",
    "build_optimizer",
    "build_postprocess",
    "build_transforms",
    "evaluate",
    "load_plan",
]
