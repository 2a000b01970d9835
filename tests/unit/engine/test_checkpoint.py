"""Checkpoints: what is saved comes back, a crash at any point leaves a whole one, what cannot be used is refused."""

import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from ppdet_db.engine import checkpoint
from ppdet_db.engine.checkpoint import MODEL, OPTIMIZER, STATE
from ppdet_db.errors import CheckpointError
from ppdet_db.optimizer.optimizers import Adam, AdamW, Momentum


def network(out: int = 2) -> nn.Layer:
    return nn.Sequential(("conv", nn.Conv2D(1, 3, 1)), ("norm", nn.BatchNorm2D(3)), ("last", nn.Conv2D(3, out, 1)))


def step(model: nn.Layer, optimizer: paddle.optimizer.Optimizer, number: int) -> None:
    picture = np.random.default_rng(number).normal(size=(2, 1, 4, 4)).astype("float32")
    model(paddle.to_tensor(picture)).square().mean().backward()
    optimizer.step()
    optimizer.clear_grad()


def arrays(model: nn.Layer) -> dict[str, list]:
    return {name: value.numpy().tolist() for name, value in model.state_dict().items()}


def saved(folder: Path, seed: int = 0) -> nn.Layer:
    """A model saved in `folder` with `state` {"seed": seed}."""
    paddle.seed(seed)
    model = network()
    checkpoint.save(folder, model, state={"seed": seed})
    return model


class TestRoundTrip:
    @pytest.mark.parametrize(
        "make",
        [
            lambda parameters: Adam(parameters, learning_rate=0.1),
            lambda parameters: AdamW(parameters, learning_rate=0.1),
            lambda parameters: Momentum(parameters, learning_rate=0.1),
        ],
        ids=["Adam", "AdamW", "Momentum"],
    )
    def test_next_step_is_the_same_bit_for_bit_also_after_another_model_was_built(self, tmp_path, make):
        model = network()
        optimizer = make(dict(model.named_parameters()))
        step(model, optimizer, 1)
        checkpoint.save(tmp_path / "latest", model, optimizer)
        step(model, optimizer, 2)

        network()  # moves on Paddle's counters, by which it names what an optimizer keeps
        again = network()
        resumed = make(dict(again.named_parameters()))
        checkpoint.load_weights(again, tmp_path / "latest", strict=True)
        checkpoint.load_optimizer(again, resumed, tmp_path / "latest")
        step(again, resumed, 2)

        assert next(iter(again.parameters())).name != next(iter(model.parameters())).name
        assert arrays(again) == arrays(model)

    def test_moments_are_named_by_structure(self, tmp_path):
        model = network()
        optimizer = Momentum(dict(model.named_parameters()), learning_rate=0.1)
        step(model, optimizer, 1)

        checkpoint.save(tmp_path / "latest", model, optimizer)

        names = checkpoint._read(tmp_path / "latest" / OPTIMIZER)
        assert set(names) == {
            f"{name}/velocity_0"
            for name in ("conv.weight", "conv.bias", "norm.weight", "norm.bias", "last.weight", "last.bias")
        }

    def test_state_is_json_as_given(self, tmp_path):
        state = {"epoch": 3, "best": {"hmean": 0.5}, "schedule": {"last_epoch": 12}}
        checkpoint.save(tmp_path / "latest", network(), state=state)
        assert checkpoint.load_state(tmp_path / "latest") == state

    def test_arrays_that_are_not_contiguous(self, tmp_path):
        model = nn.Layer()
        model.register_buffer("turned", paddle.arange(6).reshape([2, 3]).T)
        checkpoint.save(tmp_path / "latest", model)
        assert checkpoint._read(tmp_path / "latest" / MODEL)["turned"].tolist() == [[0, 3], [1, 4], [2, 5]]

    def test_files_have_the_usual_permissions(self, tmp_path):
        saved(tmp_path / "latest")
        modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "latest").iterdir()}
        assert modes[MODEL] == modes[STATE]

    def test_random_states(self):
        random.seed(1), np.random.seed(2), paddle.seed(3)
        np.random.normal()  # leaves a second number in store, which is part of the state
        states = json.loads(json.dumps(checkpoint.random_states()))

        def draw() -> tuple:
            return random.random(), np.random.normal(), np.random.random(), paddle.rand([2]).tolist()

        first = draw()
        checkpoint.set_random_states(states)
        assert draw() == first


class Crash(BaseException):
    """No error that the code could catch: what a kill at that place would leave."""


def crash(*args, **kwargs):
    raise Crash


def full(*args, **kwargs):
    raise OSError(28, "No space left on device")


