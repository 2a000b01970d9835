"""A run's transforms and postprocess as the programs want them that run its exported network.

`inference.yml` has the layout of PaddleOCR 3's export, which PaddleX reads. PaddleX leaves some of it unread, and
RapidOCR all: `clients.yml` has what these two must be told besides.
"""

import inspect
from collections.abc import Iterable
from typing import Any

import numpy as np

from ppdet_db.config import Plan
from ppdet_db.data.transforms import DecodeImage, DetResizeForTest, NormalizeImage, ToCHWImage
from ppdet_db.data.transforms.image import IMAGENET_MEAN, IMAGENET_STD, parse_scale
from ppdet_db.engine.predict import without_label
from ppdet_db.postprocess.db_postprocess import DBPostProcess
from ppdet_db.registry import Spec

CLIENTS = "clients.yml"

KNOWN = (DecodeImage, DetResizeForTest, NormalizeImage, ToCHWImage)
"""Transforms that PaddleX and RapidOCR have."""

SHAPES = {"x": [[1, 3, 32, 32], [1, 3, 736, 736], [1, 3, 4000, 4000]]}
"""Least, usual and largest input, which PaddleX builds TensorRT engines for."""

RESIZING = ("limit_side_len", "limit_type")
THRESHOLDS = ("thresh", "box_thresh", "max_candidates", "unclip_ratio", "use_dilation", "score_mode")


def inference_config(plan: Plan) -> dict[str, Any]:
    """The content of `inference.yml`: every value that decides which boxes are found is there, defaults too."""
    backends = {"paddle_infer": "trt_dynamic_shapes", "tensorrt": "dynamic_shapes"}
    return {
        "Global": {"model_name": plan.options.model_name},
        "Hpi": {"backend_configs": {backend: {key: {**SHAPES}} for backend, key in backends.items()}},
        "PreProcess": {
            "transform_ops": [
                {spec.cls.__name__: transform_values(spec) or None}
                for spec in without_label(plan.eval.dataset.transforms)
            ]
        },
        "PostProcess": {"name": plan.postprocess.cls.__name__, **values_of(plan.postprocess)},
    }


def client_settings(plan: Plan) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The content of `clients.yml`, and one sentence for each thing that a client cannot be told.

    `paddleocr`: arguments of `paddleocr.TextDetection`, besides `model_dir`. `rapidocr`: `params` of `RapidOCR`,
    besides `Det.model_path`.
    """
    transforms = {spec.cls: transform_values(spec) for spec in without_label(plan.eval.dataset.transforms)}
    found = values_of(plan.postprocess)
    resize = transforms.get(DetResizeForTest, {})
    normalize = transforms.get(NormalizeImage)
    limits = {name: resize[name] for name in RESIZING if name in resize}
    rapidocr = {f"Det.{name}": value for name, value in limits.items()}
    if normalize is not None:
        rapidocr |= {f"Det.{name}": value for name, value in of_255(**normalize).items()}
    if plan.postprocess.cls is DBPostProcess:
        rapidocr |= {f"Det.{name}": found[name] for name in THRESHOLDS}
    # RapidOCR first scales a picture down to this; not before the resize that is asked for here
    rapidocr["Global.max_side_len"] = max(resize.get("max_side_limit", 4000), 4000)
    clients = {"paddleocr": {"model_name": plan.options.model_name, **limits}, "rapidocr": rapidocr}
    return clients, list(untold(plan, transforms, resize, found))


def untold(plan: Plan, transforms: dict[type, dict], resize: dict, found: dict) -> Iterable[str]:
    """One sentence for each thing that a client does otherwise, whatever it is told."""
    others = [cls.__name__ for cls in transforms if cls not in KNOWN]
    if others:
        yield f"PaddleX and RapidOCR have no {', '.join(others)}"
    if plan.postprocess.cls is not DBPostProcess:
        yield f"PaddleX and RapidOCR have no {plan.postprocess.cls.__name__}"
    if "image_shape" in resize:
        yield "RapidOCR cannot resize to an image_shape"
    if "resize_long" in resize or resize.get("limit_type") == "resize_long":
        yield "PaddleX and RapidOCR do not resize by resize_long; use limit_side_len with limit_type: max"
    if resize.get("max_side_limit", 4000) != 4000:
        yield "PaddleOCR's TextDetection and RapidOCR do not take max_side_limit"
    decode = transforms.get(DecodeImage, {})
    if decode.get("img_mode") != "BGR":
        yield "RapidOCR always gives the network blue, green, red (img_mode: BGR)"
    if decode.get("ignore_orientation"):
        yield "PaddleX and RapidOCR turn a photograph upright (ignore_orientation: false)"
    if found.get("box_type") == "poly":
        yield "RapidOCR finds quadrangles only (box_type: quad)"


def transform_values(spec: Spec) -> dict[str, Any]:
    """The arguments of a transform with what it takes for those that are not given: others have other defaults."""
    values = values_of(spec)
    if spec.cls is DecodeImage and not values["ignore_orientation"]:
        del values["ignore_orientation"]  # PaddleX does not know the word
    if spec.cls is DetResizeForTest and not {"image_shape", "resize_long"} & values.keys():
        values = {"limit_side_len": 736, "limit_type": "min"} | values
    if spec.cls is NormalizeImage:
        values = {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)} | values
        values["scale"] = parse_scale(values.get("scale"))
    return values


def values_of(spec: Spec) -> dict[str, Any]:
    """The arguments of a component, those not given with their defaults; without those that are None."""
    left_out = (None, inspect.Parameter.empty)
    return {name: plain(value) for name, value in spec.arguments().items() if value not in left_out}


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def of_255(mean: list[float], std: list[float], scale: float, **_: Any) -> dict[str, list[float]]:
    """Mean and deviation of colours between 0 and 1 that do the same as these of colours times `scale`."""
    return {name: (np.array(value) / (255 * scale)).tolist() for name, value in (("mean", mean), ("std", std))}
