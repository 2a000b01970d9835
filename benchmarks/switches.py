"""What switches of `Global` cost a training step: with and without, turn by turn in one process on one core.

The network is ResNet18_vd with a 256-channel neck, on two drawn scenes of 320 x 320 a step. Counted is processor time.
The ratio is the median of those of neighbouring steps, above 1 where the switch makes a step longer; the losses are
those of the last step, which both sides have made as many of. `use_amp` says on a CPU that it has no effect.
"""

import argparse
import os
import shutil
import statistics
import sys
import time
from pathlib import Path

from alternate import ROOT, THREADS, commit, duration, machine, versions, write

sys.path.insert(0, str(ROOT))
FOLDER = ROOT / "build/benchmarks/switches"
CONFIG = ROOT / "configs/det/det_mv3_db_synthetic.yml"
COMMON = [
    "Architecture.Backbone={name: ResNet_vd, layers: 18}",
    "Architecture.Neck={name: DBFPN, out_channels: 256}",
    "Optimizer.lr.learning_rate=0.00003",  # see training_step.py
    "Train.dataset.transforms.EastRandomCropData.size=[320, 320]",
    "Train.loader={shuffle: true, batch_size_per_card: 2, num_workers: 0}",
]
SWITCHES = {
    "use_amp": ["Global.use_amp=true"],
    "use_amp, amp_level O1": ["Global.use_amp=true", "Global.amp_level=O1"],
    "use_amp, amp_dtype bfloat16": ["Global.use_amp=true", "Global.amp_dtype=bfloat16"],
    "to_static": ["Global.to_static=true"],
    "accumulate 2, one picture a batch": ["Global.accumulate=2", "Train.loader.batch_size_per_card=1"],
    "use_ema": ["Global.use_ema=true"],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=7, metavar="N", help="counted of each side (default: 7)")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="which core (default: the last)")
    parser.add_argument("--only", metavar="TEXT", default="", help="the switches that have this in their name")
    parser.add_argument("--write", metavar="FILE", help="put the table between this subject's marks in FILE")
    parser.add_argument("--peer", help=argparse.SUPPRESS)  # `make bench` gives it to all
    arguments = parser.parse_args()
    os.environ |= dict.fromkeys(THREADS, "1")
    os.sched_setaffinity(0, {arguments.core})
    from ppdet_db.cli.processor import use_avx2_on_amd

    use_avx2_on_amd()
    lines = [f"**Switches, ResNet18_vd, 320 x 320.** {machine()}, one core; {commit()}. {versions()}.", ""]
    lines += ["| Switch | With | Without | With / without | Loss, with / without |", "|---|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    for name, settings in SWITCHES.items():
        if arguments.only in name:
            lines.append(row(name, settings, arguments.steps))
            print(lines[-1], flush=True)
    if arguments.write:
        write(Path(arguments.write), Path(sys.argv[0]).stem, lines)
    return 0


def row(name: str, settings: list[str], steps: int) -> str:
    """Lets a training with these settings and one without take turns. Their line of the table."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    trainings = [training("with", settings), training("without", [])]
    seconds: tuple[list[float], list[float]] = ([], [])
    losses = [0.0, 0.0]
    for number in range(-1, steps):
        for side in (0, 1) if number % 2 else (1, 0):
            start = time.process_time()
            losses[side] = trainings[side]()
            if number >= 0:  # before is the warm-up
                seconds[side].append(time.process_time() - start)
    ratio = statistics.median(a / b for a, b in zip(*seconds, strict=True))
    own, other = (duration(statistics.median(times)) for times in seconds)
    return f"| {name} | {own} | {other} | {ratio:.2f} | {losses[0]:.6g} / {losses[1]:.6g} |"


def training(folder: str, settings: list[str]):
    """A training, from its first batches on. Each call makes a step and returns its loss."""
    from ppdet_db.engine import Trainer, load_plan

    trainer = Trainer(load_plan(CONFIG, [*COMMON, f"Global.save_model_dir={FOLDER / folder}", *settings]))
    loader = iter(trainer.train_loader)
    batches = [next(loader) for _ in range(trainer.options.accumulate)]
    return lambda: float(trainer.step(*batches)["loss"])


if __name__ == "__main__":
    sys.exit(main())
