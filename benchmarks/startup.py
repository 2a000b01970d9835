"""From `tools/train.py` to the first step, and the memory of a worker: the demo's training, on drawn scenes as files.

Both train the demo's network with one worker on the same 64 scenes. Counted is the processor time of the program and
its worker until the line of the first step is printed. Of the worker, over eight steps: its largest resident memory,
most of which it shares with the program, and the most that it had for itself when a step was done.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from alternate import ROOT, Case, compare
from peer_config import peer_config

CONFIG = ROOT / "configs/det/det_mv3_db_synthetic.yml"
FOLDER = ROOT / "build/benchmarks/startup"
STEPS = 8
CASES = [Case("the demo's training, one worker", at_least=1)]


def ours():
    import yaml

    from ppdet_db.cli.dump import main as dump

    shutil.rmtree(FOLDER, ignore_errors=True)
    dump(["-c", str(CONFIG), "--section", "Train", "--number", str(8 * STEPS), "--out", str(FOLDER / "scenes")])
    data = ["name=SimpleDataSet", f"data_dir={FOLDER}/scenes", f"label_file_list=[{FOLDER}/scenes/labels.txt]"]
    settings = [f"{section}.dataset.{value}" for section in ("Train", "Eval") for value in data]
    settings += [f"Global.save_model_dir={FOLDER}/run", "Global.print_batch_step=1"]
    (FOLDER / "peer.yml").write_text(yaml.safe_dump(peer_config(CONFIG, settings)))
    return lambda: follow([f"{ROOT}/tools/train.py", "-c", str(CONFIG), "-o", *settings])


def peer():
    checkout = os.environ["PYTHONPATH"]
    return lambda: follow([f"{checkout}/tools/train.py", "-c", f"{FOLDER}/peer.yml"])  # our side, asked first, wrote it


def follow(command: list[str]) -> dict[str, float]:
    """Runs a training to its last step. Both programs print a line `... step 1, ...` a step, or `global_step: 1,`."""
    shutil.rmtree(FOLDER / "run", ignore_errors=True)
    start, found = time.perf_counter(), {}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    training = subprocess.Popen([sys.executable, *command], start_new_session=True, **output)
    said = []
    for line in training.stdout:
        said.append(line)
        step = re.search(r"step:? (\d+),", line)
        workers = children(training.pid) if step else []
        if step and not found:
            seconds = sum(map(processor_seconds, [training.pid, *workers]))
            found = {"seconds": seconds, "s by the clock": time.perf_counter() - start, "MB": 0.0, "MB of its own": 0.0}
        for worker in workers:
            found["MB"] = max(found["MB"], megabytes(worker, "status", "VmHWM"))
            found["MB of its own"] = max(found["MB of its own"], megabytes(worker, "smaps_rollup", "Private_Dirty"))
        if step and int(step[1]) == STEPS:
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(training.pid, signal.SIGKILL)  # with its worker, which the peer's would leave behind
    training.wait()
    if not found:
        raise RuntimeError("no step was made:\n" + "".join(said))
    return found


def children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in lists for child in file.read_text().split()]


def processor_seconds(pid: int) -> float:
    """Of a process and of those that it has waited for: fields 14 to 17 of its `stat`, in ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def megabytes(pid: int, file: str, name: str) -> float:
    """What the kernel says under a name about a process; 0 when it has ended."""
    with contextlib.suppress(OSError):
        found = re.search(rf"{name}:\s*(\d+) kB", Path(f"/proc/{pid}/{file}").read_text())
        return int(found[1]) / 1024 if found else 0.0
    return 0.0


if __name__ == "__main__":
    sys.exit(compare("Start of a training", CASES, ours, peer, needs_checkout=True, blocks=3))
