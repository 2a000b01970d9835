"""Real processes of `tools/train.py`, stopped and killed: resumed, they end with the weights of an undisturbed run.

The signal comes from inside, at a step or a rename that the environment names, so that each case is the same each time.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ppdet_db.engine.log import RunLog

ROOT = Path(__file__).parents[2]
EPOCHS, STEPS_EACH = 6, 4
NORMALIZE = "{ scale: 1./255., mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], order: hwc }"
CONFIG = f"""\
Global:
  imports: [signals.py]
  epoch_num: {EPOCHS}
  print_batch_step: 1
  log_smooth_window: 1
  eval_batch_step: [0, 5]
Architecture:
  Backbone: {{ name: MobileNetV3, model_name: small, scale: 0.35 }}
  Neck: {{ name: DBFPN, out_channels: 24 }}
  Head: {{ name: DBHead }}
Loss: {{ name: SignallingLoss }}
Optimizer:
  name: Adam
  lr: {{ name: Cosine, learning_rate: 0.001 }}
PostProcess: {{ name: DBPostProcess }}
Metric: {{ name: DetMetric }}
Train:
  dataset:
    name: SyntheticDataSet
    num_samples: 8
    size: [128, 128]
    transforms:
      - DecodeImage:
      - DetLabelEncode:
      - CopyPaste:
      - ColorJitter: {{ brightness: 0.3 }}
      - EastRandomCropData: {{ size: [64, 64] }}
      - MakeShrinkMap: {{ total_epoch: 6 }}
      - MakeBorderMap: {{ total_epoch: 6 }}
      - NormalizeImage: {NORMALIZE}
      - ToCHWImage:
      - KeepKeys: {{ keep_keys: [image, threshold_map, threshold_mask, shrink_map, shrink_mask] }}
  loader: {{ shuffle: true, batch_size_per_card: 2, num_workers: 0 }}
Eval:
  dataset:
    name: SyntheticDataSet
    seed: 9
    num_samples: 2
    size: [128, 128]
    transforms:
      - DecodeImage:
      - DetLabelEncode:
      - DetResizeForTest: {{ image_shape: [64, 64] }}
      - NormalizeImage: {NORMALIZE}
      - ToCHWImage:
      - KeepKeys: {{ keep_keys: [image, shape, polys, ignore_tags] }}
  loader: {{ batch_size_per_card: 1, num_workers: 0 }}
"""
SIGNALS = """\
import os
import random
import signal

from ppdet_db.losses.db_loss import DBLoss
from ppdet_db.registry import LOSSES

steps = renames = 0
rename = os.rename


@LOSSES.register
class SignallingLoss(DBLoss):
    '''DBLoss that draws from a global random state, and sends SIGINT_AT this process' group at a step of its own.'''

    def __call__(self, preds, batch):
        global steps
        steps += 1
        if steps == int(os.environ.get("SIGINT_AT", 0)):
            os.killpg(os.getpgid(0), signal.SIGINT)  # as a terminal does: the workers get it too
        if steps == int(os.environ.get("SIGKILL_AT", 0)):
            os.kill(os.getpid(), signal.SIGKILL)
        losses = super().__call__(preds, batch)
        return {**losses, "loss": losses["loss"] * (1 + random.random())}


def kill_at_rename(old, new):
    global renames
    renames += 1
    if renames == int(os.environ.get("SIGKILL_AT_RENAME", 0)):
        os.kill(os.getpid(), signal.SIGKILL)
    rename(old, new)


os.rename = kill_at_rename
"""


AVERAGED = ("Global.use_ema=true", "Global.accumulate=3", "Global.freeze=[backbone.conv]", "Global.freeze_norm=[head]")
"""Two steps an epoch, of three batches and of one."""


def start(
    folder: Path, name: str, workers: int = 0, resume: bool = False, overrides: tuple[str, ...] = (), **environment: int
) -> subprocess.Popen:
    """`tools/train.py` with output folder `name`, leader of a new process group."""
    command = [sys.executable, str(ROOT / "tools/train.py"), "-c", "resume.yml", "-o"]
    command += [f"Global.save_model_dir={name}", f"Train.loader.num_workers={workers}", *overrides]
    return subprocess.Popen(
        command + ["--resume"] * resume,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **{key: str(value) for key, value in environment.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


def state_of(run: Path) -> dict:
    state = json.loads((run / "latest/state.json").read_text())
    del state["best"]["fps"]  # a time
    return state


def equal_runs(one: Path, other: Path) -> bool:
    files = {path.name for run in (one, other) for path in (run / "latest").iterdir()} - {"state.json"}
    return state_of(one) == state_of(other) and all(
        (one / "latest" / file).read_bytes() == (other / "latest" / file).read_bytes() for file in files
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Config, and in `whole` an undisturbed run of it."""
    folder = tmp_path_factory.mktemp("resume")
    (folder / "resume.yml").write_text(CONFIG)
    (folder / "signals.py").write_text(SIGNALS)
    code, _, errors = finish(start(folder, "whole"))
    assert code == 0, errors
    return folder


