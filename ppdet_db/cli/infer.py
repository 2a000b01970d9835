"""Finds text in pictures: `infer -c config.yml -o Global.checkpoints=... Global.infer_img=FILE_OR_FOLDER`."""

import argparse
import sys
from pathlib import Path

from ppdet_db.cli import command_parser, report_errors
from ppdet_db.errors import DetError


def make_parser() -> argparse.ArgumentParser:
    return command_parser(
        "infer",
        "Find text in Global.infer_img: a picture, a folder, or a .txt file with one picture a line. Writes "
        "PaddleOCR's result file to Global.save_res_path (default: ./output/predicts_det.txt) and the pictures with "
        "their polygons to det_results/ beside it. A picture that cannot be read is named, the rest goes on, and the "
        "exit code is 1.",
        (
            "-c config.yml -o Global.checkpoints=output/run/best_accuracy Global.infer_img=photos",
            "-c config.yml -o Global.checkpoints=output/run/best_accuracy Global.infer_img=a.jpg "
            "Global.save_res_path=found/result.txt",
        ),
    )


@report_errors
def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    from tqdm import tqdm

    from ppdet_db.engine import load_plan
    from ppdet_db.engine.log import print_log
    from ppdet_db.engine.predict import (
        Detector,
        detect_files,
        drawn_file,
        drawn_names,
        load_trained,
        pictures_of,
        result_line,
    )

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
            found_in = detect_files(detector, tqdm(files, desc="infer", disable=None, leave=False))
            for name, (file, picture, found) in zip(drawn_names(files), found_in, strict=True):
                if picture is None:
                    bad += 1
                    tqdm.write(f"error: {file}: {found}", file=sys.stderr)
                    continue
                texts += len(found["points"])
                results.write(result_line(file, found) + "\n")
                (drawn_folder / name).write_bytes(drawn_file(picture, found["points"], Path(name).suffix))
    except OSError as error:
        raise DetError(
            f"{error.filename or result_file}: results cannot be written: {error.strerror}. Choose another place with "
            "-o Global.save_res_path=FILE"
        ) from error
    print(f"{texts} texts in {len(files) - bad} pictures: {result_file}, drawn in {drawn_folder}")
    if bad:
        print(f"{bad} of {len(files)} pictures could not be read", file=sys.stderr)
    return 1 if bad else 0