PLACES = {
    "creating the folder": (Path, "mkdir", 1),
    "making the weights": (checkpoint, "to_bytes", 1),
    "writing the weights": (Path, "write_bytes", 1),
    "writing the state": (Path, "write_text", 1),
    "syncing": (checkpoint, "_sync", 1),
    "putting the old one aside": (os, "rename", 1),
    "between the renames": (os, "rename", 2),
    "syncing the parent": (checkpoint, "_sync", 4),
    "removing the old one": (shutil, "rmtree", 3),
}
"""Where saving over an existing checkpoint can be cut: owner, function, which of its calls."""


def save_failing(monkeypatch: pytest.MonkeyPatch, place: str, how, folder: Path, seed: int) -> None:
    """`saved`, where `how` is called instead of what happens at `place`."""
    owner, name, count = PLACES[place]
    original, calls = getattr(owner, name), []

    def counted(*args, **kwargs):
        calls.append(args)
        return (how if len(calls) == count else original)(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, counted)
        saved(folder, seed)


class TestCrash:
    @pytest.mark.parametrize("place", PLACES)
    def test_one_whole_checkpoint_is_left_and_the_next_save_works(self, tmp_path, monkeypatch, place):
        folder = tmp_path / "latest"
        old = saved(folder, seed=1)
        with pytest.raises(Crash):
            save_failing(monkeypatch, place, crash, folder, seed=2)

        state = checkpoint.load_state(folder)
        model = network()
        checkpoint.load_weights(model, folder, strict=True)
        assert state["seed"] == (2 if place in ("syncing the parent", "removing the old one") else 1)
        assert (arrays(model) == arrays(old)) == (state["seed"] == 1)

        saved(folder, seed=3)
        assert checkpoint.find(folder) == folder
        assert checkpoint.load_state(folder)["seed"] == 3
        assert [path.name for path in tmp_path.iterdir()] == ["latest"]

    @pytest.mark.parametrize("place", ["writing the weights", "writing the state", "between the renames"])
    def test_an_error_is_reported_and_the_old_one_is_still_there(self, tmp_path, monkeypatch, place):
        folder = tmp_path / "latest"
        saved(folder, seed=1)
        with pytest.raises(CheckpointError) as error:
            save_failing(monkeypatch, place, full, folder, seed=2)
        assert str(error.value) == f"{folder}: the checkpoint cannot be written: No space left on device"
        assert checkpoint.load_state(folder)["seed"] == 1

    def test_a_second_crash_between_the_renames_still_leaves_one(self, tmp_path, monkeypatch):
        folder = tmp_path / "latest"
        saved(folder, seed=1)
        with pytest.raises(Crash):
            save_failing(monkeypatch, "between the renames", crash, folder, seed=2)
        with pytest.raises(Crash):
            save_failing(monkeypatch, "putting the old one aside", crash, folder, seed=3)  # the only rename now
        assert checkpoint.load_state(folder)["seed"] == 1

    def test_sigkill_between_the_renames(self, tmp_path):
        program = f"""
import os, signal, sys
import paddle
from ppdet_db.engine import checkpoint
model = paddle.nn.Linear(1, 1)
checkpoint.save({str(tmp_path / "latest")!r}, model, state={{"seed": 1}})
rename = os.rename
def killed(old, new):
    if old.name == "latest.writing":
        os.kill(os.getpid(), signal.SIGKILL)
    rename(old, new)
os.rename = killed
checkpoint.save({str(tmp_path / "latest")!r}, model, state={{"seed": 2}})
"""
        root = Path(__file__).parents[3]
        result = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, check=False)
        assert result.returncode == -signal.SIGKILL, result.stderr.decode()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["latest.previous", "latest.writing"]
        assert checkpoint.find(tmp_path / "latest") == tmp_path / "latest.previous"
        assert checkpoint.load_state(tmp_path / "latest") == {"seed": 1}


