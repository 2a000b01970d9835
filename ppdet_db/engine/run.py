"""What a training is made of: built from a plan, restored from a checkpoint, saved to one."""

import os
import random
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import yaml

from ppdet_db.config import Plan
from ppdet_db.engine import build, checkpoint
from ppdet_db.engine.amp import MixedPrecision
from ppdet_db.engine.divergence import finite_medians, refuse_bad_weights
from ppdet_db.engine.ema import ModelEMA
from ppdet_db.engine.freeze import freeze
from ppdet_db.engine.log import RunLog, describe_run, logger, write_whole
from ppdet_db.engine.predictor import through_engine
from ppdet_db.engine.weights import named_by
from ppdet_db.errors import DetError
from ppdet_db.modeling.model import DetModel

BEST, LATEST, CONFIG = "best_accuracy", "latest", "config.yml"


class Run:
    """A training that does not train yet; `Trainer` is the loop. Its place: `epoch`, `batch_in_epoch`, `global_step`.

    Args:
        plan: from `load_plan`.
        resume: go on from `latest` in the output folder, if it is there.

    Raises:
        DetError: data, weights or the output folder cannot be used.
    """

    def __init__(self, plan: Plan, resume: bool = False):
        self.plan, self.options = plan, plan.options
        options = plan.options
        self.folder = Path(options.save_model_dir)
        self.is_main = paddle.distributed.get_rank() == 0
        self.start_from = self._choose_start(resume)
        build.choose_device(options.use_gpu)
        seed_everything(options.seed)

        self.train_loader = build.loader_of(plan, train=True)
        self.eval_loader = build.loader_of(plan, train=False)
        self.sampler = self.train_loader.batch_sampler
        self.model = build.build_model(plan.architecture)
        self.frozen = freeze(self.model, plan)
        self.loss = build.build_loss(plan.loss)
        self.optimizer, self.schedule = build.build_optimizer(
            plan.optimizer,
            parameters=dict(self.model.named_parameters()),
            epochs=options.epoch_num,
            step_each_epoch=self._steps_per_epoch(),
        )
        self.postprocess = build.build_postprocess(plan.postprocess)
        self.metric = build.build_metric(plan.metric)

        self.epoch = self.batch_in_epoch = self.global_step = 0
        self.best: dict[str, Any] = {}
        self.evaluated_at = -1
        self.recent: deque[dict[str, paddle.Tensor]] = deque(maxlen=options.log_smooth_window)
        self.ema: ModelEMA | None = None
        self.amp = MixedPrecision(options)

        if options.eval_engine:
            self._on_engine(self.model)  # that this network or machine cannot do it is told now, not after an epoch
        self._begin(resume)

    def save(self, name: str) -> None:
        """A checkpoint in the output folder, after making sure that neither losses nor weights went bad.

        `epoch` and `batch_in_epoch` in its state are the ones to go on with.
        """
        self._read_losses()
        refuse_bad_weights(self.model, self.global_step, self.folder)
        if not self.is_main:
            return
        state = {
            "epoch": self.epoch,
            "batch_in_epoch": self.batch_in_epoch,
            "global_step": self.global_step,
            "evaluated_at": self.evaluated_at,
            "epoch_shape": self._epoch_shape(),
            "schedule": self.schedule.state_dict(),
            "best": self.best,
            "seed": self.options.seed,
            "random_states": checkpoint.random_states(),
            "ema": self.ema.state_dict() if self.ema else None,
            "amp": self.amp.state_dict(),
            "frozen": [name for name, weight in self.model.named_parameters() if weight.stop_gradient],
        }
        average = self.ema.model if self.ema else None
        checkpoint.save(self.folder / name, self.model, self.optimizer, state, average)

    def _read_losses(self) -> dict[str, float]:
        return finite_medians(self.recent, self.global_step, self.folder)

    def _choose_start(self, resume: bool) -> Path | None:
        """The checkpoint to resume from, if any. Refuses to write over another run."""
        latest = checkpoint.find(self.folder / LATEST, missing_ok=True)
        if latest and resume:
            return latest
        with named_by(self.plan, "checkpoints"):
            given = checkpoint.find(self.options.checkpoints) if self.options.checkpoints else None
        if latest and (given is None or given.resolve().parent != self.folder.resolve()):
            raise DetError(
                f"{self.folder}: holds the checkpoints of another run. Go on with it by --resume, or choose another "
                "folder with -o Global.save_model_dir=..."
            )
        return given

    def _begin(self, resume: bool) -> None:
        """Opens the output folder, restores, then writes down what the run is made with.

        In this order: a failed restore leaves `config.yml` as it was, the config of the checkpoints beside it.
        """
        own = self.folder if self.is_main else self.folder / f"rank{paddle.distributed.get_rank()}"
        try:
            own.mkdir(parents=True, exist_ok=True)
            self.run_log = RunLog(own)
            with self.run_log:
                self._log_notes(own / CONFIG, resume)
                if self.start_from:
                    self._restore(self.start_from)
                else:
                    self._initialize()
                write_whole(own / CONFIG, self.plan.config.to_yaml())
                describe_run(own)
                self.run_log.start(self.global_step)
        except OSError as error:
            raise DetError(
                f"{own}: the output folder cannot be written ({error.strerror or error}). Choose another one with "
                "-o Global.save_model_dir=..."
            ) from error

    def _log_notes(self, old_config: Path, resume: bool) -> None:
        for note in (*self.plan.notes, *self.amp.notes):
            logger.info("note: %s", note)
        kind = os.environ.get("MKL_DEBUG_CPU_TYPE")
        if kind and paddle.get_device() == "cpu":
            logger.info("note: MKL_DEBUG_CPU_TYPE is %s: matrix products are summed another way than without it", kind)
        for line in self.frozen:
            logger.info(line)
        given = self.options.checkpoints
        if resume and given and self.start_from != Path(given):
            logger.info("note: --resume goes on from %s; Global.checkpoints (%s) is not read", self.start_from, given)
        if resume and not self.start_from:
            logger.info("nothing to resume: there is no %s, so training starts at step 0", self.folder / LATEST)
        if self.start_from and old_config.exists():
            for change in differences(yaml.safe_load(old_config.read_text("utf-8")), self.plan.config.data):
                logger.info("changed since the run began: %s", change)

    def _initialize(self) -> None:
        if self.options.pretrained_model:
            with named_by(self.plan, "pretrained_model"):
                report = checkpoint.load_weights(self.model, self.options.pretrained_model, strict=False)
            logger.info("pretrained: %s", report)
        self.ema = self._new_average()

    def _new_average(self) -> ModelEMA | None:
        options = self.options
        if not options.use_ema:
            return None
        how = options.ema_decay, options.ema_gamma, options.ema_decay_type, options.ema_filter_no_grad
        return ModelEMA(self.model, *how)

    def _restore(self, folder: Path) -> None:
        checkpoint.load_weights(self.model, folder, strict=True, to_train_on=True)
        without, unused = checkpoint.load_optimizer(self.model, self.optimizer, folder)
        state = checkpoint.load_state(folder)
        if state.get("ema") and not checkpoint.has_average(folder):
            raise DetError(f"{folder}: was saved with use_ema, but its {checkpoint.TRAINING} is gone: restore the file")
        # a weight that the network never uses has no moments either; only what was frozen is news
        thawed = [name for name in without if name in state.get("frozen", without)]
        self.epoch, self.batch_in_epoch = state["epoch"], state["batch_in_epoch"]
        self.global_step = state["global_step"]
        if folder.resolve().parent == self.folder.resolve():  # else the best checkpoint is not in this folder either
            self.evaluated_at, self.best = state["evaluated_at"], state["best"]
        now = self._epoch_shape()
        was = state.get("epoch_shape", now)
        if self.batch_in_epoch and was != now:
            raise DetError(
                f"{folder}: saved in the middle of an epoch of {was}, now it has {now}: the place in it cannot be "
                "found again. Use the old data, batch_size_per_card, accumulate and number of processes, or a "
                "checkpoint from the end of an epoch."
            )
        self.schedule.set_state_dict(state["schedule"])
        self.amp.set_state_dict(state.get("amp", {}))
        checkpoint.set_random_states(state["random_states"])
        logger.info(
            "resumed from %s: epoch %d, batch %d, step %d, lr %.6g",
            folder, self.epoch + 1, self.batch_in_epoch, self.global_step, self.optimizer.get_lr(),
        )  # fmt: skip
        if thawed:
            logger.info("no moments of %s in the checkpoint: they begin at zero", some(thawed))
        if unused:
            logger.info("the checkpoint's moments of %s are left out: these are frozen now", some(unused))
        self._restore_average(folder, state.get("ema"))

    def _restore_average(self, folder: Path, state: dict | None) -> None:
        self.ema = self._new_average()
        if self.ema and state:
            self.ema.set_state_dict(state, checkpoint.load_average(folder))
        elif self.ema:
            logger.info("use_ema is on now and was off before: the average begins after step %d", self.global_step)
        elif state:
            logger.info(
                "use_ema is off now and was on before: the averages in %s are left behind, later scores are of the "
                "weights themselves", folder,
            )  # fmt: skip

    def _on_engine(self, model: DetModel) -> Callable[[paddle.Tensor], dict]:
        """The network on `Global.eval_engine`. Exporting draws random numbers; training must not miss them."""
        random_states = checkpoint.random_states()
        try:
            return through_engine(model, self.options.eval_engine)
        finally:
            checkpoint.set_random_states(random_states)

    def _steps_per_epoch(self) -> int:
        return -(-self.sampler.batches_per_epoch() // self.options.accumulate)

    def _epoch_shape(self) -> str:
        shape = f"{self.sampler.batches_per_epoch()} batches of {self.sampler.batch_size}"
        return shape if self.options.accumulate == 1 else f"{shape}, {self.options.accumulate} a step"


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """`Optimizer.lr.learning_rate: 0.001 -> 0.0005` for each value that two configs do not share."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted({*old, *new}, key=str)
            for line in differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
        ]
    return [] if old == new else [f"{path}: {old} -> {new}"]


def some(names: list[str]) -> str:
    """`5 parameters (a, b, c, ...)`"""
    return f"{len(names)} parameters ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"


def seed_everything(seed: int) -> None:
    """Global random states; data draws from (seed, epoch, index) and needs none of them."""
    random.seed(seed)
    np.random.seed(seed)
    paddle.seed(seed)
