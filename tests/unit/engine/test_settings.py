"""What an exported model says of its run: every value, in the words of PaddleX and RapidOCR."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from ppdet_db.config import Plan
from ppdet_db.engine import build_postprocess, build_transforms
from ppdet_db.engine.settings import client_settings, inference_config

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
RESIZE = "Eval.dataset.transforms.DetResizeForTest"
DECODE = "Eval.dataset.transforms.DecodeImage"
NORMALIZE = "Eval.dataset.transforms.NormalizeImage"
OTHER = """[
    DecodeImage: {img_mode: BGR}, DetLabelEncode: , Pad: {size_div: 64}, DetResizeForTest: {limit_side_len: 960},
    NormalizeImage: {order: hwc}, ToCHWImage: , KeepKeys: {keep_keys: [image, shape, polys, ignore_tags]}]"""
LIMITED = (f"{RESIZE}={{limit_side_len: 960, limit_type: max}}", f"{DECODE}.img_mode=BGR")


def test_the_whole_of_inference_yml(plan: Callable[..., Plan]) -> None:
    config = inference_config(plan("Global.model_name=PP-OCRv5_mobile_det", "PostProcess.thresh=0.2"))
    shapes = {"x": [[1, 3, 32, 32], [1, 3, 736, 736], [1, 3, 4000, 4000]]}
    assert config == {
        "Global": {"model_name": "PP-OCRv5_mobile_det"},
        "Hpi": {
            "backend_configs": {
                "paddle_infer": {"trt_dynamic_shapes": shapes},
                "tensorrt": {"dynamic_shapes": shapes},
            }
        },
        "PreProcess": {
            "transform_ops": [
                {"DecodeImage": {"img_mode": "RGB", "channel_first": False}},
                {"DetResizeForTest": {"image_shape": [64, 64], "max_side_limit": 4000}},
                {"NormalizeImage": {"mean": MEAN, "std": STD, "scale": 1 / 255, "order": "hwc"}},
                {"ToCHWImage": None},
            ]
        },
        "PostProcess": {
            "name": "DBPostProcess",
            "thresh": 0.2,
            "box_thresh": 0.7,
            "max_candidates": 1000,
            "unclip_ratio": 2.0,
            "use_dilation": False,
            "score_mode": "fast",
            "box_type": "quad",
        },
    }


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("{}", {"limit_side_len": 736, "limit_type": "min", "max_side_limit": 4000}),
        ("{limit_side_len: 640}", {"limit_side_len": 640, "limit_type": "min", "max_side_limit": 4000}),
        ("{resize_long: 960}", {"resize_long": 960, "max_side_limit": 4000}),
        (
            "{image_shape: [64, 96], keep_ratio: true}",
            {"image_shape": [64, 96], "keep_ratio": True, "max_side_limit": 4000},
        ),
    ],
)
def test_what_is_left_out_is_written_out(given: str, written: dict, plan: Callable[..., Plan]) -> None:
    operations = inference_config(plan(f"{RESIZE}={given}"))["PreProcess"]["transform_ops"]
    assert operations[1] == {"DetResizeForTest": written}


def test_inference_yml_read_back_makes_the_same_picture_and_boxes(plan: Callable[..., Plan]) -> None:
    made = plan(*LIMITED, f"{NORMALIZE}={{order: hwc}}")
    config = inference_config(made)
    data = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    sample = {"image": cv2.imencode(".png", data)[1].tobytes()}
    own = build_transforms(
        tuple(s for s in made.eval.dataset.transforms if s.cls.__name__ not in ("DetLabelEncode", "KeepKeys"))
    )
    read = build_transforms(config["PreProcess"]["transform_ops"])
    np.testing.assert_array_equal(read(dict(sample))["image"], own(dict(sample))["image"])
    assert vars(build_postprocess(config["PostProcess"])) == vars(build_postprocess(made.postprocess))


def test_what_clients_are_told(plan: Callable[..., Plan]) -> None:
    clients, untold = client_settings(plan(*LIMITED, "PostProcess.unclip_ratio=1.8"))
    assert untold == []
    assert clients == {
        "paddleocr": {"model_name": "PP-OCRv4_mobile_det", "limit_side_len": 960, "limit_type": "max"},
        "rapidocr": {
            "Det.limit_side_len": 960,
            "Det.limit_type": "max",
            "Det.mean": MEAN,
            "Det.std": STD,
            "Det.thresh": 0.3,
            "Det.box_thresh": 0.7,
            "Det.max_candidates": 1000,
            "Det.unclip_ratio": 1.8,
            "Det.use_dilation": False,
            "Det.score_mode": "fast",
            "Global.max_side_len": 4000,
        },
    }


def test_rapidocr_scales_to_one_so_another_scale_goes_into_mean_and_deviation(plan: Callable[..., Plan]) -> None:
    made = plan(*LIMITED, f"{NORMALIZE}={{scale: 1.0, mean: [51, 102, 153], std: [25.5, 51, 102], order: hwc}}")
    rapidocr = client_settings(made)[0]["rapidocr"]
    np.testing.assert_allclose(rapidocr["Det.mean"], [0.2, 0.4, 0.6])
    np.testing.assert_allclose(rapidocr["Det.std"], [0.1, 0.2, 0.4])


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (f"{RESIZE}={{image_shape: [64, 64]}}", "RapidOCR cannot resize to an image_shape"),
        (f"{RESIZE}={{resize_long: 960}}", "PaddleX and RapidOCR do not resize by resize_long"),
        (f"{RESIZE}.limit_type=resize_long", "PaddleX and RapidOCR do not resize by resize_long"),
        (f"{RESIZE}.max_side_limit=2000", "PaddleOCR's TextDetection and RapidOCR do not take max_side_limit"),
        (f"{DECODE}.img_mode=RGB", "RapidOCR always gives the network blue, green, red"),
        (f"{DECODE}.ignore_orientation=true", "PaddleX and RapidOCR turn a photograph upright"),
        ("PostProcess.box_type=poly", "RapidOCR finds quadrangles only"),
    ],
)
def test_what_clients_cannot_be_told(override: str, sentence: str, plan: Callable[..., Plan]) -> None:
    [untold] = client_settings(plan(*LIMITED, override))[1]
    assert untold.startswith(sentence)


def test_a_transform_that_only_we_have(plan: Callable[..., Plan]) -> None:
    made = plan(*LIMITED, f"{DECODE.removesuffix('.DecodeImage')}={OTHER}")
    assert client_settings(made)[1] == ["PaddleX and RapidOCR have no Pad"]
