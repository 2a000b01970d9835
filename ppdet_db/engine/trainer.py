"""The training loop, and what stands around it: resume, save, evaluate, log, stop."""

import contextlib
import itertools
import math
import os
import random
import statistics
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import yaml
from tqdm import tqdm

from ppdet_db.config import Plan
from ppdet_db.engine import build, checkpoint
from ppdet_db.engine.amp import MixedPrecision
from ppdet_db.engine.divergence import finite_medians, refuse_bad_weights
from ppdet_db.engine.ema import ModelEMA
from ppdet_db.engine.evaluate import evaluate, predict_with, refuse_bad
from ppdet_db.engine.freeze import freeze
from ppdet_db.engine.log import RunLog, Timer, describe_run, hours, logger, memory_mb, write_whole
from ppdet_db.engine.predictor import through_engine
from ppdet_db.engine.profile import advice, transform_seconds
from ppdet_db.engine.stop import Stopped, StopSignals
from ppdet_db.engine.weights import named_by
from ppdet_db.errors import DetError
from ppdet_db.modeling.model import DetModel

BEST, LATEST, CONFIG = "best_accuracy", "latest", "config.yml"
HELD_UP_STEPS = 50
"""So many steps in a row must have waited for the reader before the log says so."""


def every(when: int | list[int] | None, count: int) -> bool:
    """Whether something is due after `count` steps: `n`, or `[start, n]` (not before `start`); None or 0 is never."""
    start, interval = when if isinstance(when, list) else (0, when)
    return bool(interval) and count > start and (count - start) % interval == 0


def grouped(batches: Iterable, count: int) -> Iterator[list]:
    """Lists of `count` batches; the last may be shorter."""
    batches = iter(batches)
    while group := list(itertools.islice(batches, count)):
        yield group


