"""The trainer: what is due when, what stops it and what it leaves, how it starts, goes on and refuses to."""

import json
import os
import re
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml

from ppdet_db.contract import BadSample, Ragged
from ppdet_db.engine import Trainer, build, checkpoint, evaluate, trainer
from ppdet_db.engine.log import RunLog
from ppdet_db.engine.run import differences
from ppdet_db.engine.trainer import every
from ppdet_db.engine.weights import load_trained
from ppdet_db.errors import DetError


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """hmean of the next evaluations, 0.0 when used up; no picture is looked at and no curve drawn."""
    scores: list[float] = []
    fake = lambda *args: {"hmean": scores.pop(0) if scores else 0.0, "fps": 1.0}  # noqa: E731
    monkeypatch.setattr(trainer, "evaluate", fake)
    monkeypatch.setattr(RunLog, "draw_curves", lambda self: None)
    return scores


def state(name: str = "latest", folder: str = "run") -> dict:
    return checkpoint.load_state(Path(folder) / name)


def weights(model: paddle.nn.Layer) -> dict[str, list]:
    return {name: value.numpy().tolist() for name, value in model.state_dict().items()}


def steps_of(kind: str) -> list[int]:
    rows = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines()]
    return [row["step"] for row in rows if row["kind"] == kind]


class StopAt(Trainer):
    """Sends a signal to this process in its step number `at`."""

    at, number = 0, signal.SIGINT

    def step(self, *batches):
        if self.global_step + 1 == self.at:
            os.kill(os.getpid(), self.number)
        return super().step(*batches)


def stopped_at(plan, step: int, *overrides: str) -> StopAt:
    run = StopAt(plan(*overrides))
    run.at = step
    run.fit()
    return run


@pytest.mark.parametrize(
    ("when", "due"),
    [
        (None, []),
        (0, []),
        (1, [1, 2, 3, 4, 5, 6, 7, 8]),
        (3, [3, 6]),
        ([0, 4], [4, 8]),
        ([3, 2], [5, 7]),
        ([2, 100], []),
        ([100, 1], []),
        ([0, 0], []),
    ],
)
def test_every(when, due):
    assert [count for count in range(9) if every(when, count)] == due


class TestWhenThingsAreDue:
    @pytest.mark.parametrize(
        ("overrides", "evaluated"),
        [
            ([], [8]),
            (["Global.eval_batch_step=3"], [3, 6, 8]),
            (["Global.eval_batch_step=[4,2]"], [6, 8]),
            (["Global.eval_batch_step=[0,4]"], [4, 8]),
            (["Global.eval_batch_epoch=1"], [4, 8]),
            (["Global.eval_batch_epoch=2"], [8]),
            (["Global.eval_batch_epoch=1", "Global.eval_batch_step=3"], [4, 8]),
        ],
    )
    def test_evaluations_with_the_last_one_always_and_once(self, plan, scores, overrides, evaluated):
        Trainer(plan(*overrides)).fit()
        assert steps_of("eval") == evaluated

    def test_checkpoints(self, plan, scores):
        Trainer(plan("Global.epoch_num=4", "Global.save_epoch_step=2")).fit()
        folders = sorted(path.name for path in Path("run").iterdir() if path.is_dir())
        assert folders == ["best_accuracy", "iter_epoch_2", "iter_epoch_4", "latest"]
        assert [(state(name)["epoch"], state(name)["global_step"]) for name in folders] == [
            (4, 16), (2, 8), (4, 16), (4, 16),
        ]  # fmt: skip

    def test_lines(self, plan, scores, lines):
        Trainer(plan("Global.print_batch_step=3")).fit()
        printed = [line for line in lines if line.startswith("epoch ")]
        assert len(printed) == 2
        assert re.fullmatch(
            r"epoch 1/2, step 3, lr 0\.000853553, loss \d+\.\d{4}, loss_shrink_maps \d+\.\d{4}, "
            r"loss_threshold_maps \d+\.\d{4}, loss_binary_maps \d+\.\d{4}, reader \d+\.\d{3} s, batch \d+\.\d{3} s, "
            r"\d+\.\d images/s, eta \d:\d\d:\d\d, memory \d+ MB",
            printed[0],
        )
        assert printed[1].startswith("epoch 2/2, step 6, ")

    def test_the_rate_of_a_row_is_the_one_of_its_step(self, plan, scores):
        run = Trainer(plan())
        run.fit()
        rates = [row["lr"] for row in run.run_log.rows("train")]
        assert rates == pytest.approx([0.0005 * (1 + np.cos(np.pi * step / 8)) for step in range(8)])

    def test_a_loss_line_is_the_median_of_the_window(self, plan, scores):
        class Given(Trainer):
            def step(self, batch):
                return {"loss": paddle.to_tensor(float([1, 100, 2, 50, 5, 6, 7, 0][self.global_step]))}

        run = Given(plan("Global.log_smooth_window=3"))
        run.fit()
        assert [row["loss"] for row in run.run_log.rows("train")] == [1, 50.5, 2, 50, 5, 6, 6, 6]

    @pytest.mark.parametrize(
        ("every_steps", "pictures"),
        [
            (1, [6, 2, 6, 2]),  # eight pictures: two batches of three, then the one of two that is left
            (2, [4, 4]),  # a step, on average
            (3, [14 / 3]),
        ],
    )
    def test_pictures_a_second_are_those_of_the_steps_since_the_last_line(self, plan, scores, every_steps, pictures):
        keys = "Global.accumulate=2", "Train.loader.batch_size_per_card=3", f"Global.print_batch_step={every_steps}"
        run = Trainer(plan(*keys))
        run.fit()
        rows = run.run_log.rows("train")
        assert [row["images_per_s"] * row["batch_s"] for row in rows] == pytest.approx(pictures)


