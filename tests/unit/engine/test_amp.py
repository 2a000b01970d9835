"""Mixed precision: what a CPU makes of it, and the factor on the loss, which is Paddle's own, forced onto a CPU."""

import json

import numpy as np
import paddle
import pytest

from ppdet_db.config.schema import GlobalOptions
from ppdet_db.engine import Trainer
from ppdet_db.engine.amp import MixedPrecision
from ppdet_db.engine.weights import load_trained
from ppdet_db.errors import DetError

ON = {"use_amp": True, "amp_dtype": "float16", "scale_loss": 1024.0}
CPU = "Global.use_amp has no effect on a CPU, where Paddle has no convolution in 16 bits"


def options(**values) -> GlobalOptions:
    return GlobalOptions(epoch_num=1, **values)


pytestmark = pytest.mark.filterwarnings("ignore:amp_guard can only be enabled")


@pytest.fixture
def scaling(monkeypatch):
    """`scaling(**keys)`: with the factor in force, as on a GPU, where alone Paddle's GradScaler lets itself be used."""

    def make(**keys) -> MixedPrecision:
        with monkeypatch.context() as patch:
            patch.setattr(paddle, "get_device", lambda: "gpu:0")
            patch.setattr(paddle.amp, "is_float16_supported", lambda: True)
            patch.setattr(paddle.amp.grad_scaler, "in_dynamic_mode", lambda: False)
            amp = MixedPrecision(options(**ON | keys))
        assert amp.scaler.is_enable()
        return amp

    return make


def weight_and_optimizer() -> tuple[paddle.Tensor, paddle.optimizer.Optimizer]:
    weight = paddle.create_parameter([2], "float32", default_initializer=paddle.nn.initializer.Constant(1.0))
    return weight, paddle.optimizer.SGD(0.5, parameters=[weight])


def step(amp: MixedPrecision, weight: paddle.Tensor, optimizer, slope: list[float]) -> None:
    with amp.forward():
        loss = (weight * paddle.to_tensor(slope)).sum()
    amp.backward(loss)
    amp.step(optimizer)
    optimizer.clear_grad()


@pytest.mark.parametrize("level", ["O1", "O2"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_on_a_cpu_it_says_so_and_computes_in_float32(level, dtype, recwarn):
    amp = MixedPrecision(options(use_amp=True, amp_level=level, amp_dtype=dtype))
    assert amp.notes == [CPU]
    with amp.forward():
        assert (paddle.ones([2, 2]) @ paddle.ones([2, 2])).dtype == paddle.float32
    weight, optimizer = weight_and_optimizer()
    step(amp, weight, optimizer, [1.0, -2.0])
    assert weight.tolist() == [0.5, 2.0]
    assert amp.state_dict() == {}
    assert [str(warning.message) for warning in recwarn] == []


def test_off_says_nothing():
    assert MixedPrecision(options()).notes == []


def test_gradients_are_those_of_the_loss_itself(scaling):
    amp = scaling()
    weight, optimizer = weight_and_optimizer()
    amp.backward((weight * paddle.to_tensor([1.0, -2.0])).sum())
    assert weight.grad.tolist() == [1024, -2048]
    amp.step(optimizer)
    assert weight.tolist() == [0.5, 2.0]


def test_step_that_overflows_is_left_out_and_halves_the_factor(scaling):
    amp = scaling(use_dynamic_loss_scaling=True)
    weight, optimizer = weight_and_optimizer()
    step(amp, weight, optimizer, [1.0, float("inf")])
    assert weight.tolist() == [1.0, 1.0]
    assert amp.state_dict()["scale"] == 512
    step(amp, weight, optimizer, [1.0, -2.0])
    assert weight.tolist() == [0.5, 2.0]


def test_factor_stays_where_it_is_not_dynamic(scaling):
    amp = scaling()
    step(amp, *weight_and_optimizer(), [1.0, float("inf")])
    assert amp.state_dict()["scale"] == 1024


def test_a_later_run_goes_on_with_the_factor_and_its_count(scaling):
    first = scaling(use_dynamic_loss_scaling=True)
    for slope in ([1.0, float("inf")], [1.0, 1.0], [2.0, 1.0]):
        step(first, *weight_and_optimizer(), slope)
    state = json.loads(json.dumps(first.state_dict()))
    assert (state["scale"], state["incr_count"]) == (512, 2)
    second = scaling(use_dynamic_loss_scaling=True)
    second.set_state_dict(state)
    assert second.state_dict() == state
    weight, optimizer = weight_and_optimizer()
    step(second, weight, optimizer, [1.0, -2.0])
    assert weight.tolist() == [0.5, 2.0]


@pytest.mark.parametrize("state", [{}, {"scale": 8.0}])
def test_factor_of_a_run_on_a_gpu_is_left_alone_on_a_cpu(state):
    amp = MixedPrecision(options(**ON))
    amp.set_state_dict(state)
    assert amp.state_dict() == {}


def test_gpu_without_the_dtype(monkeypatch):
    monkeypatch.setattr(paddle, "get_device", lambda: "gpu:0")
    monkeypatch.setattr(paddle.amp, "is_bfloat16_supported", lambda: False)
    with pytest.raises(DetError) as caught:
        MixedPrecision(options(use_amp=True, amp_dtype="bfloat16"))
    assert str(caught.value).startswith("Global.amp_dtype is bfloat16, which this GPU has no operations for")


def test_training_on_a_cpu_is_the_same_with_it(plan, lines):
    weights = []
    for folder, use_amp in (("without", "false"), ("with", "true")):
        Trainer(plan(f"Global.use_amp={use_amp}", f"Global.save_model_dir={folder}", "Global.epoch_num=1")).fit()
        network = load_trained(plan(f"Global.checkpoints={folder}/latest"))
        weights.append({name: value.numpy() for name, value in network.state_dict().items()})
    assert [line for line in lines if "use_amp" in line] == [f"note: {CPU}"]
    for name, value in weights[0].items():
        assert np.array_equal(weights[1][name], value), name
