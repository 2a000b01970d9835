"""Freezing: which parameters and statistics stay, what an entry means, and what is wrong with one."""

from pathlib import Path

import numpy as np
import paddle
import pytest

from ppdet_db.engine import Trainer, checkpoint, trainer
from ppdet_db.engine.log import RunLog
from ppdet_db.errors import ConfigError

STATISTICS = ("_mean", "_variance")


@pytest.fixture(autouse=True)
def cheap_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluation sets the network's mode, as a real one does, and no more."""

    def evaluate(predict, *rest):
        predict(paddle.zeros([1, 3, 64, 64]))
        return {"hmean": 0.0, "fps": 1.0}

    monkeypatch.setattr(trainer, "evaluate", evaluate)
    monkeypatch.setattr(RunLog, "draw_curves", lambda self: None)


def log() -> str:
    return Path("run/train.log").read_text()


def values(run: Trainer) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in run.model.state_dict().items()}


def changed(run: Trainer) -> set[str]:
    """The names of what training changes."""
    before = values(run)
    run.fit()
    return {name for name, value in values(run).items() if not np.array_equal(value, before[name])}


DECAY = "Optimizer.regularizer={name: L2, factor: 0.1}"  # moves whatever the optimizer has


class TestParameters:
    @pytest.mark.parametrize("optimizer", ["Adam", "AdamW", "Momentum"])
    def test_stay_while_statistics_and_the_others_move(self, plan, optimizer):
        run = Trainer(plan("Global.freeze=[backbone, neck.p5_conv]", DECAY, f"Optimizer.name={optimizer}"))
        frozen = {
            name
            for name in values(run)
            if name.startswith(("backbone.", "neck.p5_conv.")) and not name.endswith(STATISTICS)
        }
        moved = changed(run)
        assert moved & frozen == set()
        assert {"backbone.conv.bn._mean", "neck.p4_conv.weight", "head.binarize.conv1.weight"} <= moved
        moments = {key.partition("/")[0] for key in checkpoint._read(run.folder / "latest/optimizer.safetensors")}
        assert moments & frozen == set()
        assert "neck.p4_conv.weight" in moments

    def test_have_no_gradient(self, plan):
        run = Trainer(plan("Global.freeze=[backbone]"))
        run.model(paddle.rand([1, 3, 64, 64]))["maps"].sum().backward()
        with_gradient = {name for name, value in run.model.named_parameters() if value.grad is not None}
        assert with_gradient
        assert not [name for name in with_gradient if name.startswith("backbone.")]

    def test_the_average_of_what_is_frozen_is_what_it_was(self, plan):
        run = Trainer(plan("Global.freeze=[backbone]", "Global.use_ema=true"))
        before = run.model.backbone.conv.conv.weight.numpy()
        run.fit()
        assert np.array_equal(run.ema.model.backbone.conv.conv.weight.numpy(), before)

    def test_are_counted_in_the_log(self, plan):
        Trainer(plan("Global.freeze=[head]", "Global.freeze_norm=[head]"))
        text = log()
        assert "frozen: 18 of 167 parameters\n" in text
        assert "frozen: 4 of 39 batch norms' running statistics\n" in text


class TestNorms:
    def test_keep_their_statistics_over_evaluations_and_train_their_weights(self, plan):
        moved = changed(Trainer(plan("Global.freeze_norm=true", "Global.eval_batch_step=1")))
        assert not [name for name in moved if name.endswith(STATISTICS)]
        assert "backbone.conv.bn.weight" in moved

    def test_under_a_prefix(self, plan):
        moved = changed(Trainer(plan("Global.freeze_norm=[backbone.conv]")))
        statistics = {name for name in moved if name.endswith("._mean")}
        assert "backbone.conv.bn._mean" not in statistics
        assert "backbone.stage0.0.expand_conv.bn._mean" in statistics
        assert "head.binarize.conv_bn1._mean" in statistics

    @pytest.mark.parametrize(("option", "alone"), [("true", True), ("false", False)])
    def test_use_them_so_that_a_picture_does_not_see_its_batch(self, plan, option, alone):
        run = Trainer(plan(f"Global.freeze_norm={option}"))
        run.fit()
        run.model.train()
        pictures = paddle.to_tensor(np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype("float32"))
        together, one = run.model(pictures)["maps"][:1].numpy(), run.model(pictures[:1])["maps"].numpy()
        assert np.allclose(together, one, atol=1e-5) == alone

    def test_with_their_parameters_nothing_moves(self, plan):
        moved = changed(Trainer(plan("Global.freeze=[backbone]", "Global.freeze_norm=[backbone]", DECAY)))
        assert moved
        assert not [name for name in moved if name.startswith("backbone.")]