class TestSteps:
    def test_losses_are_kept_without_their_graph_and_no_more_than_the_window(self, plan, scores):
        run = Trainer(plan("Global.log_smooth_window=3"))
        run.fit()
        assert len(run.recent) == 3
        assert all(value.stop_gradient for losses in run.recent for value in losses.values())

    def test_two_runs_are_equal(self, plan, scores):
        first, second = Trainer(plan()), Trainer(plan("Global.save_model_dir=other"))
        first.fit(), second.fit()
        assert weights(first.model) == weights(second.model)

    def test_another_seed_is_another_run(self, plan, scores):
        first, second = Trainer(plan()), Trainer(plan("Global.save_model_dir=other", "Global.seed=7"))
        assert weights(first.model) != weights(second.model)


class TestAccumulate:
    """Eight pictures, batches of two, three batches a step: steps of three and of one batch."""

    def test_everything_counts_steps(self, plan, scores):
        run = Trainer(plan("Global.accumulate=3", "Global.eval_batch_step=3"))
        run.fit()
        assert steps_of("train") == [1, 2, 3, 4]
        assert steps_of("eval") == [3, 4]
        rates = [row["lr"] for row in run.run_log.rows("train")]
        assert rates == pytest.approx([0.0005 * (1 + np.cos(np.pi * step / 4)) for step in range(4)])
        assert (run.epoch, run.global_step) == (2, 4)

    def test_batches_come_in_groups_that_end_with_the_epoch(self, plan, scores):
        class Counting(Trainer):
            def step(self, *batches):
                groups.append([len(batch["image"]) for batch in batches])
                return super().step(*batches)

        groups: list[list[int]] = []
        Counting(plan("Global.accumulate=2", "Train.loader.batch_size_per_card=3")).fit()
        assert groups == [[3, 3], [2]] * 2

    @pytest.mark.parametrize("sizes", [(1, 1), (2, 1), (1, 2, 3)])
    def test_equals_one_large_batch_where_the_loss_is_a_mean_over_pictures(self, plan, sizes):
        """No batch norm, and not DBLoss, whose dice and hard negatives look at the whole batch."""

        def trained(*batches: dict) -> tuple[dict[str, float], np.ndarray]:
            paddle.seed(0)
            run.model = run.network = paddle.nn.Conv2D(3, 1, 3)
            run.loss = lambda maps, batch: {"loss": (maps * batch["factor"]).square().mean()}
            run.optimizer = paddle.optimizer.SGD(0.1, run.model.parameters())
            losses = run.step(*batches)
            return losses["loss"].item(), run.model.weight.numpy()

        run = Trainer(plan())
        draw = np.random.default_rng(0).normal
        batches = [
            {
                "image": paddle.to_tensor(draw(size=(size, 3, 8, 8)).astype("float32")),
                "factor": paddle.to_tensor(draw(size=(size, 1, 1, 1)).astype("float32")),
            }
            for size in sizes
        ]
        together = {key: paddle.concat([batch[key] for batch in batches]) for key in batches[0]}
        (loss, weight), (expected_loss, expected_weight) = trained(*batches), trained(together)
        assert loss == pytest.approx(expected_loss, rel=1e-6)
        np.testing.assert_allclose(weight, expected_weight, rtol=0, atol=1e-6)

    def test_training_with_it_loses_about_as_much(self, plan, scores):
        """Each step has the same pictures in one batch or in two; batch norm and dice see them apart."""
        losses = []
        for folder, size, count in (("together", 4, 1), ("apart", 2, 2)):
            run = Trainer(plan(
                f"Train.loader.batch_size_per_card={size}", f"Global.accumulate={count}",
                f"Global.save_model_dir={folder}", "Global.epoch_num=4",
            ))  # fmt: skip
            run.fit()
            losses.append([row["loss"] for row in run.run_log.rows("train")])
        np.testing.assert_allclose(losses[1], losses[0], rtol=0.05)

    def test_stopped_in_an_epoch_and_resumed_equals_undisturbed(self, plan, scores):
        accumulate = "Global.accumulate=2", "Train.loader.batch_size_per_card=1"
        whole = Trainer(plan(*accumulate, "Global.save_model_dir=whole"))
        whole.fit()
        run = stopped_at(plan, 6, *accumulate)
        assert (run.epoch, run.batch_in_epoch, state()["batch_in_epoch"]) == (1, 4, 4)
        resumed = Trainer(plan(*accumulate), resume=True)
        resumed.fit()
        assert weights(resumed.model) == weights(whole.model)

    def test_another_number_is_refused_in_the_middle_of_an_epoch(self, plan, scores):
        stopped_at(plan, 1, "Global.accumulate=2")
        with pytest.raises(DetError, match=r"an epoch of 4 batches of 2, 2 a step, now it has 4 batches of 2: the pla"):
            Trainer(plan(), resume=True)

    def test_a_bad_sample_is_found_before_the_first_gradient(self, plan, scores):
        run = Trainer(plan())
        good, bad = next(iter(run.train_loader)), {"bad": Ragged([BadSample("a.jpg", "labels.txt:1", "broken")])}
        with pytest.raises(DetError, match=r"a\.jpg"):
            run.step(good, bad)
        assert all(weight.grad is None for weight in run.model.parameters())


