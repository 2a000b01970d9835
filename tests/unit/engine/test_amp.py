"""Mixed precision: what a CPU makes of it, and the factor on the loss, which is Paddle's own, forced onto a CPU."""

import collections
import json

import numpy as np
import paddle
import pytest
from paddle.static import InputSpec

from ppdet_db.config.schema import GlobalOptions
from ppdet_db.engine import Trainer
from ppdet_db.engine.amp import MixedPrecision
from ppdet_db.engine.build import build_optimizer
from ppdet_db.engine.weights import load_trained
from ppdet_db.errors import DetError
from ppdet_db.losses.db_loss import DBLoss
from ppdet_db.modeling.heads.db_head import DBHead
from ppdet_db.modeling.heads.pf_head_local import PFHeadLocal

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


@pytest.mark.parametrize(
    ("keys", "factor"),
    [
        ({"use_dynamic_loss_scaling": True}, 512),  # the one that was found
        ({"use_dynamic_loss_scaling": True, "scale_loss": 8.0}, 512),
        ({"scale_loss": 8.0}, 8),  # no longer looked for: the config's
    ],
)
def test_what_the_config_says_now_decides_over_the_factor_of_an_earlier_run(keys, factor, scaling):
    first = scaling(use_dynamic_loss_scaling=True)
    step(first, *weight_and_optimizer(), [1.0, float("inf")])
    second = scaling(**keys)
    second.set_state_dict(first.state_dict())
    assert second.state_dict()["scale"] == factor
    step(second, *weight_and_optimizer(), [1.0, float("inf")])
    assert second.state_dict()["scale"] == (factor / 2 if "use_dynamic_loss_scaling" in keys else factor)


@pytest.mark.parametrize("dynamic", [True, False])
def test_a_training_whose_every_step_is_left_out_ends(dynamic, scaling):
    amp = scaling(use_dynamic_loss_scaling=dynamic)
    weight, optimizer = weight_and_optimizer()
    slopes = 49 * [float("inf")] + [1.0] + 49 * [float("nan")]
    for slope in slopes:  # never 50 in a row
        step(amp, weight, optimizer, [slope, 0.0])
    assert weight.tolist() == [0.5, 1.0]
    with pytest.raises(DetError, match=r"^50 steps in a row were left out, because their gradients are not finite"):
        step(amp, weight, optimizer, [float("inf"), 0.0])


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Momentum", "RMSProp", "Adadelta"])
def test_a_step_left_out_changes_neither_weights_nor_moments(name, scaling):
    amp = scaling()
    weight, _ = weight_and_optimizer()
    section = {"name": name, "lr": {"name": "Const", "learning_rate": 0.1}, "clip_norm_global": 1.0}
    optimizer, _ = build_optimizer(section, parameters={"weight": weight}, epochs=1, step_each_epoch=9)

    def state() -> dict[str, list[float]]:
        tensors = {**optimizer.state_dict(), "weight": weight}
        del tensors["LR_Scheduler"]
        return {name: value.tolist() for name, value in tensors.items()}

    step(amp, weight, optimizer, [1.0, -2.0])
    before = state()
    assert len(before) > 1
    step(amp, weight, optimizer, [float("nan"), 1.0])
    assert state() == before
    step(amp, weight, optimizer, [1.0, -2.0])
    assert state()["weight"] != before["weight"]


LISTED = [
    "conv2d_transpose",
    "sigmoid",
    "subtract",
    "scale",
    "concat",
    "add",
    "multiply",
    "sum",
    "divide",
    "abs",
    "pow",
]
"""Of the head and of the loss, all that may be computed in 16 bits."""


@pytest.mark.parametrize("level", ["O1", "O2"])
@pytest.mark.parametrize("head", [DBHead(16), PFHeadLocal(16)], ids=lambda head: type(head).__name__)
@pytest.mark.parametrize("main_loss_type", ["DiceLoss", "DiceFocalLoss"])
def test_sigmoids_binary_map_and_losses_are_float32_even_where_a_config_lists_them(
    level, head, main_loss_type, monkeypatch
):
    """By the types in a graph, which is drawn up and not run: a CPU cannot. Nor does it have this batch norm."""
    monkeypatch.setattr(paddle, "get_device", lambda: "gpu:0")
    monkeypatch.setattr(paddle.amp, "is_bfloat16_supported", lambda: True)
    amp = MixedPrecision(options(use_amp=True, amp_dtype="bfloat16", amp_level=level, amp_custom_white_list=LISTED))
    for layer in head.sublayers(include_self=True):
        for name, part in list(layer.named_children()):
            if isinstance(part, paddle.nn.BatchNorm2D):
                setattr(layer, name, paddle.nn.Identity())
    loss = DBLoss(main_loss_type=main_loss_type)

    def losses(fused, label):
        with amp.forward():
            return loss(head({"fused": fused}), dict.fromkeys(loss.needs, label))["loss"]

    shapes = [InputSpec([2, 16, 16, 16], "float32"), InputSpec([2, 64, 64], "float32")]
    graph = paddle.jit.to_static(losses, full_graph=True, input_spec=shapes).concrete_program.main_program
    types = collections.defaultdict(set)
    for op in graph.global_block().ops:
        types[op.name().removeprefix("pd_op.")] |= {str(x.dtype) for x in op.results() if x.is_dense_tensor_type()}
    assert types["conv2d"] == types["conv2d_transpose"] == {"paddle.bfloat16"}
    for name in ("sigmoid", "subtract", "scale", "multiply", "sum", "divide", "abs"):
        assert types[name] == {"paddle.float32"}, name
    if not isinstance(head, PFHeadLocal):  # its refinement concatenates features too
        assert types["concat"] == {"paddle.float32"}


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


@pytest.mark.parametrize("keys", [(), ("Global.amp_level=O1",), ("Global.amp_dtype=bfloat16",)])
def test_training_on_a_cpu_is_the_same_with_it(keys, plan, lines):
    weights = []
    for folder, use_amp in (("without", ()), ("with", ("Global.use_amp=true", *keys))):
        Trainer(plan(*use_amp, f"Global.save_model_dir={folder}", "Global.epoch_num=1")).fit()
        network = load_trained(plan(f"Global.checkpoints={folder}/latest"))
        weights.append({name: value.numpy() for name, value in network.state_dict().items()})
    assert [line for line in lines if "use_amp" in line] == [f"note: {CPU}"]
    for name, value in weights[0].items():
        assert np.array_equal(weights[1][name], value), name
