"""Writes a dataset as files: `dump -c config.yml --out FOLDER [--section Eval] [--number 20]`."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ppdet_db.cli import command_parser, report_errors
from ppdet_db.contract import BadSample
from ppdet_db.errors import DetError

if TYPE_CHECKING:
    from ppdet_db.data.dataset import DetDataset


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "dump",
        "Write the first pictures of a dataset as FOLDER/pictures, FOLDER/labels.txt (a label file that SimpleDataSet "
        "reads, with data_dir FOLDER) and FOLDER/drawn (the pictures with their polygons; ignored texts in grey). "
        "Works for drawn scenes and for label files: the way to see what a network is going to be trained on.",
        (
            "-c configs/det/det_mv3_db_synthetic.yml --out scenes",
            "-c config.yml --section Train --number 100 --out first_hundred",
        ),
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="made where it is missing")
    parser.add_argument("--section", choices=("Train", "Eval"), default="Eval", help="default: Eval")
    parser.add_argument("--number", type=int, default=20, help="how many pictures; default: 20")
    return parser


@report_errors
def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    from ppdet_db.engine import load_plan
    from ppdet_db.engine.build import dataset_of
    from ppdet_db.engine.log import print_log

    print_log()
    plan = load_plan(arguments.config, arguments.opt)
    dataset = dataset_of(plan, train=arguments.section == "Train")
    number = min(arguments.number, len(dataset))
    try:
        write_dataset(dataset, number, Path(arguments.out))
    except OSError as error:
        raise DetError(f"{error.filename or arguments.out}: cannot be written: {error.strerror}") from error
    print(f"{number} of {len(dataset)} pictures: {arguments.out}")
    return 0


def write_dataset(dataset: "DetDataset", number: int, out: Path) -> None:
    """Pictures keep their bytes; files are numbered, so that names of several folders do not meet."""
    from ppdet_db.data.transforms import DecodeImage, DetLabelEncode
    from ppdet_db.engine.predict import draw, drawn_file

    dataset.transforms = [keep_encoded, DecodeImage(img_mode="BGR"), DetLabelEncode()]
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    (out / "drawn").mkdir(exist_ok=True)
    with open(out / "labels.txt", "w", encoding="utf-8") as labels:
        for index in range(number):
            sample = dataset[index]
            if isinstance(sample, BadSample):
                raise DetError(str(sample))
            name = f"pictures/{index:05d}{Path(sample['img_path']).suffix}"
            (out / name).write_bytes(sample["encoded"])
            labels.write(f"{name}\t{json.dumps(json.loads(sample['label']), ensure_ascii=False)}\n")
            grey = draw(sample["image"], sample["polys"][sample["ignore_tags"]], (160, 160, 160))
            drawn = drawn_file(grey, sample["polys"][~sample["ignore_tags"]], ".jpg")
            (out / "drawn" / f"{index:05d}.jpg").write_bytes(drawn)


def keep_encoded(sample: dict) -> dict:
    return {**sample, "encoded": sample["image"]}