class TestEvalEngine:
    @pytest.mark.parametrize("engine", ["paddle", "onnxruntime", "openvino"])
    def test_training_goes_on_to_the_same_bits(self, engine, plan, monkeypatch):
        pytest.importorskip(engine)
        monkeypatch.setattr(RunLog, "draw_curves", lambda self: None)
        often = EMA, "Global.eval_batch_step=2", "PostProcess.thresh=0.01", "PostProcess.box_thresh=0.01"
        plain = Trainer(plan(*often, "Global.save_model_dir=plain"))
        expected = plain.fit()
        run = Trainer(plan(*often, f"Global.eval_engine={engine}"))
        best = run.fit()
        assert weights(run.model) == weights(plain.model)
        assert state()["random_states"] == state(folder="plain")["random_states"]
        assert expected["found"] > 0
        assert abs(best["hmean"] - expected["hmean"]) <= 0.002
        assert best["step"] == expected["step"]

    @pytest.mark.parametrize("average", ["true", "false"])
    def test_evaluates_the_weights_of_the_moment(self, average, plan, scores):
        run = Trainer(plan(f"Global.use_ema={average}", "Global.eval_engine=paddle"))
        picture = paddle.rand([1, 3, 64, 64])
        before = run._predictor()(picture)["maps"]
        run.fit()
        expected = trainer.predict_with(run.ema.model if run.ema else run.model)(picture)["maps"].numpy()
        found = run._predictor()(picture)["maps"]
        assert isinstance(found, np.ndarray), "it did come from the engine"
        assert np.abs(found - expected).max() < 1e-4
        assert np.abs(found - before).max() > 1e-3

    def test_what_is_missing_is_told_before_training_and_leaves_no_folder(self, plan, monkeypatch):
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(DetError, match="the engine onnxruntime is not installed") as caught:
            Trainer(plan("Global.eval_engine=onnxruntime"))
        assert str(caught.value).endswith('Run: pip install "ppdet_db[onnx]"')
        assert not Path("run").exists()


EMA = "Global.use_ema=true"


