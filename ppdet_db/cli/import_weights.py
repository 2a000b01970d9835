"""Makes a checkpoint of a deployed detector: `import-weights -c config.yml --from det.onnx --out FOLDER`."""

import argparse

from ppdet_db.cli import command_parser, report_errors
from ppdet_db.errors import DetError


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "import-weights",
        "Read the weights of a deployed detector, put them into the network of the config in its fused form, and write "
        "a checkpoint folder to evaluate and to fine-tune. Nothing in the file is run to read it. Before anything is "
        "written, both networks must make the same probability maps of a built-in picture.",
        (
            "-c configs/det/PP-OCRv4/PP-OCRv4_mobile_det.yml --from package:rapidocr-onnxruntime --out weights/v4",
            "-c configs/det/PP-OCRv6/PP-OCRv6_small_det.yml --from package:rapidocr --out weights/v6",
            "-c config.yml --from exported/inference.json --out weights/own",
        ),
    )
    parser.add_argument(
        "--from",
        dest="source",
        required=True,
        metavar="FILE",
        help="inference.pdmodel or inference.json with its .pdiparams beside it, an .onnx file, a folder with one of "
        "them, or package:NAME for the detector in an installed Python package",
    )
    parser.add_argument("--out", metavar="FOLDER", help="the checkpoint; `-o FOLDER` means the same")
    return parser


@report_errors
def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    from ppdet_db.engine import load_plan
    from ppdet_db.engine.build import build_model, choose_device
    from ppdet_db.engine.import_weights import import_weights, source_file
    from ppdet_db.engine.log import print_log
    from ppdet_db.engine.run import seed_everything

    folders = [value for value in arguments.opt if "=" not in value]  # never a setting, which is KEY=VALUE
    settings = [value for value in arguments.opt if "=" in value]
    if len(folders) + bool(arguments.out) != 1:
        raise DetError("give the folder for the checkpoint, once: --out FOLDER")
    [folder] = folders or [arguments.out]
    print_log()
    plan = load_plan(arguments.config, settings)
    choose_device(False)  # the file is run on the CPU, and both are to be compared
    seed_everything(plan.options.seed)
    report = import_weights(build_model(plan.architecture), source_file(arguments.source), folder)
    print(f"{report.arrays} arrays from {report.source}; maps differ by {report.difference:.1e} at most: {folder}")
    if report.fresh:
        print(f"not in the file, random until trained: {', '.join(report.fresh_parts)}")
    if report.folded:
        print(
            f"{len(report.folded)} batch norms are part of the convolutions in the file and do nothing here: train "
            f"with Global.freeze_norm=[{','.join(report.folded_parts)}]"
        )
    print(f"use it with -o Architecture.fused=true Global.checkpoints={folder}, or Global.pretrained_model to train")
    return 0