class TestFind:
    def test_reading_changes_nothing_so_that_eval_may_run_beside_a_training(self, tmp_path):
        saved(tmp_path / "latest.previous")
        checkpoint.find(tmp_path / "latest")
        assert [path.name for path in tmp_path.iterdir()] == ["latest.previous"]

    def test_missing(self, tmp_path):
        with pytest.raises(CheckpointError) as error:
            checkpoint.find(tmp_path / "run")
        assert str(error.value) == (
            f"{tmp_path}/run: there is no such folder or file. A checkpoint is a folder such as "
            "output/run/best_accuracy, or PaddleOCR's .pdparams file."
        )
        assert checkpoint.find(tmp_path / "run", missing_ok=True) is None

    def test_folder_of_a_run_instead_of_a_checkpoint(self, tmp_path):
        saved(tmp_path / "latest")
        with pytest.raises(CheckpointError) as error:
            checkpoint.find(tmp_path)
        assert str(error.value) == (
            f"{tmp_path}: holds no model.safetensors. A checkpoint is a folder such as output/run/best_accuracy, or "
            "PaddleOCR's .pdparams file."
        )

    @pytest.mark.parametrize("given", ["best.pdparams", "best", "best.pdopt"])
    def test_paddleocr_file(self, tmp_path, given):
        (tmp_path / "best.pdparams").write_bytes(b"")
        assert checkpoint.find(tmp_path / given) == tmp_path / "best.pdparams"

    def test_own_folder_goes_before_a_paddleocr_file_of_that_name(self, tmp_path):
        (tmp_path / "best.pdparams").write_bytes(b"")
        saved(tmp_path / "best")
        assert checkpoint.find(tmp_path / "best") == tmp_path / "best"

    @pytest.mark.parametrize("given", ["inference.pdiparams", "inference.pdmodel", "inference.json"])
    def test_exported_model(self, tmp_path, given):
        with pytest.raises(CheckpointError) as error:
            checkpoint.find(tmp_path / given)
        assert str(error.value) == (
            f"{tmp_path / given}: belongs to an exported model, which cannot be trained or evaluated. Give the weights "
            "of a training: a checkpoint folder or a .pdparams file."
        )

    @pytest.mark.parametrize("given", [".", "/", ".."])
    def test_odd_folders(self, tmp_path, monkeypatch, given):
        monkeypatch.chdir(tmp_path)
        assert checkpoint.find(given, missing_ok=True) is None


class TestLoadWeights:
    def test_report_of_equal_architectures(self, tmp_path):
        saved(tmp_path / "latest")
        report = checkpoint.load_weights(network(), tmp_path / "latest", strict=True)
        assert str(report) == f"{tmp_path}/latest: 8 of 8 arrays loaded"

    def test_report_of_what_differs(self, tmp_path):
        model = network()
        model.add_sublayer("extra", nn.Linear(1, 1))
        checkpoint.save(tmp_path / "latest", model)
        other = network(out=5)
        for name in ("a", "b", "c", "d"):
            other.add_sublayer(name, nn.PReLU())

        report = checkpoint.load_weights(other, tmp_path / "latest", strict=False)

        assert str(report) == (
            f"{tmp_path}/latest: 6 of 12 arrays loaded; 4 not in the file (a._weight, b._weight, c._weight, ...); "
            "2 not in the model (extra.bias, extra.weight); 2 of another shape (last.weight, last.bias)"
        )
        assert arrays(other)["conv.weight"] == arrays(model)["conv.weight"]

    def test_strict_refuses_a_difference_and_changes_nothing(self, tmp_path):
        saved(tmp_path / "latest")
        other = network(out=5)
        before = arrays(other)
        with pytest.raises(CheckpointError) as error:
            checkpoint.load_weights(other, tmp_path / "latest", strict=True)
        assert str(error.value) == (
            f"{tmp_path}/latest: 6 of 8 arrays loaded; 2 of another shape (last.weight, last.bias). It belongs to "
            "another architecture: use the config it was trained with (config.yml beside it), or load what matches "
            "with Global.pretrained_model."
        )
        assert arrays(other) == before

    @pytest.mark.parametrize("strict", [True, False])
    def test_nothing_matches(self, tmp_path, strict):
        saved(tmp_path / "latest")
        with pytest.raises(CheckpointError) as error:
            checkpoint.load_weights(nn.Linear(2, 2), tmp_path / "latest", strict=strict)
        assert str(error.value) == (
            f"{tmp_path}/latest: 0 of 2 arrays loaded; 2 not in the file (weight, bias); 8 not in the model "
            "(conv.bias, conv.weight, last.bias, ...). Nothing matches: it belongs to another architecture."
        )


