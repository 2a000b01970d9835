"""Training as a whole: it learns, what it saves evaluates to what it logged, it leaves nothing running."""

import fcntl
import json
import multiprocessing
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from ppdet_db.cli import eval as eval_command
from ppdet_db.engine import Trainer, load_plan
from ppdet_db.engine.log import RunLog

ROOT = Path(__file__).parents[2]
LEARN = [
    "Global.epoch_num=60",
    "Global.eval_batch_step=[80,20]",
    "Optimizer.lr.learning_rate=0.01",
    "Train.dataset.transforms.EastRandomCropData.size=[96,64]",
    "PostProcess.unclip_ratio=2.0",
]


def test_learns_and_the_best_checkpoint_evaluates_to_what_was_logged(tiny):
    best = Trainer(load_plan(tiny, LEARN)).fit()

    losses = [row["loss"] for row in RunLog(Path("output")).rows("train")]
    assert losses[-1] < 0.5 * losses[0]
    assert best["hmean"] > 0.5

    best_folder = "Global.checkpoints=output/best_accuracy"
    assert eval_command.main(["-c", "output/config.yml", "-o", best_folder, "--json", "eval.json"]) == 0
    values = json.loads(Path("eval.json").read_text())
    assert {**values, "fps": None, "step": None} == {**best, "fps": None, "step": None}


def test_no_worker_stays_behind(tiny):
    class Stopping(Trainer):
        def step(self, batch):
            self.stop.number = 2  # as the handler of SIGINT does
            return super().step(batch)

    overrides = ["Train.loader.num_workers=2", "Eval.loader.num_workers=1"]
    for run, folder in ((Trainer, "whole"), (Stopping, "stopped")):
        run(load_plan(tiny, [*overrides, f"Global.save_model_dir={folder}"])).fit()
        assert multiprocessing.active_children() == []


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_bar_on_a_terminal_only(tiny, terminal):
    command = [sys.executable, str(ROOT / "tools/train.py"), "-c", "tiny.yml"]
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))  # a bar on 0 columns is nothing
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs if terminal else subprocess.PIPE) as process:
        os.close(theirs)
        shown = read_terminal(ours) if terminal else ""
        output, errors = process.communicate(timeout=60)
    os.close(ours)

    assert process.returncode == 0
    lines = [line.split("] ")[1][:18] for line in output.decode().splitlines()]
    lines = [line for line in lines if line != "note: MKL_DEBUG_CP"]  # on AMD processors alone
    assert lines == ["epoch 1/1, step 1,", "epoch 1/1, step 2,", "evaluation at step", "finished: 1 epochs"]
    if terminal:
        assert "train: 100%" in shown
        assert "evaluate:" in shown
    else:
        assert "%|" not in errors.decode()


def read_terminal(descriptor: int) -> str:
    """All that is shown until the other side is closed."""
    shown = b""
    while True:
        try:
            part = os.read(descriptor, 4096)
        except OSError:  # how Linux says that the terminal is gone
            part = b""
        if not part:
            return shown.decode()
        shown += part
