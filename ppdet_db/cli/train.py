"""Trains a detector: `train -c config.yml [-o KEY=VALUE ...] [--resume]`."""

import argparse

from ppdet_db.cli import command_parser, report_errors


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "train",
        "Train a text detector. Checkpoints (best_accuracy, latest), logs, curves.png and the config as it was used go "
        "to Global.save_model_dir (default: ./output). Ctrl-C saves and ends; the same command with --resume goes on "
        "to the same weights as without the stop.",
        (
            "-c configs/det/det_mv3_db_synthetic.yml",
            "-c config.yml -o Global.data_root=/data Global.epoch_num=100 Train.loader.batch_size_per_card=8",
            "-c config.yml -o Global.pretrained_model=output/other_run/best_accuracy",
            "-c config.yml --resume",
        ),
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from `latest` in the output folder; starts anew where there is none",
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
