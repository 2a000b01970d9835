"""The console command `ppdet-db train | eval | infer | check | dump`."""

import importlib
import sys

COMMANDS = {
    "train": "train a detector",
    "eval": "evaluate a checkpoint",
    "infer": "find text in pictures",
    "check": "check a config and print it with the origin of each value",
    "dump": "write a dataset's pictures and label file, to look at",
}


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] not in COMMANDS:
        asked = bool(argv) and argv[0] in ("-h", "--help")
        print(usage(), file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    return importlib.import_module(f"ppdet_db.cli.{argv[0]}").main(argv[1:])


def usage() -> str:
    lines = [f"  {name:<6} {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        ["usage: ppdet-db COMMAND -c config.yml [-o KEY=VALUE ...]", "", *lines, "", "ppdet-db COMMAND -h"]
    )


if __name__ == "__main__":
    sys.exit(main())
