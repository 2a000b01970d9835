"""The training loop, and what stands around it: resume, save, evaluate, log, stop."""

import contextlib
import random
import signal
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import yaml
from tqdm import tqdm

from ppdet_db.config import Plan
from ppdet_db.engine import build, checkpoint
from ppdet_db.engine.evaluate import evaluate, predict_with, refuse_bad
from ppdet_db.engine.log import RunLog, Timer, describe_run, hours, logger, memory_mb
from ppdet_db.errors import DetError

BEST, LATEST = "best_accuracy", "latest"


def every(when: int | list[int] | None, count: int) -> bool:
    """Whether something is due after `count` steps: `n`, or `[start, n]` (not before `start`); None or 0 is never."""
    start, interval = when if isinstance(when, list) else (0, when)
    return bool(interval) and count > start and (count - start) % interval == 0


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

        self.train_loader = self._loader(plan.train, train=True)
        self.eval_loader = self._loader(plan.eval, train=False)
        self.sampler = self.train_loader.batch_sampler
        self.model = build.build_model(plan.architecture)
        self.loss = build.build_loss(plan.loss)
        self.optimizer, self.schedule = build.build_optimizer(
            plan.optimizer,
            parameters=self.model.parameters(),
            epochs=options.epoch_num,
            step_each_epoch=self.sampler.batches_per_epoch(),
        )
        self.postprocess = build.build_postprocess(plan.postprocess)
        self.metric = build.build_metric(plan.metric)

        self.epoch = self.batch_in_epoch = self.global_step = 0
        self.best: dict[str, Any] = {}
        self.evaluated_at = -1
        self.recent: deque[dict[str, paddle.Tensor]] = deque(maxlen=options.log_smooth_window)
        self.timer = Timer()
        self.stop_signal: int | None = None

        self._open_output()
        if self.start_from:
            self._restore(self.start_from)
        elif options.pretrained_model:
            logger.info("pretrained: %s", checkpoint.load_weights(self.model, options.pretrained_model, strict=False))
        self.network = paddle.DataParallel(self.model) if paddle.distributed.get_world_size() > 1 else self.model

    def fit(self) -> dict[str, Any]:
        """Runs the epochs that are left. Returns the best evaluation.

        Raises:
            DetError: a loss is not finite, or a sample is bad; what was saved before is untouched.
        """
        self.model.train()
        with self._signals_noted(), self._bar() as bar:
            while self.epoch < self.options.epoch_num:
                self.sampler.start(self.epoch, self.batch_in_epoch)
                for batch in self.timer.each(self.train_loader):
                    self.recent.append(self.step(batch))
                    self.global_step += 1
                    self.batch_in_epoch += 1
                    bar.update()
                    if every(self.options.print_batch_step, self.global_step):
                        self.log()
                    if self._evaluation_due():
                        self.evaluate_and_keep_best()
                    if self.stop_signal:
                        return self._stop()
                self.epoch, self.batch_in_epoch = self.epoch + 1, 0
                self.save(LATEST)
                if every(self.options.save_epoch_step, self.epoch):
                    self.save(f"iter_epoch_{self.epoch}")
            if self.global_step > self.evaluated_at:  # the end is always evaluated, whatever the interval
                self.evaluate_and_keep_best()
        return self.best

    def step(self, batch: dict) -> dict[str, paddle.Tensor]:
        """Forward, loss, backward, optimizer, schedule. Returns the losses, still on the device."""
        refuse_bad(batch)
        losses = self.loss(self.network(batch["image"]), batch)
        losses["loss"].backward()
        self.optimizer.step()
        self.optimizer.clear_grad()
        self.schedule.step()
        return {name: value.detach() for name, value in losses.items()}

    def log(self) -> None:
        """One line for people, one row for plots. Losses are medians over the last `log_smooth_window` steps."""
        losses = self._read_losses()
        reader, batch = self.timer.take()
        rate = self.optimizer.get_lr()
        pictures = self.sampler.batch_size / batch
        left = (self.options.epoch_num * self.sampler.batches_per_epoch() - self.global_step) * batch
        logger.info(
            "epoch %d/%d, step %d, lr %.6g, %s, reader %.3f s, batch %.3f s, %.1f images/s, eta %s, memory %.0f MB",
            self.epoch + 1, self.options.epoch_num, self.global_step, rate,
            ", ".join(f"{name} {value:.4f}" for name, value in losses.items()),
            reader, batch, pictures, hours(left), memory_mb(),
        )  # fmt: skip
        self.run_log.row(
            "train", step=self.global_step, epoch=self.epoch, lr=rate, **losses,
            reader_s=reader, batch_s=batch, images_per_s=pictures, memory_mb=memory_mb(),
        )  # fmt: skip

    def evaluate_and_keep_best(self) -> dict[str, float]:
        """Evaluates, saves `best_accuracy` when the main indicator is the highest so far, and `latest`."""
        with self.timer.paused():
            self._read_losses()
            values = evaluate(predict_with(self.model), self.eval_loader, self.postprocess, self.metric)
            self.evaluated_at = self.global_step
            indicator = self.metric.main_indicator
            if not self.best or values[indicator] > self.best[indicator]:
                self.best = {**values, "step": self.global_step}
                self.save(BEST)
            self.save(LATEST)
            logger.info(
                "evaluation at step %d: %s; best %s %.4f at step %d", self.global_step,
                ", ".join(f"{name} {value:.4f}" for name, value in values.items() if isinstance(value, float)),
                indicator, self.best[indicator], self.best["step"],
            )  # fmt: skip
            self.run_log.row("eval", step=self.global_step, epoch=self.epoch, **values)
            self.run_log.draw_curves()
        return values

    def save(self, name: str) -> None:
        """A checkpoint in the output folder, after making sure that no loss went bad.

        `epoch` and `batch_in_epoch` in its state are the ones to go on with.
        """
        self._read_losses()
        if not self.is_main:
            return
        state = {
            "epoch": self.epoch,
            "batch_in_epoch": self.batch_in_epoch,
            "global_step": self.global_step,
            "evaluated_at": self.evaluated_at,
            "batch_size": self.sampler.batch_size,
            "schedule": self.schedule.state_dict(),
            "best": self.best,
            "seed": self.options.seed,
            "random_states": checkpoint.random_states(),
        }
        checkpoint.save(self.folder / name, self.model, self.optimizer, state)

    def _loader(self, reader: Any, train: bool) -> Any:
        options = self.options
        dataset = build.build_dataset(reader.dataset, seed=options.seed, data_root=options.data_root)
        return build.build_loader(dataset, reader.loader, train=train, seed=options.seed)

    def _choose_start(self, resume: bool) -> Path | None:
        """The checkpoint to resume from, if any. Refuses to write over another run."""
        latest = checkpoint.find(self.folder / LATEST, missing_ok=True)
        if latest and resume:
            return latest
        given = checkpoint.find(self.options.checkpoints) if self.options.checkpoints else None
        if latest and (given is None or given.resolve().parent != self.folder.resolve()):
            raise DetError(
                f"{self.folder}: holds the checkpoints of another run. Go on with it by --resume, or choose another "
                "folder with -o Global.save_model_dir=..."
            )
        return given

    def _open_output(self) -> None:
        own = self.folder if self.is_main else self.folder / f"rank{paddle.distributed.get_rank()}"
        try:
            own.mkdir(parents=True, exist_ok=True)
            self.run_log = RunLog(own)
            for note in self.plan.notes:
                logger.info("note: %s", note)
            config_file = own / "config.yml"
            if self.start_from and config_file.exists():
                for change in differences(yaml.safe_load(config_file.read_text()), self.plan.config.data):
                    logger.info("changed since the run began: %s", change)
            config_file.write_text(self.plan.config.to_yaml())
            describe_run(own)
        except OSError as error:
            raise DetError(
                f"{own}: the output folder cannot be written ({error.strerror}). Choose another one with "
                "-o Global.save_model_dir=..."
            ) from error

    def _restore(self, folder: Path) -> None:
        checkpoint.load_weights(self.model, folder, strict=True)
        checkpoint.load_optimizer(self.model, self.optimizer, folder)
        state = checkpoint.load_state(folder)
        self.epoch, self.batch_in_epoch = state["epoch"], state["batch_in_epoch"]
        self.global_step, self.evaluated_at, self.best = state["global_step"], state["evaluated_at"], state["best"]
        if self.batch_in_epoch and state["batch_size"] != self.sampler.batch_size:
            raise DetError(
                f"{folder}: was saved in the middle of an epoch with batch_size_per_card {state['batch_size']}, now it is "
                f"{self.sampler.batch_size}: the place in the epoch cannot be found again. Use the old value."
            )
        self.schedule.set_state_dict(state["schedule"])
        checkpoint.set_random_states(state["random_states"])
        logger.info(
            "resumed from %s: epoch %d, batch %d, step %d, lr %.6g",
            folder, self.epoch + 1, self.batch_in_epoch, self.global_step, self.optimizer.get_lr(),
        )  # fmt: skip

    def _read_losses(self) -> dict[str, float]:
        """Medians of the recent losses; raises DetError naming one that is not finite."""
        if not self.recent:
            return {}
        names = list(self.recent[0])
        values = paddle.stack([paddle.stack([losses[name] for name in names]) for losses in self.recent]).numpy()
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            step = self.global_step - len(values) + 1 + int(row)
            raise DetError(
                f"{names[column]} is {values[row, column]} at step {step} (epoch {self.epoch + 1}): training has "
                f"diverged and stops; the checkpoints in {self.folder} are from before. Try a lower learning rate, "
                "a longer warm-up (lr.warmup_epoch) or Optimizer.clip_norm_global."
            )
        return dict(zip(names, np.median(values, axis=0).tolist(), strict=True))

    def _evaluation_due(self) -> bool:
        if self.options.eval_batch_epoch:
            steps = self.options.eval_batch_epoch * self.sampler.batches_per_epoch()
            return every(steps, self.global_step)
        return every(self.options.eval_batch_step, self.global_step)

    def _stop(self) -> dict[str, Any]:
        self.save(LATEST)
        logger.info(
            "stopped by %s after step %d; %s is saved. The same command with --resume goes on from here.",
            signal.Signals(self.stop_signal).name, self.global_step, self.folder / LATEST,
        )  # fmt: skip
        return self.best

    @contextlib.contextmanager
    def _signals_noted(self) -> Iterator[None]:
        """SIGINT and SIGTERM only set a flag, which is read between steps; a second one acts as usual."""
        kept = {}
        if threading.current_thread() is not threading.main_thread():  # only there may a program take signals
            numbers: tuple = ()
        else:
            numbers = (signal.SIGINT, signal.SIGTERM)

        def note(number: int, frame: Any) -> None:
            self.stop_signal = number
            for each, handler in kept.items():
                signal.signal(each, handler)

        for number in numbers:
            kept[number] = signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)
            self.run_log.close()

    def _bar(self) -> tqdm:
        total = self.options.epoch_num * self.sampler.batches_per_epoch()
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


def seed_everything(seed: int) -> None:
    """Global random states; data draws from (seed, epoch, index) and needs none of them."""
    random.seed(seed)
    np.random.seed(seed)
    paddle.seed(seed)