@pytest.mark.parametrize("workers", [0, 2])
def test_sigint_after_epoch_3_and_in_the_middle_of_epoch_4(folder, workers):
    name = f"stopped{workers}"
    ends = [
        finish(start(folder, name, workers, SIGINT_AT=3 * STEPS_EACH)),
        finish(start(folder, name, workers, resume=True, SIGINT_AT=2)),
        finish(start(folder, name, workers, resume=True)),
    ]

    for (code, output, errors), step in zip(ends, (12, 14, None), strict=True):
        assert code == 0, errors
        assert "Traceback" not in output + errors
        assert "Error" not in errors
        last = output.splitlines()[-1]
        if step is None:
            assert "finished: 6 epochs, 24 steps; best hmean" in last
        else:
            assert last.endswith(
                f"stopped by SIGINT after step {step}; {name}/latest is saved. "
                "The same command with --resume goes on from here."
            )
    assert f"resumed from {name}/latest: epoch 3, batch 4, step 12" in ends[1][1]
    assert f"resumed from {name}/latest: epoch 4, batch 2, step 14" in ends[2][1]
    assert equal_runs(folder / name, folder / "whole")


def test_what_a_twice_stopped_run_leaves_to_read(folder):
    run = folder / "stopped0"
    if not run.exists():
        pytest.skip("made by the test above")
    log, whole = RunLog(run), RunLog(folder / "whole")
    assert [row["step"] for row in log.rows("train")] == list(range(1, EPOCHS * STEPS_EACH + 1))
    assert [row["step"] for row in log.rows("eval")] == [5, 10, 15, 20, 24]
    assert [row["loss"] for row in log.rows("train")] == [row["loss"] for row in whole.rows("train")]
    assert [row["lr"] for row in log.rows("train")] == [row["lr"] for row in whole.rows("train")]
    assert [start["command"][-1] for start in json.loads((run / "run.json").read_text())] == [
        "Train.loader.num_workers=0",
        "--resume",
        "--resume",
    ]
    assert (run / "config.yml").read_text() == (folder / "whole/config.yml").read_text().replace("whole", "stopped0")
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not list(run.glob("*.writing")) + list(run.glob("*.previous"))


def test_sigkill_between_steps_while_saving_and_from_outside(folder):
    ends = [
        finish(start(folder, "killed", SIGKILL_AT=7)),
        # between the two renames that replace `latest` after epoch 2; only checkpoints are put in place by os.rename
        finish(start(folder, "killed", resume=True, SIGKILL_AT_RENAME=2)),
    ]
    assert (folder / "killed/latest.previous").is_dir()
    assert not (folder / "killed/latest").exists()
    process = start(folder, "killed", resume=True)
    for line in process.stdout:
        if "step 17," in line:
            process.kill()  # wherever it is by now
            break
    ends += [finish(process), finish(start(folder, "killed", resume=True))]

    assert [code for code, _, _ in ends] == [-signal.SIGKILL] * 3 + [0], ends[-1][2]
    assert "resumed from killed/latest:" in ends[1][1]
    assert equal_runs(folder / "killed", folder / "whole")
    assert [row["step"] for row in RunLog(folder / "killed").rows("train")] == list(range(1, 25))
    assert sorted(path.name for path in (folder / "killed").iterdir()) == sorted(
        path.name for path in (folder / "whole").iterdir()
    )


def test_sigkill_of_a_run_with_accumulated_gradients_averaged_weights_and_frozen_parts(folder):
    whole = finish(start(folder, "averaged", overrides=AVERAGED))
    killed = finish(start(folder, "killed_averaged", overrides=AVERAGED, SIGKILL_AT=12))  # in step 6
    stopped = finish(start(folder, "killed_averaged", resume=True, overrides=AVERAGED, SIGINT_AT=2))  # in step 7
    resumed = finish(start(folder, "killed_averaged", resume=True, overrides=AVERAGED))

    assert [code for code, _, _ in (whole, killed, stopped, resumed)] == [0, -signal.SIGKILL, 0, 0], resumed[2]
    assert "resumed from killed_averaged/latest: epoch 3, batch 3, step 5" in stopped[1]
    assert "stopped by SIGINT after step 7" in stopped[1]
    assert "resumed from killed_averaged/latest: epoch 4, batch 3, step 7" in resumed[1]
    assert {"model.safetensors", "training.safetensors", "optimizer.safetensors", "state.json"} == {
        path.name for path in (folder / "averaged/latest").iterdir()
    }
    assert state_of(folder / "averaged")["ema"]["step"] == 12
    assert equal_runs(folder / "killed_averaged", folder / "averaged")
