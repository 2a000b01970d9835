"""Our code and the peer's on the same inputs, turn by turn on one core: what each subject is built on.

A subject is one file: `CASES`, and two functions that are given a case's arguments, build what they need and return a
function without arguments: one call is what is timed.

    def ours(quads): ...; return lambda: transform(sample)        # imports ppdet_db inside
    def peer(quads): ...; return lambda: transform(sample)        # imports ppocr inside
    if __name__ == "__main__":
        sys.exit(compare("Label maps, 640 x 640", CASES, ours, peer))

Each side is a process with an interpreter and packages of its own, a new one in every case. Both are held to the same
core with one thread, and one waits while the other works: block by block, in the order A B B A ..., so that a machine
whose speed drifts treats both alike. Counted is processor time, with that of child processes, because other programs
may want the core too. The ratio is the median over the ratios of neighbouring blocks. A call may return a dict of
numbers: the last ones stand in the table, ours / the peer's, so that it can be seen that both have done the same;
`agree` says how far apart they may be at all. Where `seconds` is among them, the call has measured itself.
"""

import argparse
import cProfile
import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import pstats
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
BLOCK = 0.4
"""Seconds of calls that a block has, one call at least."""
PACKAGES = ["numpy", "numba", "opencv-python", "opencv-contrib-python-headless", "shapely", "pyclipper", "imgaug"]
PACKAGES += ["albumentations", "onnxruntime", "paddlepaddle", "paddleocr"]


@dataclass(frozen=True)
class Case:
    """A row of the table: its name, the arguments of both functions, the ratio to be reached."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    at_least: float | None = None


Build = Callable[..., Callable[[], Any]]


def compare(
    subject: str,
    cases: Sequence[Case],
    ours: Build,
    peer: Build,
    *,
    needs_checkout: bool = False,
    blocks: int = 9,
    agree: float = math.inf,
) -> int:
    """Run a subject's script: the comparison, or one side of it in a worker. Returns the exit code.

    Args:
        needs_checkout: the peer's side imports what its wheel lacks, so `--peer DIR` is needed.
        blocks: how many ratios the median is of; each has `BLOCK` seconds of calls.
        agree: the greatest difference between a result of ours and the peer's; a greater one ends the comparison.
    """
    parser = argparse.ArgumentParser(description=subject)
    parser.add_argument("--peer", metavar="DIR", help="a checkout of PaddleOCR v2.10.0, see benchmarks/README.md")
    parser.add_argument("--peer-python", metavar="FILE", default=str(ROOT / ".venv-peer/bin/python"))
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="which core (default: the last)")
    parser.add_argument("--blocks", type=int, default=blocks, metavar="N", help=f"(default: {blocks})")
    parser.add_argument("--only", metavar="TEXT", default="", help="the cases that have this in their name")
    parser.add_argument("--write", metavar="FILE", help="put the table between this subject's marks in FILE")
    parser.add_argument("--profile", action="store_true", help="print where our time goes, and compare nothing")
    parser.add_argument("--side", choices=["ours", "peer"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        serve(arguments.side, cases, {"ours": ours, "peer": peer}[arguments.side])
        return 0
    if arguments.profile:
        for case in cases:
            if arguments.only in case.name:
                print(case.name)
                profile(ours(**case.arguments))
        return 0
    if needs_checkout and not arguments.peer:
        parser.error("the peer's wheel lacks what this compares with: give --peer DIR (benchmarks/README.md)")
    if not Path(arguments.peer_python).is_file():
        parser.error(f"{arguments.peer_python} is not there: `make .venv-peer/installed` makes it")
    sources = Path(arguments.peer).resolve() if arguments.peer else None

    def both() -> tuple[Worker, Worker]:
        mine = Worker("ours", sys.executable, ROOT, arguments.core)
        return mine, Worker("peer", arguments.peer_python, sources, arguments.core)

    mine, theirs = both()
    with mine, theirs:
        versions = f"Ours: {mine.ask(versions=True)}. Peer: {theirs.ask(versions=True)}."
    lines = [f"**{subject}.** {machine()}, one core; {commit()}.", "", versions, ""]
    lines += ["| Case | Ours | Peer | Times as fast | At least | Result, ours / peer |", "|---|---|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    for number, case in enumerate(cases):
        if arguments.only in case.name:
            lines.append(row(case, number, *both(), arguments.blocks, agree))
            print(lines[-1], flush=True)
    if arguments.write:
        write(Path(arguments.write), Path(sys.argv[0]).stem, lines)
    return 0


def row(case: Case, number: int, mine: "Worker", theirs: "Worker", blocks: int, agree: float) -> str:
    """Lets both sides take turns in a case. Its line of the table; SystemExit where their results do not agree."""
    results: dict[Worker, dict[str, float]] = {}
    times: dict[Worker, list[float]] = {mine: [], theirs: []}
    with mine, theirs:
        for worker in (mine, theirs):
            worker.ask(prepare=number)
        for block in range(blocks):
            for worker in (mine, theirs) if block % 2 == 0 else (theirs, mine):
                results[worker] = worker.ask(run=True)
                times[worker].append(results[worker].pop("seconds"))
    for name, value in results[mine].items():
        other = results[theirs][name]
        if not abs(value - other) <= agree:
            raise SystemExit(f"{case.name}: {name} is {value:.6g} here and {other:.6g} at the peer's, not the same")
    ratio = statistics.median(b / a for a, b in zip(times[mine], times[theirs], strict=True))
    own, others = (duration(statistics.median(times[worker])) for worker in (mine, theirs))
    found = "; ".join(f"{name} {value:.6g} / {results[theirs][name]:.6g}" for name, value in results[mine].items())
    least = "" if case.at_least is None else f"{case.at_least:g}"
    return f"| {case.name} | {own} | {others} | {ratio:.2f} | {least} | {found} |"


class Worker:
    """A side in a process of its own, asked by lines of JSON. `with` it, the process ends afterwards."""

    def __init__(self, side: str, python: str, sources: Path | None, core: int) -> None:
        self.side = side
        self.process = subprocess.Popen(
            [python, sys.argv[0], "--side", side],
            env=os.environ | dict.fromkeys(THREADS, "1") | {"PYTHONPATH": str(sources or ""), "CORE": str(core)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **question: Any) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"the side {self.side!r} stopped at {question}; what it said stands above")
        return json.loads(answer)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: Any) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def serve(side: str, cases: Sequence[Case], build: Build) -> None:
    """A worker's life: prepares a case, runs a block of it, until nothing more is asked."""
    os.sched_setaffinity(0, {int(os.environ["CORE"])})
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not come between the answers
    if side == "peer":  # after a checkout, where one is given
        wheel = importlib.util.find_spec("paddleocr")
        sys.path += wheel.submodule_search_locations or [] if wheel else []
    import cv2

    cv2.setNumThreads(1)
    run: Callable[[], Any] = dict
    calls = 1
    for line in sys.stdin:
        question = json.loads(line)
        answer: Any = None
        if "versions" in question:
            answer = versions()
        elif "prepare" in question:
            run, calls = build(**cases[question["prepare"]].arguments), 1
            if timed(run, 1)["seconds"] < BLOCK:  # the first call is the warm-up
                calls = max(1, round(BLOCK / timed(run, 1)["seconds"]))
        else:
            answer = timed(run, calls)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def profile(run: Callable[[], Any], seconds: float = 4) -> None:
    """Prints which functions take the time of some seconds of calls, after one that does not count."""
    run()
    profiler, end = cProfile.Profile(), time.perf_counter() + seconds
    with profiler:
        while time.perf_counter() < end:
            run()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(12)


