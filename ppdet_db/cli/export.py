"""Writes a trained network for other programs: `export -c config.yml -o Global.checkpoints=... [--onnx]`."""

import argparse

from ppdet_db.cli import command_parser, report_errors


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "export",
        "Write the network of Global.checkpoints (or Global.pretrained_model) as a Paddle inference model to "
        "Global.save_inference_dir: inference.json, inference.pdiparams, inference.yml with the transforms of the Eval "
        "section and the postprocess, and clients.yml with what paddleocr and rapidocr are to be told. Before anything "
        "is put there, its maps and boxes are compared with those of the network that was trained.",
        (
            "-c config.yml -o Global.checkpoints=output/run/best_accuracy Global.save_inference_dir=exported",
            "-c config.yml -o Global.checkpoints=output/run/best_accuracy --onnx --verify photos",
        ),
    )
    parser.add_argument("--onnx", action="store_true", help="write model.onnx too")
    parser.add_argument(
        "--pdparams", action="store_true", help="write model.pdparams too, the weights as PaddleOCR's training has them"
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--verify", metavar="PICTURES", help="compare on this picture, folder or .txt list; default: a built-in picture"
    )
    choice.add_argument("--no-verify", action="store_true", help="do not compare")
    return parser


@report_errors
def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    from ppdet_db.engine import load_plan
    from ppdet_db.engine.export import export_run
    from ppdet_db.engine.log import print_log
    from ppdet_db.engine.predict import pictures_of
    from ppdet_db.engine.verify import built_in_picture
    from ppdet_db.engine.weights import load_trained

    print_log()
    # engines are compared on the CPU, where all of them are
    plan = load_plan(arguments.config, [*arguments.opt, "Global.use_gpu=false"])
    pictures = [] if arguments.no_verify else [built_in_picture()]
    if arguments.verify:
        pictures = [(str(file), file.read_bytes()) for file in pictures_of(arguments.verify)]
    model = load_trained(plan)
    files = export_run(
        plan,
        model,
        plan.options.save_inference_dir or "./output/inference",
        onnx=arguments.onnx,
        pdparams=arguments.pdparams,
        pictures=pictures,
    )
    for file in files:
        print(f"{file.stat().st_size / 1e6:8.2f} MB  {file}")
    return 0