class TestAverage:
    def test_is_what_evaluates_and_does_not_touch_training(self, plan, scores):
        plain = Trainer(plan("Global.save_model_dir=plain"))
        plain.fit()
        run = Trainer(plan(EMA, "Global.eval_batch_step=1"))
        run.fit()
        assert weights(run.model) == weights(plain.model)
        picture = paddle.rand([1, 3, 64, 64])
        averaged, last = run._predictor()(picture)["maps"], trainer.predict_with(run.model)(picture)["maps"]
        assert np.array_equal(averaged, run.ema.model(picture)["maps"])
        assert not np.array_equal(averaged, last)
        assert run.ema.step == 8

    def test_later_evaluation_of_the_checkpoint_gives_what_training_printed(self, plan, lines):
        low = "PostProcess.thresh=0.01", "PostProcess.box_thresh=0.01"  # so that something is found
        best = Trainer(plan(EMA, *low)).fit()
        checked = plan(*low, "Global.checkpoints=run/best_accuracy")
        model = load_trained(checked)
        assert "weights: run/best_accuracy: 245 of 245 arrays loaded; these are the averages (use_ema)" in lines
        loader = build.loader_of(checked, train=False)
        postprocess, metric = build.build_postprocess(checked.postprocess), build.build_metric(checked.metric)
        values = evaluate(trainer.predict_with(model), loader, postprocess, metric)
        assert best["found"] > 0
        assert {**values, "fps": 0, "step": 0} == {**best, "fps": 0, "step": 0}

    def test_the_checkpoint_holds_both(self, plan, scores):
        run = Trainer(plan(EMA))
        run.fit()
        for file, model in (("model", run.ema.model), ("training", run.model)):
            held = checkpoint._read(Path(f"run/latest/{file}.safetensors"))
            assert {name: value.numpy().tolist() for name, value in held.items()} == weights(model)

    def test_pretrained_weights_are_the_averages_and_the_next_average_starts_with_them(self, plan, scores, lines):
        first = stopped_at(plan, 3, EMA, "Global.save_model_dir=first")
        run = Trainer(plan(EMA, "Global.pretrained_model=first/latest"))
        assert "pretrained: first/latest: 245 of 245 arrays loaded; these are the averages (use_ema)" in lines
        assert weights(run.model) == weights(first.ema.model) == weights(run.ema.model)
        assert run.ema.step == 0

    def test_resumed_equals_undisturbed(self, plan, scores):
        how = EMA, "Global.ema_decay_type=exponential", "Global.ema_gamma=3", "Global.ema_decay=0.9"
        whole = Trainer(plan(*how, "Global.save_model_dir=whole"))
        whole.fit()
        stopped_at(plan, 3, *how)
        resumed = Trainer(plan(*how), resume=True)
        resumed.fit()
        assert weights(resumed.model) == weights(whole.model)
        assert weights(resumed.ema.model) == weights(whole.ema.model)
        assert state()["ema"] == state(folder="whole")["ema"]
        assert state()["ema"]["step"] == 8

    def test_without_the_file_of_the_weights_to_train_on_it_does_not_resume_from_the_averages(self, plan, scores):
        stopped_at(plan, 3, EMA)
        Path("run/latest/training.safetensors").unlink()
        with pytest.raises(DetError) as caught:
            Trainer(plan(EMA), resume=True)
        assert str(caught.value) == (
            "run/latest: was saved with use_ema, but its training.safetensors is gone: restore the file"
        )

    def test_turned_on_at_a_resume_begins_with_the_weights_of_that_step(self, plan, scores, lines):
        stopped_at(plan, 3)
        run = Trainer(plan(EMA), resume=True)
        assert lines[-1] == "use_ema is on now and was off before: the average begins after step 3"
        assert weights(run.ema.model) == weights(run.model)
        run.fit()
        assert state()["ema"]["step"] == 5

    def test_turned_off_at_a_resume_goes_on_with_the_weights_themselves(self, plan, scores, lines):
        whole = Trainer(plan("Global.save_model_dir=whole"))
        whole.fit()
        stopped_at(plan, 3, EMA)
        run = Trainer(plan(), resume=True)
        assert lines[-1] == (
            "use_ema is off now and was on before: the averages in run/latest are left behind, later scores are of the "
            "weights themselves"
        )
        run.fit()
        assert weights(run.model) == weights(whole.model)
        assert not Path("run/latest/training.safetensors").exists()


