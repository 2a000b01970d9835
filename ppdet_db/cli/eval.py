"""Evaluates a checkpoint: `eval -c config.yml -o Global.checkpoints=output/run/best_accuracy [--json FILE]`."""

import argparse
import json
from pathlib import Path

from ppdet_db.cli import add_model_arguments, command_parser, report_errors
from ppdet_db.errors import DetError


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "eval",
        "Evaluate the checkpoint Global.checkpoints (or Global.pretrained_model), or with -m an exported model, on the "
        "data of the Eval section, with the config's transforms and postprocess. Prints "
        "precision, recall, hmean, what was counted, and fps: pictures a second of network and postprocess. The log "
        "says how many milliseconds a picture each stage takes; one process, where workers share the reading.",
        (
            "-c config.yml -o Global.checkpoints=output/run/best_accuracy",
            "-c config.yml -o Global.checkpoints=output/run/best_accuracy PostProcess.box_thresh=0.5 --json eval.json",
            "-c config.yml -o Global.checkpoints=output/run/best_accuracy --engine onnxruntime",
            "-c config.yml -m exported",
        ),
    )
    add_model_arguments(parser, "an exported model to evaluate instead of a checkpoint: its folder or graph file")
    parser.add_argument("--json", metavar="FILE", help="also write the numbers to this file")
    return parser


@report_errors
def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    from ppdet_db.engine import build_metric, build_postprocess, evaluate, load_plan
    from ppdet_db.engine.build import loader_of
    from ppdet_db.engine.log import logger, print_log
    from ppdet_db.engine.predictor import choose_predictor
    from ppdet_db.engine.profile import reading_seconds

    print_log()
    plan = load_plan(arguments.config, arguments.opt)
    engine = arguments.engine or (None if arguments.model else plan.options.eval_engine)
    predict = choose_predictor(plan, arguments.model, engine)
    loader = loader_of(plan, train=False)
    seconds: dict[str, float] = {}
    values = evaluate(predict, loader, build_postprocess(plan.postprocess), build_metric(plan.metric), seconds)
    print(table(values))
    split = (reading_seconds(loader.dataset) | seconds).items()
    logger.info("ms an image: %s", ", ".join(f"{stage} {1000 * value:.1f}" for stage, value in split))
    if arguments.json:
        write_json(Path(arguments.json), values)
    return 0


def table(values: dict[str, float]) -> str:
    """One aligned line a value: ratios with four digits, counts as they are."""
    width = max(len(name) for name in values)
    return "\n".join(
        f"{name:<{width}}  {value:.4f}" if isinstance(value, float) else f"{name:<{width}}  {value}"
        for name, value in values.items()
    )


def write_json(file: Path, values: dict[str, float]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values, indent=2) + "\n")
    except OSError as error:
        raise DetError(f"{file}: the numbers cannot be written: {error.strerror}") from error
