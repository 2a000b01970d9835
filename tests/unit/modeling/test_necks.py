"""What every neck owes the head, whatever its family."""

import importlib
import pkgutil

import paddle
import pytest

from ppdet_db.modeling import necks
from ppdet_db.registry import NECKS

for module in pkgutil.iter_modules(necks.__path__, necks.__name__ + "."):
    importlib.import_module(module.name)

ARGUMENTS = {  # of each neck: the variants that differ in structure
    "DBFPN": [{}, {"use_asf": True}],
    "RepLKFPN": [{"dilated_kernel_size": 5}, {"shortcut": False, "intracl": True}],
    "LKPAN": [{"intracl": True}, {"mode": "lite"}],
    "RepLKPAN": [{}, {"intracl": True}],
    "RSEFPN": [{}, {"shortcut": False, "intracl": True}],
}
CHANNELS = [8, 12, 16, 20]
VARIANTS = [(name, kwargs) for name in ARGUMENTS for kwargs in ARGUMENTS[name]]
OURS = [name for name in NECKS.names() if NECKS.get(name).__module__.startswith("ppdet_db.")]


def features() -> list[paddle.Tensor]:
    return [paddle.rand([2, c, 64 // s, 96 // s]) for c, s in zip(CHANNELS, (4, 8, 16, 32), strict=True)]


def test_table_names_every_neck():
    assert sorted(ARGUMENTS) == OURS


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("name", "kwargs"), VARIANTS)
def test_neck_outputs_the_channels_it_reports_at_stride_4(name, kwargs, training):
    neck = NECKS.get(name)(in_channels=CHANNELS, out_channels=48, **kwargs)
    neck.train() if training else neck.eval()
    assert neck.out_channels == 48
    assert neck(features())["fused"].shape == [2, 48, 16, 24]


@pytest.mark.parametrize(("name", "kwargs"), VARIANTS)
def test_every_feature_reaches_the_output(name, kwargs):
    neck = NECKS.get(name)(in_channels=CHANNELS, out_channels=32, **kwargs)
    neck.eval()
    inputs = features()
    before = neck(inputs)["fused"]
    for i in range(4):
        after = neck([*inputs[:i], 2 * inputs[i], *inputs[i + 1 :]])["fused"]
        assert (after - before).abs().max().item() > 1e-3, f"the feature at stride {4 * 2**i}"


@pytest.mark.parametrize(("name", "kwargs"), VARIANTS)
def test_every_trained_weight_gets_a_gradient(name, kwargs):
    """A block that is built but not used, or cut off from the output, would stay at its random start."""
    neck = NECKS.get(name)(in_channels=CHANNELS, out_channels=32, **kwargs)
    neck(features())["fused"].square().mean().backward()
    assert [n for n, p in neck.named_parameters() if p.trainable and p.grad is None] == []