class TestDivergence:
    @pytest.mark.parametrize(
        ("bad", "named"),
        [
            ({"loss": np.nan}, "loss is nan"),
            ({"loss": np.nan, "loss_threshold_maps": np.nan}, "loss_threshold_maps is nan"),
            ({"loss": np.inf, "loss_binary_maps": np.inf}, "loss_binary_maps is inf"),
            (
                {"loss": np.nan, "loss_shrink_maps": np.inf, "loss_binary_maps": -np.inf},
                "loss_shrink_maps is inf, loss_binary_maps is -inf",
            ),
        ],
    )
    def test_names_the_loss_and_saves_nothing(self, plan, scores, bad, named):
        class Diverging(Trainer):
            def step(self, batch):
                losses = super().step(batch)
                replaced = bad if self.global_step + 1 == 6 else {}
                return losses | {name: paddle.to_tensor(float(value)) for name, value in replaced.items()}

        run = Diverging(plan("Global.print_batch_step=100"))
        with pytest.raises(DetError) as error:
            run.fit()
        assert str(error.value) == (
            f"{named} at step 6: training has diverged and stops; the checkpoints in run are from before. Try a lower "
            "learning rate, a longer warm-up (lr.warmup_epoch) or Optimizer.clip_norm_global."
        )
        assert state()["global_step"] == 4
        assert Path("run/train.log").read_text().rstrip().endswith(f"ended by DetError: {error.value}")

    def test_is_found_at_the_next_line(self, plan, scores):
        class Diverging(Trainer):
            def step(self, batch):
                return super().step(batch) | {"loss": paddle.to_tensor(np.nan)}

        run = Diverging(plan("Global.print_batch_step=2"))
        with pytest.raises(DetError, match="loss is nan at step 1"):
            run.fit()
        assert run.global_step == 2

    def test_weights_that_a_gradient_has_spoilt_are_not_saved(self, plan, scores):
        class Spoiling(Trainer):
            def step(self, batch):
                losses = super().step(batch)
                if self.global_step + 1 == 8:
                    self.model.backbone.conv.bn.weight.set_value(
                        paddle.full_like(self.model.backbone.conv.bn.weight, np.nan)
                    )
                return losses

        with pytest.raises(DetError) as error:
            Spoiling(plan()).fit()
        assert str(error.value).startswith(
            "the weight backbone.conv.bn.weight is not finite after step 8: training has"
        )
        assert state()["global_step"] == 4


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_sample_stops_the_run_by_name(drawn, plan, workers):
    config = yaml.safe_load(drawn.read_text())
    Path("labels.txt").write_text("drawn.yml\t[]\n")
    dataset = {"name": "SimpleDataSet", "data_dir": ".", "label_file_list": ["labels.txt"]}
    config["Train"]["dataset"] = dataset | {"transforms": config["Train"]["dataset"]["transforms"]}
    drawn.write_text(yaml.safe_dump(config))
    run = Trainer(plan(f"Train.loader.num_workers={workers}"))
    with pytest.raises(DetError, match=r"labels\.txt:1: .*drawn\.yml: "):
        run.fit()
    assert not Path("run/latest").exists()


class TestBest:
    def test_is_the_best_and_the_first_of_equals(self, plan, scores):
        scores += [0.1, 0.5, 0.3, 0.5]
        best = Trainer(plan("Global.eval_batch_step=2")).fit()
        assert best == {"hmean": 0.5, "fps": 1.0, "step": 4}
        assert state("best_accuracy")["global_step"] == 4
        assert state("best_accuracy")["best"]["step"] == 4
        assert state("latest")["global_step"] == 8

    def test_is_kept_over_a_resume(self, plan, scores):
        scores += [0.5, 0.4]
        stopped_at(plan, 5, "Global.eval_batch_step=4")
        best = Trainer(plan("Global.eval_batch_step=4"), resume=True).fit()
        assert best["step"] == 4
        assert state("best_accuracy")["global_step"] == 4

    def test_evaluation_of_zero_is_saved_too(self, plan, scores):
        Trainer(plan()).fit()
        assert state("best_accuracy")["best"]["hmean"] == 0.0


