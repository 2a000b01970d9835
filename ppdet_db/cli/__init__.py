"""What every command shares: its parser with -c and -o, and how an error reaches the user."""

import argparse
import functools
import os
import re
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path

from ppdet_db.cli.processor import use_avx2_on_amd
from ppdet_db.errors import DetError

LIBRARY_WARNINGS = (
    "No ccache found",  # Paddle, when it is imported; nothing is compiled here
    "When training, we now always track global mean and variance",  # Paddle, at the first batch normalisation
)
"""How warnings begin that say nothing about the user's run and would stand between its lines."""

SYSTEM_LIBRARIES = re.compile(r"(libGL|libgthread|libglib)\S*: cannot open shared object file")


def command_parser(
    name: str, description: str, examples: tuple[str, ...], config_required: bool = True
) -> argparse.ArgumentParser:
    """The parser of one command, with `-c` and `-o`.

    Args:
        name: of the console command, `train`; its script may be called otherwise, `tools/infer_det.py`.
        description: one paragraph.
        examples: what may follow the command's name.
        config_required: whether there is nothing to do without `-c`.
    """
    script = Path(sys.argv[0]).name
    from_checkout = script.endswith(".py") and script != "__main__.py"
    parser = argparse.ArgumentParser(
        prog=f"python tools/{script}" if from_checkout else f"ppdet-db {name}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=textwrap.fill(description, 100),
        epilog="\n".join(["examples:", *(f"  %(prog)s {example}" for example in examples)]),
    )
    add_config_arguments(parser, config_required)
    return parser


def add_config_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """`-c FILE` and `-o a.b.c=value ...`."""
    parser.add_argument("-c", "--config", required=required, metavar="FILE", help="the YAML file of the run")
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


def add_model_arguments(parser: argparse.ArgumentParser, model: str) -> None:
    """`-m MODEL` and `--engine ENGINE`.

    Args:
        model: help for `-m`.
    """
    parser.add_argument("-m", "--model", metavar="MODEL", help=model)
    parser.add_argument(
        "--engine",
        metavar="ENGINE",
        help="what runs it: paddle, onnxruntime or openvino (default: paddle for Paddle's files, onnxruntime for "
        ".onnx). Without -m, the checkpoint runs on it, exported: several times faster on a CPU",
    )


def report_errors(main: Callable[..., int]) -> Callable[..., int]:
    """Decorator of a command: what the user can mend is printed alone on stderr and ends it with 1, no traceback."""

    @functools.wraps(main)
    def wrapped(argv: list[str] | None = None) -> int:
        use_avx2_on_amd()
        with warnings.catch_warnings():
            for message in LIBRARY_WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            try:
                code = main(argv)
                sys.stdout.flush()
                return code
            except DetError as error:
                return _failed(str(error))
            except ImportError as error:
                cure = _cure(error)
                if cure is None:
                    raise
                return _failed(cure)
            except KeyboardInterrupt:
                print("stopped by Ctrl-C", file=sys.stderr)
                return 130
            except BrokenPipeError:  # the reader, such as `head`, has gone; Python would flush into it once more
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return 1

    return wrapped


def _failed(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


def _cure(error: ImportError) -> str | None:
    """What to install, where that is known to be the cause."""
    if SYSTEM_LIBRARIES.search(str(error)):
        return (
            f"OpenCV cannot be imported: {error}. Install what it needs from the system (Debian and Ubuntu: "
            "apt-get install libgl1 libglib2.0-0), or replace it by the build that needs neither "
            "(pip uninstall -y opencv-python && pip install opencv-python-headless)."
        )
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("ppdet_db"):
        return f"the Python package '{error.name}' is not installed. Run: pip install -r requirements.txt"
    return None
