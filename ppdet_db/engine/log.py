"""What a run leaves to read: lines for people, rows for plots, curves, and what it was run with."""

import contextlib
import datetime
import json
import logging
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import paddle
from tqdm import tqdm

from ppdet_db import __version__

logger = logging.getLogger("ppdet_db")

LINES, ROWS, CURVES, RUN = "train.log", "log.jsonl", "curves.png", "run.json"

FORMAT = logging.Formatter("[%(asctime)s] %(message)s", "%Y-%m-%d %H:%M:%S")


class _BarSafeHandler(logging.StreamHandler):
    """Prints a line above a progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()


def print_log() -> None:
    """Log lines go to standard output from now on. For commands; a program that imports us keeps its own logging."""
    if not any(isinstance(handler, _BarSafeHandler) for handler in logger.handlers):
        handler = _BarSafeHandler()
        handler.setFormatter(FORMAT)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False  # an imported library may have given the root logger a handler: every line twice


class RunLog:
    """The log files of an output folder: `train.log` (lines), `log.jsonl` (rows), `curves.png`, `run.json`.

    Lines are written inside `with run_log:`, and the error that ends such a block is the last of them. Rows are
    `{"kind": "train" | "eval", "step": ..., "epoch": ..., name: number, ...}`, appended; `rows` has the valid ones.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def __enter__(self) -> None:
        self._handler = logging.FileHandler(self.folder / LINES, encoding="utf-8")
        self._handler.setFormatter(FORMAT)
        logger.addHandler(self._handler)
        logger.setLevel(logging.INFO)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        if error is not None:
            self._handler.handle(
                logger.makeRecord(
                    logger.name, logging.ERROR, __file__, 0, "ended by %s: %s", (kind.__name__, error), None
                )
            )
        logger.removeHandler(self._handler)
        self._handler.close()

    def start(self, step: int) -> None:
        """Training begins or goes on after `step`: later rows of an earlier start no longer count."""
        self.row("start", step=step)

    def row(self, kind: str, **values: Any) -> None:
        with open(self.folder / ROWS, "a") as stream:
            stream.write(json.dumps({"kind": kind, **values}) + "\n")

    def rows(self, kind: str) -> list[dict]:
        """Rows of a kind, one a step, without those that a resume from an earlier step has made again."""
        newest: dict[int, dict] = {}
        for line in (self.folder / ROWS).read_text().splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue  # cut short when the machine went down
            if row["kind"] == "start":
                newest = {step: kept for step, kept in newest.items() if step <= row["step"]}
            elif row["kind"] == kind:
                newest[row["step"]] = row
        return [newest[step] for step in sorted(newest)]

    def draw_curves(self) -> None:
        """Losses, learning rate and the metric over steps."""
        from matplotlib.figure import Figure  # 30 MB in every worker and a fifth of the start, were it imported above

        figure = Figure(figsize=(9, 8), layout="constrained")
        losses, rate, metric = figure.subplots(3, 1, sharex=True, height_ratios=[3, 1, 2])
        train, evaluations = self.rows("train"), self.rows("eval")
        steps = [row["step"] for row in train]
        for name in (key for key in (train[0] if train else ()) if key.startswith("loss")):
            losses.plot(steps, [row.get(name) for row in train], label=name, linewidth=1)
        rate.plot(steps, [row["lr"] for row in train], linewidth=1)
        for name in ("precision", "recall", "hmean"):
            if evaluations and name in evaluations[0]:
                values = [row[name] for row in evaluations]
                metric.plot([row["step"] for row in evaluations], values, marker=".", label=name)
        for axes, title in ((losses, "loss"), (rate, "learning rate"), (metric, "evaluation")):
            axes.set_ylabel(title)
            axes.grid(alpha=0.3)
            if axes.get_legend_handles_labels()[0]:
                axes.legend(fontsize=8)
        metric.set_xlabel("step")
        figure.savefig(self.folder / CURVES, dpi=90)


def describe_run(folder: Path) -> None:
    """Appends to `run.json`'s list what this start was run with: command, versions, git revision."""
    path = folder / RUN
    starts = json.loads(path.read_text()) if path.exists() else []
    starts.append(
        {
            "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "command": sys.argv,
            "ppdet_db": __version__,
            "git": git_revision(),
            "paddle": paddle.__version__,
            "python": platform.python_version(),
            "device": paddle.get_device(),
            "threads": os.environ.get("OMP_NUM_THREADS"),
        }
    )
    write_whole(path, json.dumps(starts, indent=2))


def write_whole(path: Path, text: str) -> None:
    """Writes beside and renames, so that a kill leaves the old file or the new one."""
    fresh = path.with_name(path.name + ".writing")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, path)


def git_revision() -> str | None:
    """Revision of the checkout this package lies in, `-dirty` when it has changes; None outside a checkout."""
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():  # installed: the folder above may be a checkout of something else
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


class Timer:
    """Where the time goes: seconds waited for batches, and seconds of everything, since the last `take`.

    `held_up` counts the steps in a row in which the reader was the bottleneck.

    Args:
        workers: of the reader. They hand over their batches in turns, often several at one moment and then none for a
            while, so waiting is judged over as many steps as there are workers.
    """

    HELD_UP = 0.2
    """More than this share of the time spent waiting makes the reader the bottleneck."""

    def __init__(self, workers: int = 0) -> None:
        self._start, self._reader, self._steps = time.perf_counter(), 0.0, 0
        self._round = max(1, workers)
        self._waited: list[tuple[float, float]] = []  # seconds waited, seconds in all, of the steps of this round
        self._paused = 0.0
        self.held_up = 0

    def each(self, batches: Iterable) -> Iterator:
        """Passes batches on, counting the time that getting them takes."""
        iterator = iter(batches)
        while True:
            start, self._paused = time.perf_counter(), 0.0
            try:
                batch = next(iterator)
            except StopIteration:
                return
            waited = time.perf_counter() - start
            self._reader += waited
            self._steps += 1
            yield batch
            self._judge(waited, time.perf_counter() - start - self._paused)

    def _judge(self, waited: float, whole: float) -> None:
        self._waited.append((waited, whole))
        if len(self._waited) == self._round:
            waited, whole = map(sum, zip(*self._waited, strict=True))
            self.held_up = self.held_up + self._round if waited > self.HELD_UP * whole else 0
            self._waited = []

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves what happens inside, an evaluation, out of the account."""
        start = time.perf_counter()
        yield
        self._paused += time.perf_counter() - start
        self._start += time.perf_counter() - start

    def take(self) -> tuple[float, float]:
        """(reader, batch) mean seconds a step since the last call."""
        steps = max(1, self._steps)
        result = (self._reader / steps, (time.perf_counter() - self._start) / steps)
        self._start, self._reader, self._steps = time.perf_counter(), 0.0, 0
        return result


def memory_mb() -> float:
    """Peak memory in MB: of the GPU where one is used, else of this process."""
    if paddle.get_device().startswith("gpu"):
        return paddle.device.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def hours(seconds: float) -> str:
    """`1:02:03`."""
    return str(datetime.timedelta(seconds=round(seconds)))