class TestStop:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_saves_latest_and_says_how_to_go_on(self, plan, scores, lines, number):
        before = signal.getsignal(number)
        run = StopAt(plan())
        run.at, run.number = 6, number
        run.fit()
        assert lines[-1] == (
            f"stopped by {number.name} after step 6; run/latest is saved. "
            "The same command with --resume goes on from here."
        )
        assert {key: state()[key] for key in ("epoch", "batch_in_epoch", "global_step")} == {
            "epoch": 1, "batch_in_epoch": 2, "global_step": 6,
        }  # fmt: skip
        assert signal.getsignal(number) is before

    def test_resumed_equals_undisturbed(self, plan, scores):
        whole = Trainer(plan("Global.save_model_dir=whole"))
        whole.fit()
        stopped_at(plan, 3)
        resumed = Trainer(plan(), resume=True)
        resumed.fit()
        assert weights(resumed.model) == weights(whole.model)

    def test_fit_goes_on_in_the_same_process(self, plan, scores):
        whole = Trainer(plan("Global.save_model_dir=whole"))
        whole.fit()
        run = stopped_at(plan, 3)
        run.fit()
        assert weights(run.model) == weights(whole.model)
        assert steps_of("train") == list(range(1, 9))

    @pytest.mark.parametrize(
        ("overrides", "stopped", "evaluated"),
        [(["Global.eval_batch_step=3"], 3, [3, 6, 8]), ([], 8, [8])],
        ids=["on the way", "the last"],
    )
    def test_in_an_evaluation_ends_it_at_once_and_the_resume_makes_it(
        self, plan, monkeypatch, overrides, stopped, evaluated
    ):
        predicted = []

        def predict_with(model):
            def predict(images):
                predicted.append(images)
                if len(predicted) == 2:
                    os.kill(os.getpid(), signal.SIGINT)
                return {"maps": paddle.zeros([1, 1, 64, 64])}

            return predict

        monkeypatch.setattr(trainer, "predict_with", predict_with)
        Trainer(plan(*overrides)).fit()
        assert len(predicted) == 2  # of three pictures
        assert state()["global_step"] == stopped
        assert steps_of("eval") == []

        Trainer(plan(*overrides), resume=True).fit()
        assert steps_of("eval") == evaluated

    def test_fit_in_a_thread_takes_no_signals(self, plan, scores):
        run, failed = Trainer(plan()), []

        def fit():
            try:
                run.fit()
            except Exception as error:
                failed.append(error)

        thread = threading.Thread(target=fit)
        thread.start()
        thread.join()
        assert failed == []
        assert state()["global_step"] == 8


def test_a_metric_that_gives_nothing_but_nan_has_no_best(plan, scores, lines):
    scores += [float("nan")] * 8
    assert Trainer(plan()).fit() == {}
    assert lines[-1] == "finished: 2 epochs, 8 steps; no best hmean yet"


@pytest.mark.parametrize("kind", ["5", "", None])
def test_says_which_way_matrix_products_go(kind, plan, scores, lines, monkeypatch):
    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", kind or "")
    if kind is None:
        monkeypatch.delenv("MKL_DEBUG_CPU_TYPE")
    Trainer(plan())
    told = [line for line in lines if "MKL_DEBUG_CPU_TYPE is 5" in line]
    assert len(told) == (kind == "5")


class TestResume:
    def test_of_an_empty_folder_starts_and_says_so(self, plan, scores, lines):
        Trainer(plan(), resume=True).fit()
        assert lines[0] == "nothing to resume: there is no run/latest, so training starts at step 0"
        assert state()["global_step"] == 8

    def test_says_which_of_two_checkpoints_it_takes(self, plan, scores, lines):
        Trainer(plan()).fit()
        Trainer(plan("Global.checkpoints=run/best_accuracy"), resume=True)
        assert "note: --resume goes on from run/latest; Global.checkpoints (run/best_accuracy) is not read" in lines

    def test_of_a_finished_run_does_nothing(self, plan, scores, lines):
        scores += [0.25]
        Trainer(plan()).fit()
        best = Trainer(plan(), resume=True).fit()
        assert best == {"hmean": 0.25, "fps": 1.0, "step": 8}
        assert steps_of("train") == list(range(1, 9))
        assert steps_of("eval") == [8]
        assert lines[-1] == "finished: 2 epochs, 8 steps; best hmean 0.2500 at step 8"

    def test_with_more_epochs_goes_on(self, plan, scores, lines):
        Trainer(plan()).fit()
        lines.clear()
        Trainer(plan("Global.epoch_num=3"), resume=True).fit()
        assert "changed since the run began: Global.epoch_num: 2 -> 3" in lines
        assert steps_of("eval") == [8, 12]
        assert state()["epoch"] == 3

    def test_takes_a_changed_rate(self, plan, scores, lines):
        stopped_at(plan, 4, "Optimizer.lr={name: Const, learning_rate: 0.001}")
        run = Trainer(plan("Optimizer.lr={name: Const, learning_rate: 0.25}"), resume=True)
        assert "changed since the run began: Optimizer.lr.learning_rate: 0.001 -> 0.25" in lines
        assert run.optimizer.get_lr() == 0.25
        run.fit()
        assert [row["lr"] for row in run.run_log.rows("train")] == [0.001] * 4 + [0.25] * 4

    def test_of_an_unchanged_config_notes_nothing(self, plan, scores, lines):
        stopped_at(plan, 2, "Optimizer.lr.learning_rate=1e-6")
        Trainer(plan("Optimizer.lr.learning_rate=1e-6"), resume=True)
        assert [line for line in lines if line.startswith("changed")] == []

    def test_with_another_batch_size_is_refused_in_the_middle_of_an_epoch_only(self, plan, scores):
        stopped_at(plan, 2)
        with pytest.raises(DetError) as error:
            Trainer(plan("Train.loader.batch_size_per_card=4"), resume=True)
        assert str(error.value) == (
            "run/latest: saved in the middle of an epoch of 4 batches of 2, now it has 2 batches of 4: the place in it "
            "cannot be found again. Use the old data, batch_size_per_card, accumulate and number of processes, or a "
            "checkpoint from the end of an epoch."
        )
        Trainer(plan(), resume=True).fit()
        Trainer(plan("Global.epoch_num=3", "Train.loader.batch_size_per_card=4"), resume=True).fit()
        assert state()["global_step"] == 8 + 2

    def test_that_fails_leaves_the_config_of_the_run(self, plan, scores):
        stopped_at(plan, 2)
        before = Path("run/config.yml").read_text()
        with pytest.raises(DetError, match="another architecture"):
            Trainer(plan("Architecture.Neck.out_channels=32"), resume=True)
        assert Path("run/config.yml").read_text() == before

    def test_restores_global_random_states(self, plan, scores):
        run = StopAt(plan())
        run.at = 2
        np.random.random(3), paddle.rand([3])  # as a component of a user's may
        run.fit()
        expected = np.random.random(), paddle.rand([1]).item()
        Trainer(plan(), resume=True)
        assert (np.random.random(), paddle.rand([1]).item()) == expected