class Trainer:
    """Trains what a plan says. `fit` is the loop; override `step` for another way to make a step.

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
        self.pictures: list[int] = []  # of each step since the last line of the log
        self.timer = Timer(self.train_loader.num_workers)
        self.bottleneck_told = False
        self.stop = StopSignals()
        self.ema: ModelEMA | None = None
        self.amp = MixedPrecision(options)

        if options.eval_engine:
            self._on_engine(self.model)  # that this network or machine cannot do it is told now, not after an epoch
        self._begin(resume)
        self.network = build.trained_as(self.model, options.to_static)

    def fit(self) -> dict[str, Any]:
        """Runs the epochs that are left. Returns the best evaluation. After a stop it may be called again.

        Raises:
            DetError: a loss is not finite, or a sample is bad; what was saved before is untouched.
        """
        self.model.train()
        self.timer, self.pictures = Timer(self.train_loader.num_workers), []
        with self.run_log, self._saved_when_stopped(), self._bar() as bar:
            while self.epoch < self.options.epoch_num:
                self._evaluate_if_due()  # by epochs, or what a stop left undone
                self.sampler.start(self.epoch, self.batch_in_epoch)
                for batches in self.timer.each(grouped(self.train_loader, self.options.accumulate)):
                    self.rate = self.optimizer.get_lr()
                    self.recent.append(self.step(*batches))
                    self.pictures.append(sum(len(batch["image"]) for batch in batches))
                    self.global_step += 1
                    self.batch_in_epoch += len(batches)
                    bar.update()
                    if every(self.options.print_batch_step, self.global_step):
                        self.log()
                    if self.timer.held_up >= HELD_UP_STEPS and not self.bottleneck_told:
                        self._tell_bottleneck()
                    self._evaluate_if_due()
                    self.stop.answer()
                self.epoch, self.batch_in_epoch = self.epoch + 1, 0
                self.save(LATEST)
                if every(self.options.save_epoch_step, self.epoch):
                    self.save(f"iter_epoch_{self.epoch}")
            if self.global_step != self.evaluated_at:  # the end is always evaluated, whatever the interval
                self.evaluate_and_keep_best()
            logger.info("finished: %d epochs, %d steps; %s", self.epoch, self.global_step, self._describe_best())
        return self.best

    def step(self, *batches: dict) -> dict[str, paddle.Tensor]:
        """Forward, loss and backward of each batch, then optimizer, schedule and average.

        Losses and gradients are means over the batches, each with the weight of its pictures. Returns the losses, still
        on the device.
        """
        for batch in batches:
            refuse_bad(batch)
        pictures = [len(batch["image"]) for batch in batches]
        total: dict[str, paddle.Tensor] = {}
        for batch, count in zip(batches, pictures, strict=True):
            with self.amp.forward():
                losses = self.loss(self.network(batch["image"]), batch)
            losses = {name: value * (count / sum(pictures)) for name, value in losses.items()}
            self.amp.backward(losses["loss"])
            total = {name: value.detach() + total.get(name, 0) for name, value in losses.items()}
        self.amp.step(self.optimizer)
        self.optimizer.clear_grad()
        self.schedule.step()
        if self.ema:
            self.ema.update(self.model)
        return total

    def log(self) -> None:
        """One line for people, one row for plots. Losses are medians over the last `log_smooth_window` steps."""
        losses = self._read_losses()
        reader, batch = self.timer.take()
        pictures = statistics.mean(self.pictures) / batch
        self.pictures.clear()
        left = (self.options.epoch_num * self._steps_per_epoch() - self.global_step) * batch
        logger.info(
            "epoch %d/%d, step %d, lr %.6g, %s, reader %.3f s, batch %.3f s, %.1f images/s, eta %s, memory %.0f MB",
            self.epoch + 1, self.options.epoch_num, self.global_step, self.rate,
            ", ".join(f"{name} {value:.4f}" for name, value in losses.items()),
            reader, batch, pictures, hours(left), memory_mb(),
        )  # fmt: skip
        self.run_log.row(
            "train", step=self.global_step, epoch=self.epoch, lr=self.rate, **losses,
            reader_s=reader, batch_s=batch, images_per_s=pictures, memory_mb=memory_mb(),
        )  # fmt: skip

    def _tell_bottleneck(self) -> None:
        """Once a run: that the network waits for pictures, where their time goes, and what helps."""
        self.bottleneck_told = True
        random_states = checkpoint.random_states()  # a user's own transform may draw from them
        with self.timer.paused():
            keys = itertools.islice(itertools.chain.from_iterable(self.sampler), 16)
            seconds = transform_seconds(self.train_loader.dataset, keys)
        checkpoint.set_random_states(random_states)
        logger.info(
            "the reader has been the bottleneck for %d steps in a row. It takes %s. tools/profile_data.py tells more",
            self.timer.held_up, advice(seconds, self.train_loader.num_workers),
        )  # fmt: skip

    def evaluate_and_keep_best(self) -> dict[str, float]:
        """Evaluates, saves `best_accuracy` when the main indicator is the highest so far, and `latest`."""
        with self.timer.paused():
            self._read_losses()
            values = evaluate(self._predictor(), self.eval_loader, self.postprocess, self.metric)
            self.evaluated_at = self.global_step
            indicator = self.metric.main_indicator
            if values[indicator] > self.best.get(indicator, -math.inf):
                self.best = {**values, "step": self.global_step}
                self.save(BEST)
            self.save(LATEST)
            logger.info(
                "evaluation at step %d: %s; %s", self.global_step,
                ", ".join(f"{name} {value:.4f}" for name, value in values.items() if isinstance(value, float)),
                self._describe_best(),
            )  # fmt: skip
            self.run_log.row("eval", step=self.global_step, epoch=self.epoch, **values)
            self.run_log.draw_curves()
        return values

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

    def _read_losses(self) -> dict[str, float]:
        return finite_medians(self.recent, self.global_step, self.folder)

    def _evaluate_if_due(self) -> None:
        if self.options.eval_batch_epoch:
            due = self.batch_in_epoch == 0 and every(self.options.eval_batch_epoch, self.epoch)
        else:
            due = every(self.options.eval_batch_step, self.global_step)
        if due and self.global_step != self.evaluated_at:
            self.evaluate_and_keep_best()

    def _steps_per_epoch(self) -> int:
        return -(-self.sampler.batches_per_epoch() // self.options.accumulate)

    def _epoch_shape(self) -> str:
        shape = f"{self.sampler.batches_per_epoch()} batches of {self.sampler.batch_size}"
        return shape if self.options.accumulate == 1 else f"{shape}, {self.options.accumulate} a step"

    def _predictor(self) -> Callable[[paddle.Tensor], dict]:
        """What evaluation asks, with its weights of this moment; a signal to stop is answered before each batch."""
        model = self.ema.model if self.ema else self.model
        network = self._on_engine(model) if self.options.eval_engine else predict_with(model)

        def predict(images: paddle.Tensor) -> dict:
            self.stop.answer()
            return network(images)

        return predict

    def _on_engine(self, model: DetModel) -> Callable[[paddle.Tensor], dict]:
        """The network on `Global.eval_engine`. Exporting draws random numbers; training must not miss them."""
        random_states = checkpoint.random_states()
        try:
            return through_engine(model, self.options.eval_engine)
        finally:
            checkpoint.set_random_states(random_states)

    def _describe_best(self) -> str:
        indicator = self.metric.main_indicator
        if not self.best:  # a metric that gave nothing but NaN
            return f"no best {indicator} yet"
        return f"best {indicator} {self.best[indicator]:.4f} at step {self.best['step']}"

    @contextlib.contextmanager
    def _saved_when_stopped(self) -> Iterator[None]:
        """A signal ends what is inside at the next answer to it, and `latest` is saved."""
        try:
            with self.stop.noted():
                yield
        except Stopped:
            self.save(LATEST)
            logger.info(
                "stopped by %s after step %d; %s is saved. The same command with --resume goes on from here.",
                self.stop.name, self.global_step, self.folder / LATEST,
            )  # fmt: skip

    def _bar(self) -> tqdm:
        total = self.options.epoch_num * self._steps_per_epoch()
        return tqdm(total=total, initial=self.global_step, desc="train", unit="step", disable=None, leave=False)


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