@pytest.mark.parametrize(
    ("written", "messages"),
    [
        ("freeze: [neck.p5]", ["drawn.yml:2: Global.freeze: there is no parameter that is trained under 'neck.p5'. Did "
                               "you mean 'neck.p5_conv'?"]),
        ("freeze: [encoder]", ["drawn.yml:2: Global.freeze: there is no parameter that is trained under 'encoder'. "
                               "Known: backbone, head, neck."]),
        ("freeze: [backbone.conv.bn._mean]", ["drawn.yml:2: Global.freeze: there is no parameter that is trained under "
                                              "'backbone.conv.bn._mean'. Did you mean 'backbone.conv.bn'?"]),
        ("freeze: [backbone, nec, hed]", [
            "drawn.yml:2: Global.freeze: there is no parameter that is trained under 'nec'. Did you mean 'neck'?",
            "drawn.yml:2: Global.freeze: there is no parameter that is trained under 'hed'. Did you mean 'head'?",
        ]),
        ("freeze_norm: [neck]", ["drawn.yml:2: Global.freeze_norm: there is no batch norm under 'neck'. Known: "
                                 "backbone, head."]),
        ("freeze: [backbone, neck, head]", ["drawn.yml:2: Global.freeze: every parameter is frozen: there is nothing "
                                            "left to train"]),
    ],
)  # fmt: skip
def test_what_is_wrong(drawn, plan, written, messages):
    drawn.write_text(drawn.read_text().replace("Global:\n", f"Global:\n  {written}\n"))
    with pytest.raises(ConfigError) as caught:
        Trainer(plan())
    assert caught.value.problems == messages


class TestResume:
    @staticmethod
    def resumed(plan, first: str, second: str) -> tuple[Trainer, str]:
        """A run of one epoch, gone on with for another; and what the second logs."""
        Trainer(plan("Global.epoch_num=1", first, DECAY)).fit()
        already = len(log())
        run = Trainer(plan(second, DECAY), resume=True)
        run.fit()
        return run, log()[already:]

    def test_with_the_same(self, plan):
        whole = Trainer(plan("Global.freeze=[backbone]", DECAY, "Global.save_model_dir=whole"))
        whole.fit()
        stopping = Trainer(plan("Global.freeze=[backbone]", DECAY))
        step = stopping.step

        def stop_after_3(*batches):
            stopping.stop.number = 2 if stopping.global_step == 2 else None
            return step(*batches)

        stopping.step = stop_after_3
        stopping.fit()
        assert stopping.global_step == 3
        resumed = Trainer(plan("Global.freeze=[backbone]", DECAY), resume=True)
        resumed.fit()
        assert all(np.array_equal(value, values(whole)[name]) for name, value in values(resumed).items())
        assert "moments" not in log()

    def test_a_weight_that_the_network_never_uses_is_no_news(self, plan):
        """PPLCNetV3 has some, because every weights file has them; Adam keeps no moments of these."""
        backbone = "Architecture.Backbone={name: PPLCNetV3, scale: 0.35}"
        _, text = self.resumed(plan, backbone, backbone)
        assert "resumed from" in text
        assert "moments" not in text

    def test_newly_frozen(self, plan):
        run, text = self.resumed(plan, "Global.freeze=[]", "Global.freeze=[head]")
        assert (
            "the checkpoint's moments of 18 parameters (head.binarize.conv1.weight, head.binarize.conv_bn1.weight, "
            "head.binarize.conv_bn1.bias, ...) are left out: these are frozen now\n"
        ) in text
        first = checkpoint._read(run.folder / "best_accuracy/model.safetensors")
        assert np.array_equal(values(run)["head.thresh.conv1.weight"], first["head.thresh.conv1.weight"].numpy())
        moments = checkpoint._read(run.folder / "latest/optimizer.safetensors")
        assert not [key for key in moments if key.startswith("head.")]

    def test_no_longer_frozen(self, plan):
        run, text = self.resumed(plan, "Global.freeze=[head]", "Global.freeze=[]")
        assert (
            "no moments of 18 parameters (head.binarize.conv1.weight, head.binarize.conv_bn1.weight, "
            "head.binarize.conv_bn1.bias, ...) in the checkpoint: they begin at zero\n"
        ) in text
        moments = checkpoint._read(run.folder / "latest/optimizer.safetensors")
        powers = {key.partition(".")[0]: value.item() for key, value in moments.items() if "beta1_pow" in key}
        assert powers["head"] == pytest.approx(0.9**5)  # four steps: Paddle keeps the power of the next one
        assert powers["neck"] == pytest.approx(0.9**9)
