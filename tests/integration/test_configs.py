"""Every file in configs/ checks, builds, trains two steps and evaluates, on small pictures and the CPU."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ppdet_db.config import Plan
from ppdet_db.data.synthetic import SyntheticDataSet
from ppdet_db.engine import Trainer, evaluate, load_plan
from ppdet_db.engine.evaluate import predict_with

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = sorted(str(file.relative_to(CONFIGS)) for file in CONFIGS.rglob("*.yml") if "_base_" not in file.parts)
SLOW = [
    "det/PP-OCRv3/PP-OCRv3_server_det.yml",
    "det/PP-OCRv4/PP-OCRv4_server_det.yml",
    "det/PP-OCRv5/PP-OCRv5_server_det.yml",
    "det/PP-OCRv6/PP-OCRv6_medium_det.yml",
]
"""Large networks, of which PaddleOCR's own files train one of each kind in every test run."""

OVERRIDES = [
    "Global.use_gpu=false",
    "Global.epoch_num=1",
    "Global.data_root=root",
    "Global.save_model_dir=output",
    "Global.pretrained_model=null",
    "Global.freeze_norm=false",  # without the weights that go with frozen statistics, signals die or grow without bound
    "Train.loader.batch_size_per_card=2",
    "Train.loader.num_workers=0",
    "Eval.dataset.transforms.DetResizeForTest={image_shape: [64, 64]}",
    "Eval.loader.num_workers=0",
]
SMALL_SCENES = ["num_samples=4", "size=[128, 128]", "font_size=[8, 20]"]


def small_plan(file: str, make_data: Callable) -> Plan:
    """The plan with small pictures in place of its own: scenes, or files laid where it looks for them."""
    overrides = list(OVERRIDES)
    plan = load_plan(CONFIGS / file)
    [crop] = [spec.cls.__name__ for spec in plan.train.dataset.transforms if "RandomCrop" in spec.cls.__name__]
    overrides.append(f"Train.dataset.transforms.{crop}.size=[64, 64]")
    for section, reader in (("Train", plan.train), ("Eval", plan.eval)):
        dataset = reader.dataset.dataset
        if dataset.cls is SyntheticDataSet:
            overrides += [f"{section}.dataset.{setting}" for setting in SMALL_SCENES]
            continue
        folder = Path("root", dataset.kwargs["data_dir"])
        make_data(folder)
        for label_file in dataset.kwargs["label_file_list"]:
            Path("root", label_file).parent.mkdir(parents=True, exist_ok=True)
            Path("root", label_file).write_text((folder / "labels.txt").read_text())
    return load_plan(CONFIGS / file, overrides)


@pytest.mark.parametrize("file", [pytest.param(f, marks=pytest.mark.slow if f in SLOW else []) for f in FILES])
def test_config(file: str, make_data: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = Trainer(small_plan(file, make_data))
    weight = trainer.model.head.binarize.conv1.weight
    before = weight.numpy().copy()
    batches = iter(trainer.train_loader)
    for _ in range(2):  # the first one of a warm-up has a learning rate of 0
        losses = trainer.step(next(batches))
    assert all(np.isfinite(loss.item()) for loss in losses.values())
    assert set(losses) >= {"loss", "loss_shrink_maps", "loss_threshold_maps", "loss_binary_maps"}
    assert not np.array_equal(weight.numpy(), before)
    values = evaluate(predict_with(trainer.model), trainer.eval_loader, trainer.postprocess, trainer.metric)
    assert values["images"] == len(trainer.eval_loader.dataset)


def test_there_are_configs_and_each_says_what_it_is() -> None:
    assert len(FILES) >= 18
    assert set(SLOW) <= set(FILES)
    for file in FILES:
        header = [line for line in (CONFIGS / file).read_text().splitlines() if line.startswith("#")]
        assert f"-c configs/{file}" in "\n".join(header), f"{file}: its header has no command that runs it"
