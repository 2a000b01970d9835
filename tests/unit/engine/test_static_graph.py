"""Training as a static graph: the losses of the network itself, which stays what it is."""

import copy
import json
from pathlib import Path

import numpy as np
import paddle
import pytest

from ppdet_db.engine import Trainer
from ppdet_db.engine.build import build_model, trained_as
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


def test_not_in_several_processes(plan, monkeypatch):
    monkeypatch.setattr(paddle.distributed, "get_world_size", lambda: 2)
    with pytest.raises(DetError, match=r"^Global\.to_static is not supported in several processes"):
        trained_as(build_model(plan().architecture), to_static=True)