class TestStart:
    def test_in_the_folder_of_another_run_is_refused(self, plan, scores):
        stopped_at(plan, 2)
        with pytest.raises(DetError) as error:
            Trainer(plan())
        assert str(error.value) == (
            "run: holds the checkpoints of another run. Go on with it by --resume, or choose another folder with "
            "-o Global.save_model_dir=..."
        )

    def test_a_folder_with_a_killed_save_is_one_of_another_run_too(self, plan, scores):
        stopped_at(plan, 2)
        os.rename("run/latest", "run/latest.previous")
        with pytest.raises(DetError, match="another run"):
            Trainer(plan())

    def test_other_files_do_not_disturb(self, plan, scores):
        Path("run").mkdir()
        Path("run/notes.txt").write_text("mine")
        Trainer(plan()).fit()
        assert Path("run/notes.txt").read_text() == "mine"

    @pytest.mark.parametrize(
        ("folder", "reason"),
        [
            ("drawn.yml", "File exists"),
            ("drawn.yml/run", "Not a directory"),
            ("/proc/run", "No such file or directory"),
        ],
    )
    def test_a_folder_that_cannot_be_made(self, plan, folder, reason):
        with pytest.raises(DetError) as error:
            Trainer(plan(f"Global.save_model_dir={folder}"))
        assert str(error.value) == (
            f"{folder}: the output folder cannot be written ({reason}). Choose another one with "
            "-o Global.save_model_dir=..."
        )

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone without permission")
    @pytest.mark.parametrize("mode", [0o755, 0o700], ids=["not written", "not even entered"])
    def test_a_folder_without_permission(self, plan, tmp_path, mode):
        checked = plan("Global.save_model_dir=closed/run")
        Path("closed").mkdir(mode=mode)
        os.seteuid(65534)
        try:
            with pytest.raises(DetError) as error:
                Trainer(checked)
        finally:
            os.seteuid(0)
        assert str(error.value).startswith("closed/run: the output folder cannot be written (Permission denied)")

    def test_pretrained_weights(self, plan, scores, lines):
        stopped_at(plan, 2, "Global.save_model_dir=first")
        run = Trainer(plan("Global.pretrained_model=first/latest"))
        assert "pretrained: first/latest: 245 of 245 arrays loaded" in lines
        given = checkpoint._read(Path("first/latest/model.safetensors"))
        assert weights(run.model) == {name: value.numpy().tolist() for name, value in given.items()}
        assert run.global_step == 0

    def test_pretrained_weights_of_another_neck(self, plan, scores, lines):
        stopped_at(plan, 2, "Global.save_model_dir=first")
        Trainer(plan("Global.pretrained_model=first/latest", "Architecture.Neck.out_channels=48"))
        (report,) = [line for line in lines if line.startswith("pretrained: ")]
        assert re.search(r"\d+ of 245 arrays loaded; \d+ of another shape \(neck\.", report)

    def test_missing_weights(self, plan):
        with pytest.raises(DetError, match=r"^nowhere: there is no such folder"):
            Trainer(plan("Global.pretrained_model=nowhere"))