def timed(run: Callable[[], Any], calls: int) -> dict[str, float]:
    """What the last of some calls returned, and `seconds` of processor time a call."""
    start = processor_seconds()
    for _ in range(calls):
        found = run()
    seconds = (processor_seconds() - start) / calls
    return {"seconds": seconds} | (found if isinstance(found, dict) else {})


def processor_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def machine() -> str:
    name = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return name.group(1) if name else platform.machine()


def commit() -> str:
    """That of the checkout, `with changes` where there are some, other tables aside."""

    def git(*command: str) -> subprocess.CompletedProcess:
        return subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True)

    described = git("describe", "--always")
    if described.returncode:
        return "no checkout"
    changed = git("diff", "--quiet", "HEAD", "--", ".", ":!benchmarks/RESULTS.md").returncode
    return f"commit {described.stdout.strip()}{' with changes' if changed else ''}"


def duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def write(path: Path, subject: str, lines: list[str]) -> None:
    """Replace what stands between the marks of a subject, `<!-- begin SUBJECT -->` and `<!-- end SUBJECT -->`."""
    begin, end = f"<!-- begin {subject} -->\n", f"<!-- end {subject} -->"
    head, mark, rest = path.read_text(encoding="utf-8").partition(begin)
    if not mark or end not in rest:
        raise SystemExit(f"{path} has no marks of {subject!r}")
    path.write_text(head + begin + "\n".join(lines) + "\n" + rest[rest.index(end) :], encoding="utf-8")
