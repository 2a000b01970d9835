"""Every shipped config's network can be exported: equal maps in Paddle Inference and ONNX Runtime."""

from pathlib import Path

import numpy as np
import paddle
import pytest

from ppdet_db.engine import build_model, load_plan
from ppdet_db.engine.export import export, refuse_for_onnx, to_onnx
from ppdet_db.engine.inference import open_model
from ppdet_db.errors import DetError

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "configs/det").rglob("*.yml"))
QUICK = ("configs/det/det_mv3_db.yml", "configs/det/PP-OCRv6/PP-OCRv6_tiny_det.yml")
DEFORMABLE = "configs/det/det_r50_dbpp.yml"


def test_there_are_configs() -> None:
    assert len(CONFIGS) >= 19
    assert {*QUICK, DEFORMABLE} <= set(CONFIGS)


@pytest.mark.parametrize(
    "config", [pytest.param(config, marks=() if config in QUICK else pytest.mark.slow) for config in CONFIGS]
)
def test_network_of_a_config_can_be_exported(config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    paddle.seed(0)
    model = build_model(load_plan(config).architecture)
    for norm in (layer for layer in model.sublayers() if hasattr(layer, "_momentum")):
        norm._momentum = 0.0  # its statistics are those of the next picture, without which maps are 0 or 1
    images = np.random.default_rng(0).normal(size=(2, 3, 96, 128)).astype(np.float32)
    with paddle.no_grad():
        model(paddle.to_tensor(images))
        model.eval()
        expected = [model(paddle.to_tensor(x))["maps"].numpy() for x in (images, images[:, :, :64])]
        moved = model(paddle.to_tensor(images + np.float32(1e-6)))["maps"].numpy()
    # random weights enlarge rounding, by a thousand where offsets say what to read: as much as of the picture itself
    bound = max(2e-4, 3 * float(np.abs(moved - expected[0]).max()))
    assert bound < 1e-2
    export(model, tmp_path)
    engines = ["paddle"]
    try:
        refuse_for_onnx(model)
        to_onnx(tmp_path, {})
        engines.append("onnxruntime")
    except DetError:
        assert config == DEFORMABLE or not has_converter()
    for engine in engines:
        run = open_model(tmp_path, engine)
        for maps, size in zip(expected, (96, 64), strict=True):
            assert np.ptp(maps) > 0.1  # else any map would do
            np.testing.assert_allclose(run(images[:, :, :size])["maps"], maps, rtol=0, atol=bound)


def has_converter() -> bool:
    try:
        import paddle2onnx  # noqa: F401
    except ImportError:
        return False
    return True
