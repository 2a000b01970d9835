"""Training as a static graph: the losses of the network itself, which stays what it is."""

import copy
import json
import os
import signal
from pathlib import Path

import numpy as np
import paddle
import pytest

from ppdet_db.engine import Trainer, checkpoint
from ppdet_db.engine.build import build_model, trained_as
from ppdet_db.engine.evaluate import predict_with
from ppdet_db.engine.predictor import through_engine
from ppdet_db.engine.weights import load_trained
from ppdet_db.errors import DetError


def test_static_graph_shares_weights_statistics_and_gradients(plan):
    model = build_model(plan().architecture)
    twin = copy.deepcopy(model)
    graph = trained_as(model, to_static=True)
    x = paddle.randn([2, 3, 64, 64])
    maps, plain = graph(x)["maps"], twin(x)["maps"]
    np.testing.assert_allclose(maps.numpy(), plain.numpy(), atol=1e-5)
    maps.mean().backward()
    plain.mean().backward()
    for (name, weight), other in zip(model.named_parameters(), twin.parameters(), strict=True):
        if weight.stop_gradient:  # running statistics
            np.testing.assert_allclose(weight.numpy(), other.numpy(), atol=1e-5, err_msg=name)
        else:
            bound = 1e-3 * other.grad.abs().max().item() + 1e-7
            np.testing.assert_allclose(weight.grad.numpy(), other.grad.numpy(), atol=bound, err_msg=name)
    model.eval()
    twin.eval()
    assert model(x)["maps"].shape == copy.deepcopy(model)(x)["maps"].shape == [2, 1, 64, 64]
    np.testing.assert_allclose(model(x)["maps"].numpy(), twin(x)["maps"].numpy(), atol=1e-5)


def test_training_with_it_loses_as_much(plan):
    losses = []
    for folder, to_static in (("dynamic", "false"), ("static", "true")):
        Trainer(plan(f"Global.to_static={to_static}", f"Global.save_model_dir={folder}")).fit()
        rows = map(json.loads, Path(folder, "log.jsonl").read_text().splitlines())
        losses.append([row["loss"] for row in rows if row["kind"] == "train"])
    assert len(losses[0]) == 8
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-3)


BESIDE = (
    "Global.use_ema=true",
    "Global.accumulate=2",
    "Train.loader.batch_size_per_card=1",
    "Global.freeze=[backbone]",
    "Global.freeze_norm=[backbone, head]",
    "Global.eval_batch_step=2",
    "Global.eval_engine=paddle",
)


class StopAtThree(Trainer):
    def step(self, *batches):
        if self.global_step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return super().step(*batches)


def arrays(model: paddle.nn.Layer) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in model.state_dict().items()}


def test_stopped_and_resumed_equals_undisturbed_with_all_else_that_holds_weights(plan):
    """The average, accumulated gradients, frozen parts and evaluations of what is exported."""
    whole = Trainer(plan(*BESIDE, "Global.to_static=true", "Global.save_model_dir=whole"))
    before = arrays(whole.model)
    whole.fit()
    StopAtThree(plan(*BESIDE, "Global.to_static=true")).fit()
    assert checkpoint.load_state(Path("run/latest"))["global_step"] == 3
    run = Trainer(plan(*BESIDE, "Global.to_static=true"), resume=True)
    run.fit()
    assert run.global_step == whole.global_step == 8
    for one, other in ((run.model, whole.model), (run.ema.model, whole.ema.model)):
        for name, value in arrays(one).items():
            assert np.array_equal(value, arrays(other)[name]), name
    held = [name for name, value in arrays(run.model).items() if np.array_equal(value, before[name])]
    statistics = [name for name in before if name.endswith(("_mean", "_variance"))]
    assert sorted(held) == sorted(
        name for name in before if name.startswith("backbone") or (name in statistics and name.startswith("head"))
    )


def test_its_checkpoint_is_one_of_the_network_and_can_be_exported(plan):
    run = Trainer(plan("Global.to_static=true"))
    run.fit()
    network = load_trained(plan("Global.checkpoints=run/latest"))
    for name, value in arrays(network).items():
        assert np.array_equal(value, run.model.state_dict()[name].numpy()), name
    picture = paddle.rand([1, 3, 64, 96])
    expected = predict_with(network)(picture)["maps"].numpy()
    np.testing.assert_allclose(predict_with(run.model)(picture)["maps"].numpy(), expected, atol=0)
    np.testing.assert_allclose(through_engine(run.model, "paddle")(picture)["maps"], expected, atol=1e-5)


def test_not_in_several_processes(plan, monkeypatch):
    monkeypatch.setattr(paddle.distributed, "get_world_size", lambda: 2)
    with pytest.raises(DetError, match=r"^Global\.to_static is not supported in several processes"):
        trained_as(build_model(plan().architecture), to_static=True)
