"""Writes a dataset as files: `dump -c config.yml --out FOLDER [--section Eval] [--number 20]`."""

import argparse
import json
from pathlib import Path

import numpy as np

from ppdet_db.cli import add_config_arguments, report_errors
from ppdet_db.errors import DetError


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dump",
        description="Write the first pictures of a dataset as FOLDER/pictures, FOLDER/labels.txt (a label file that "
        "SimpleDataSet reads) and FOLDER/drawn (the pictures with their polygons; ignored texts in grey). Works for "
        "drawn scenes and for label files: the way to see what a network is going to be trained on.",
    )
    add_config_arguments(parser)
    parser.add_argument("--out", required=True, metavar="FOLDER")
    parser.add_argument("--section", choices=("Train", "Eval"), default="Eval", help="default: Eval")
    parser.add_argument("--number", type=int, default=20, help="how many pictures; default: 20")
    return parser


@report_errors
def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    from ppdet_db.engine import build_dataset, load_plan
    from ppdet_db.engine.log import print_log

    print_log()
    plan = load_plan(arguments.config, arguments.opt)
    reader = plan.train if arguments.section == "Train" else plan.eval
    dataset = build_dataset(reader.dataset, seed=plan.options.seed, data_root=plan.options.data_root)
    number = min(arguments.number, len(dataset))
    try:
        write_dataset(dataset, number, Path(arguments.out))
    except OSError as error:
        raise DetError(f"{arguments.out}: cannot be written: {error.strerror}") from error
    print(f"{number} of {len(dataset)} pictures: {arguments.out}")
    return 0


def write_dataset(dataset, number: int, out: Path) -> None:
    """Pictures keep their bytes; files are numbered, so that names of several folders do not meet."""
    import cv2

    from ppdet_db.data.transforms import DecodeImage, DetLabelEncode
    from ppdet_db.engine.predict import draw

    decode, encode = DecodeImage(img_mode="BGR"), DetLabelEncode()
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    (out / "drawn").mkdir(exist_ok=True)
    with open(out / "labels.txt", "w", encoding="utf-8") as labels:
        for index in range(number):
            raw = dataset.read(0, index, np.random.default_rng(0))
            name = f"pictures/{index:05d}{Path(raw['img_path']).suffix}"
            (out / name).write_bytes(raw["image"])
            labels.write(f"{name}\t{json.dumps(json.loads(raw['label']), ensure_ascii=False)}\n")
            sample = encode(decode(dict(raw)))
            drawn = draw(sample["image"], sample["polys"][sample["ignore_tags"]], (160, 160, 160))
            drawn = draw(drawn, sample["polys"][~sample["ignore_tags"]])
            cv2.imwrite(str(out / "drawn" / f"{index:05d}.jpg"), drawn)
