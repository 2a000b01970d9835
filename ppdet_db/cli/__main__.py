"""The console command `ppdet-db train | eval | infer | export | import-weights | check | dump | profile`."""

import importlib
import sys

from ppdet_db import __version__
from ppdet_db.registry import did_you_mean

COMMANDS = {
    "train": "train a detector",
    "eval": "evaluate a checkpoint",
    "infer": "find text in pictures",
    "export": "write a trained network for other programs",
    "import-weights": "make a checkpoint of a deployed detector",
    "check": "check a config and print it with the origin of each value",
    "dump": "write a dataset's pictures and label file, to look at",
    "profile": "tell where the time of a training goes",
}
USAGE = "\n".join(
    [
        "usage: ppdet-db COMMAND -c FILE [-o KEY=VALUE ...]",
        "",
        *(f"  {name:<14} {what}" for name, what in COMMANDS.items()),
        "",
        "`ppdet-db COMMAND --help` tells what one of them takes; `ppdet-db --version` prints the version.",
    ]
)


def main(argv: list[str] | None = None) -> int:
    name, *rest = (sys.argv[1:] if argv is None else argv) or [""]
    if name in COMMANDS:
        return importlib.import_module(f"ppdet_db.cli.{name.replace('-', '_')}").main(rest)
    if name in ("-h", "--help"):
        print(USAGE)
        return 0
    if name == "--version":
        print(__version__)
        return 0
    if name:
        print(f"error: no command '{name}'. {did_you_mean(name, COMMANDS)}\n", file=sys.stderr)
    print(USAGE, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
