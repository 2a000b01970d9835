"""Finds text in pictures: `infer -c config.yml -o Global.checkpoints=... Global.infer_img=FILE_OR_FOLDER`."""

import argparse
import sys
from pathlib import Path

from ppdet_db.cli import add_config_arguments, report_errors
from ppdet_db.errors import DetError


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="infer",
        description="Find text in Global.infer_img (a picture, a folder or a .txt list). Writes PaddleOCR's result file "
        "to Global.save_res_path and the pictures with their polygons to det_results/ beside it. A picture that "
        "cannot be read is named, the rest goes on, and the exit code is 1.",
    )
    add_config_arguments(parser)
    return parser


@report_errors
def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    import cv2
    from tqdm import tqdm

    from ppdet_db.engine import load_plan
    from ppdet_db.engine.log import print_log
    from ppdet_db.engine.predict import Detector, detect_files, draw, load_trained, pictures_of, result_line

    print_log()
    plan = load_plan(arguments.config, arguments.opt)
    if not plan.options.infer_img:
        raise DetError("no picture given: set -o Global.infer_img=FILE_OR_FOLDER")
    files = pictures_of(plan.options.infer_img)
    detector = Detector(plan, load_trained(plan))
    result_file = Path(plan.options.save_res_path)
    drawn_folder = result_file.parent / "det_results"
    bad, texts = 0, 0
    try:
        drawn_folder.mkdir(parents=True, exist_ok=True)
        with open(result_file, "w", encoding="utf-8") as results:
            progress = tqdm(files, desc="infer", disable=None, leave=False)
            for file, picture, found in detect_files(detector, progress):
                if picture is None:
                    bad += 1
                    tqdm.write(f"error: {file}: {found}", file=sys.stderr)
                    continue
                texts += len(found["points"])
                results.write(result_line(file, found) + "\n")
                cv2.imwrite(str(drawn_folder / file.name), draw(picture, found["points"]))
    except OSError as error:
        raise DetError(
            f"{result_file}: results cannot be written: {error.strerror}. Set Global.save_res_path."
        ) from error
    print(f"{texts} texts in {len(files) - bad} pictures: {result_file}, drawn in {drawn_folder}")
    if bad:
        print(f"{bad} of {len(files)} pictures could not be read", file=sys.stderr)
    return 1 if bad else 0