class Bomb:
    """Pickled, it leaves a file behind when it is read."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


class TestDamaged:
    @pytest.mark.parametrize("size", [0, 7, 100, -1], ids=["empty", "in the length", "in the header", "last byte"])
    def test_cut_short(self, tmp_path, size):
        saved(tmp_path / "latest")
        file = tmp_path / "latest" / MODEL
        file.write_bytes(file.read_bytes()[:size])
        with pytest.raises(CheckpointError) as error:
            checkpoint.load_weights(network(), tmp_path / "latest", strict=True)
        assert str(error.value).startswith(f"{file}: cannot be read, the file is damaged or not safetensors: ")

    def test_random_bytes(self, tmp_path):
        saved(tmp_path / "latest")
        file = tmp_path / "latest" / MODEL
        file.write_bytes(np.random.default_rng(0).bytes(5000))
        with pytest.raises(CheckpointError, match="damaged or not safetensors"):
            checkpoint.load_weights(network(), tmp_path / "latest", strict=True)

    @pytest.mark.parametrize("name", [MODEL, OPTIMIZER, STATE])
    def test_a_pickle_is_refused_and_not_executed(self, tmp_path, name):
        saved(tmp_path / "latest")
        trace, file = tmp_path / "executed", tmp_path / "latest" / name
        file.write_bytes(pickle.dumps(Bomb(trace)))
        model = network()
        read = {
            MODEL: lambda: checkpoint.load_weights(model, tmp_path / "latest", strict=True),
            OPTIMIZER: lambda: checkpoint.load_optimizer(
                model, Adam(dict(model.named_parameters())), tmp_path / "latest"
            ),
            STATE: lambda: checkpoint.load_state(tmp_path / "latest"),
        }
        with pytest.raises(CheckpointError) as error:
            read[name]()
        assert str(error.value).startswith(f"{file}: ")
        assert not trace.exists()

    def test_no_optimizer(self, tmp_path):
        model = saved(tmp_path / "latest")
        with pytest.raises(CheckpointError) as error:
            checkpoint.load_optimizer(model, Adam(dict(model.named_parameters())), tmp_path / "latest")
        assert str(error.value) == (
            f"{tmp_path}/latest/optimizer.safetensors: not there, so training cannot resume from this checkpoint. "
            "Start from its weights with Global.pretrained_model."
        )

    def test_optimizer_of_another_model(self, tmp_path):
        model = nn.Linear(2, 2)
        optimizer = Momentum(dict(model.named_parameters()), learning_rate=0.1)
        model(paddle.ones([1, 2])).sum().backward()
        optimizer.step()
        checkpoint.save(tmp_path / "latest", model, optimizer)
        other = network()
        with pytest.raises(CheckpointError) as error:
            checkpoint.load_optimizer(other, Momentum(dict(other.named_parameters())), tmp_path / "latest")
        assert str(error.value) == (
            f"{tmp_path}/latest/optimizer.safetensors: holds a moment of 'bias', which the model does not have"
        )

    def test_state_cut_short(self, tmp_path):
        saved(tmp_path / "latest")
        (tmp_path / "latest" / STATE).write_text('{"epo')
        with pytest.raises(CheckpointError) as error:
            checkpoint.load_state(tmp_path / "latest")
        assert str(error.value).startswith(f"{tmp_path}/latest/state.json: cannot be read: ")


class TestAverage:
    def test_is_what_is_loaded_unless_to_train_on(self, tmp_path):
        model, average, loaded, trained = network(), network(), network(), network()
        checkpoint.save(tmp_path / "latest", model, average=average)
        report = checkpoint.load_weights(loaded, tmp_path / "latest", strict=True)
        assert str(report) == f"{tmp_path}/latest: 8 of 8 arrays loaded; these are the averages (use_ema)"
        assert arrays(loaded) == arrays(average) != arrays(model)
        report = checkpoint.load_weights(trained, tmp_path / "latest", strict=True, to_train_on=True)
        assert str(report) == f"{tmp_path}/latest: 8 of 8 arrays loaded"
        assert arrays(trained) == arrays(model)
        assert checkpoint.load_average(tmp_path / "latest").keys() == average.state_dict().keys()

    def test_where_there_is_none_the_weights_themselves_are_both(self, tmp_path):
        model, loaded = saved(tmp_path / "latest"), network()
        report = checkpoint.load_weights(loaded, tmp_path / "latest", strict=True, to_train_on=True)
        assert str(report) == f"{tmp_path}/latest: 8 of 8 arrays loaded"
        assert arrays(loaded) == arrays(model)


def test_moments_of_what_is_trained_now_and_was_not_and_the_other_way_round(tmp_path):
    model = network()
    model.last.weight.stop_gradient = True
    trained = {name: value for name, value in model.named_parameters() if not value.stop_gradient}
    optimizer = Momentum(trained, learning_rate=0.1)
    step(model, optimizer, 1)
    checkpoint.save(tmp_path / "latest", model, optimizer)

    model = network()
    model.conv.bias.stop_gradient = True
    trained = {name: value for name, value in model.named_parameters() if not value.stop_gradient}
    optimizer = Momentum(trained, learning_rate=0.1)
    without, unused = checkpoint.load_optimizer(model, optimizer, tmp_path / "latest")
    assert (without, unused) == (["last.weight"], ["conv.bias"])
