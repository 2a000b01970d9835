"""Finds text in pictures: `infer -c config.yml -o Global.checkpoints=... Global.infer_img=FILE_OR_FOLDER`."""

import argparse
import sys
from pathlib import Path

from ppdet_db.cli import add_model_arguments, command_parser, report_errors
from ppdet_db.errors import DetError


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "infer",
        "Find text in Global.infer_img: a picture, a PDF file, a folder, or a .txt file with one of these a line. "
        "Writes PaddleOCR's result file to Global.save_res_path (default: ./output/predicts_det.txt) and the pictures "
        "with their polygons to det_results/ beside it. A picture that cannot be read is named, the rest goes on, and "
        "the exit code is 1. The network is the checkpoint of a config (-c), or an exported model (-m), which brings "
        "its transforms and postprocess with it; with both, those of the config count.",
        (
            "-c config.yml -o Global.checkpoints=output/run/best_accuracy Global.infer_img=photos",
            "-m exported -o Global.infer_img=scan.pdf Global.save_res_path=found/result.txt",
            "-m exported/model.onnx --engine openvino --batch_size 4 -o Global.infer_img=photos",
        ),
        config_required=False,
    )
    add_model_arguments(parser, "an exported model: its folder, or its inference.json, inference.pdmodel or .onnx file")
    parser.add_argument(
        "--batch_size",
        type=int,
        default=1,
        metavar="N",
        help="pictures that go through the network together where they have one size (default: 1)",
    )
    return parser


@report_errors
def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    if not (arguments.config or arguments.model):
        raise DetError("no network given: set -c CONFIG with -o Global.checkpoints=FOLDER, or -m EXPORTED")
    if arguments.batch_size < 1:
        raise DetError(f"--batch_size must be at least 1, got {arguments.batch_size}")
    from tqdm import tqdm

    from ppdet_db.engine import load_plan
    from ppdet_db.engine.build import load_inference_plan
    from ppdet_db.engine.inference import model_file
    from ppdet_db.engine.log import print_log
    from ppdet_db.engine.predict import (
        Detector,
        detect_files,
        drawn_file,
        drawn_names,
        pictures_of,
        result_line,
        speed,
    )
    from ppdet_db.engine.predictor import choose_predictor

    print_log()
    if arguments.config:
        plan = load_plan(arguments.config, arguments.opt)
    else:
        plan = load_inference_plan(model_file(Path(arguments.model), arguments.engine), arguments.opt)
    if not plan.options.infer_img:
        raise DetError("no picture given: set -o Global.infer_img=FILE_OR_FOLDER")
    files = pictures_of(plan.options.infer_img)
    detector = Detector(plan, choose_predictor(plan, arguments.model, arguments.engine))
    result_file = Path(plan.options.save_res_path)
    drawn_folder = result_file.parent / "det_results"
    bad, texts = 0, 0
    try:
        drawn_folder.mkdir(parents=True, exist_ok=True)
        with open(result_file, "w", encoding="utf-8") as results:
            bar = tqdm(files, desc="infer", disable=None, leave=False)
            found_in = detect_files(detector, bar, arguments.batch_size)
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
    good = len(files) - bad
    print(f"{texts} texts in {good} pictures: {result_file}, drawn in {drawn_folder}")
    if good:
        print(speed(detector, good))
    if bad:
        print(f"{bad} of {len(files)} pictures could not be read", file=sys.stderr)
    return 1 if bad else 0
