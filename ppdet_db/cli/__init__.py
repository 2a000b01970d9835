"""What every command shares: the -c and -o arguments, and how an error reaches the user."""

import argparse
import functools
import sys
import warnings
from collections.abc import Callable

from ppdet_db.errors import DetError


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """`-c FILE` and `-o a.b.c=value ...`."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="the YAML file of the run")
    parser.add_argument(
        "-o",
        "--opt",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="values that replace those of the file, such as Global.epoch_num=10 or "
        "Train.dataset.transforms.EastRandomCropData.size=[320,320]; the value is read as YAML",
    )


def report_errors(main: Callable[..., int]) -> Callable[..., int]:
    """Decorator of a command: a DetError is printed alone on stderr and ends it with 1, without a traceback."""

    @functools.wraps(main)
    def wrapped(argv: list[str] | None = None) -> int:
        warnings.filterwarnings("ignore", message="No ccache found")  # Paddle's, at import; nothing is compiled here
        try:
            return main(argv)
        except DetError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1

    return wrapped
