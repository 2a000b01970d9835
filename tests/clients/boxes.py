"""Runs in the clients' own environment: the boxes that a client finds with an exported model, as JSON on stdout.

Usage: python boxes.py paddleocr|rapidocr EXPORTED_FOLDER PICTURE...
"""

import json
import os
import sys
from pathlib import Path

import yaml

os.environ["PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK"] = "True"  # the model is here


def paddleocr_boxes(folder: Path, pictures: list[str]) -> list[list]:
    from paddleocr import TextDetection

    settings = yaml.safe_load((folder / "clients.yml").read_text())["paddleocr"]
    detector = TextDetection(model_dir=str(folder), device="cpu", **settings)
    return [detector.predict(picture)[0]["dt_polys"] for picture in pictures]


def rapidocr_boxes(folder: Path, pictures: list[str]) -> list[list]:
    from rapidocr import RapidOCR

    settings = yaml.safe_load((folder / "clients.yml").read_text())["rapidocr"]
    detector = RapidOCR(params={"Det.model_path": str(folder / "model.onnx"), **settings})
    found = (detector(picture, use_det=True, use_cls=False, use_rec=False).boxes for picture in pictures)
    return [[] if boxes is None else boxes for boxes in found]


if __name__ == "__main__":
    client, exported, *files = sys.argv[1:]
    find = {"paddleocr": paddleocr_boxes, "rapidocr": rapidocr_boxes}[client]
    found_in = [[[[float(x), float(y)] for x, y in box] for box in boxes] for boxes in find(Path(exported), files)]
    print(json.dumps(found_in))
