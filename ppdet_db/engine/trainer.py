"""The training loop, and what happens between its steps: evaluating, logging, stopping."""

import contextlib
import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import paddle
from tqdm import tqdm

from ppdet_db.config import Plan
from ppdet_db.engine import build, checkpoint
from ppdet_db.engine.evaluate import evaluate, predict_with, refuse_bad
from ppdet_db.engine.log import Timer, hours, logger, memory_mb
from ppdet_db.engine.profile import advice, transform_seconds
from ppdet_db.engine.run import BEST, LATEST, Run
from ppdet_db.engine.stop import Stopped, StopSignals

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


class Trainer(Run):
    """Trains what a plan says. `fit` is the loop; override `step` for another way to make a step.

    Arguments and errors are those of `Run`.
    """

    def __init__(self, plan: Plan, resume: bool = False):
        super().__init__(plan, resume)
        self.network = build.trained_as(self.model, self.options.to_static)
        self.timer = Timer(self.train_loader.num_workers)
        self.pictures: list[int] = []  # of each step since the last line of the log
        self.bottleneck_told = False
        self.stop = StopSignals()

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

    def _evaluate_if_due(self) -> None:
        if self.options.eval_batch_epoch:
            due = self.batch_in_epoch == 0 and every(self.options.eval_batch_epoch, self.epoch)
        else:
            due = every(self.options.eval_batch_step, self.global_step)
        if due and self.global_step != self.evaluated_at:
            self.evaluate_and_keep_best()

    def _predictor(self) -> Callable[[paddle.Tensor], dict]:
        """What evaluation asks, with its weights of this moment; a signal to stop is answered before each batch."""
        model = self.ema.model if self.ema else self.model
        network = self._on_engine(model) if self.options.eval_engine else predict_with(model)

        def predict(images: paddle.Tensor) -> dict:
            self.stop.answer()
            return network(images)

        return predict

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
