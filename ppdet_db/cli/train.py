"""Trains a detector: `train -c config.yml [-o key=value ...] [--resume]`."""

import argparse

from ppdet_db.cli import add_config_arguments, report_errors


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="train",
        description="Train a text detector. Checkpoints, logs and curves go to Global.save_model_dir. "
        "Ctrl-C saves and ends; the same command with --resume goes on to the same weights as without the stop.",
    )
    add_config_arguments(parser)
    parser.add_argument(
        "--resume", action="store_true", help="go on from `latest` in the output folder, if it is there"
    )
    return parser


@report_errors
def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    from ppdet_db.engine import Trainer, load_plan
    from ppdet_db.engine.log import print_log

    print_log()
    trainer = Trainer(load_plan(arguments.config, arguments.opt), resume=arguments.resume)
    trainer.fit()
    return 0