class TestGlobalCheckpoints:
    def test_of_another_run_goes_on_in_a_new_folder_where_best_begins_anew(self, plan, scores):
        scores += [0.9]
        stopped_at(plan, 5, "Global.save_model_dir=first", "Global.eval_batch_step=4")
        scores += [0.1]
        run = Trainer(plan("Global.checkpoints=first/latest"))
        assert (run.epoch, run.batch_in_epoch, run.global_step) == (1, 1, 5)
        assert run.fit() == {"hmean": 0.1, "fps": 1.0, "step": 8}
        assert state("best_accuracy")["global_step"] == 8
        assert state(folder="first")["global_step"] == 5

    def test_of_the_own_folder_goes_back_to_it(self, plan, scores):
        Trainer(plan("Global.save_epoch_step=1")).fit()
        run = Trainer(plan("Global.checkpoints=run/iter_epoch_1"))
        assert run.global_step == 4
        run.fit()
        assert [row["step"] for row in run.run_log.rows("train")] == list(range(1, 9))

    def test_resume_prefers_latest(self, plan, scores):
        Trainer(plan("Global.save_epoch_step=1")).fit()
        assert Trainer(plan("Global.checkpoints=run/iter_epoch_1"), resume=True).global_step == 8

    def test_resume_of_an_empty_folder_takes_the_given_one(self, plan, scores):
        stopped_at(plan, 3, "Global.save_model_dir=first")
        assert Trainer(plan("Global.checkpoints=first/latest"), resume=True).global_step == 3

    def test_of_another_run_is_not_mixed_into_this_one(self, plan, scores):
        stopped_at(plan, 3, "Global.save_model_dir=first")
        stopped_at(plan, 3)
        with pytest.raises(DetError, match=r"^run: holds the checkpoints of another run"):
            Trainer(plan("Global.checkpoints=first/latest"))

    def test_missing(self, plan):
        with pytest.raises(DetError, match=r"^first/latest: there is no such folder"):
            Trainer(plan("Global.checkpoints=first/latest"))
        assert not Path("run").exists()


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, ["a.c: 2 -> 3"]),
        ({"a": [1, 2]}, {"a": [1, 3]}, ["a: [1, 2] -> [1, 3]"]),
        ({}, {"a": {"b": 1}}, ["a: None -> {'b': 1}"]),
        ({"a": 1, "b": 2}, {"c": 3}, ["a: 1 -> None", "b: 2 -> None", "c: None -> 3"]),
    ],
)
def test_differences(old, new, lines):
    assert differences(old, new) == lines


def test_a_slow_reader_is_told_once(plan, scores, lines, monkeypatch):
    monkeypatch.setattr(trainer, "HELD_UP_STEPS", 3)
    monkeypatch.setattr(trainer.Timer, "HELD_UP", 1.0)  # never
    Trainer(plan("Global.save_model_dir=quiet")).fit()
    assert "bottleneck" not in "".join(lines)
    monkeypatch.setattr(trainer.Timer, "HELD_UP", 0.0)  # always
    Trainer(plan()).fit()
    told = [(number, line) for number, line in enumerate(lines) if "bottleneck" in line]
    assert len(told) == 1
    number, line = told[0]
    assert "step 4," in lines[number - 1]  # the first that begins after three have waited
    assert re.fullmatch(
        r"the reader has been the bottleneck for 3 steps in a row\. It takes \d+\.\d ms a picture, \d+\.\d of them in "
        r"(read|decode and warp|[A-Z]\w+): raise Train\.loader\.num_workers, which is 0\. "
        r"tools/profile_data\.py tells more",
        line,
    )


def test_looking_at_a_slow_reader_draws_no_random_number_of_the_training(plan, scores, monkeypatch):
    monkeypatch.setattr(trainer.Timer, "HELD_UP", 0.0)
    numbers = []
    for steps in (100, 3):
        monkeypatch.setattr(trainer, "HELD_UP_STEPS", steps)
        monkeypatch.setattr(trainer, "transform_seconds", lambda *given: {"read": np.random.rand()})
        Trainer(plan(f"Global.save_model_dir=run{steps}")).fit()
        numbers.append(np.random.rand())
    assert numbers[0] == numbers[1]
