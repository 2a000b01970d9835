"""`check`: what it prints, and its exit code."""

from pathlib import Path

import pytest

from ppdet_db.cli.check import main
from ppdet_db.engine import load_plan

YAML = """\
Global: {epoch_num: 3, load_static_weights: true}
Architecture:
  Backbone: {name: MobileNetV3, scale: 0.5, model_name: small}
  Neck: {name: DBFPN, out_channels: 32}
  Head: {name: DBHead}
Loss: {name: DBLoss, main_loss_type: BCELoss}
Optimizer: {name: Adam, lr: {learning_rate: 1e-3}}
PostProcess:
  name: DBPostProcess
  det_box_type: poly
Metric: {name: DetMetric}
Train:
  dataset: &data
    name: SimpleDataSet
    data_dir: .
    label_file_list: [train.txt]
    transforms:
      - DecodeImage: {img_mode: RGB}
      - DetLabelEncode:
      - EastRandomCropData: {size: [64, 64]}
      - MakeShrinkMap:
      - MakeBorderMap:
      - NormalizeImage: {scale: 1./255.}
      - ToCHWImage:
      - KeepKeys: {keep_keys: [image, shrink_map, shrink_mask, threshold_map, threshold_mask]}
  loader: {batch_size_per_card: 2}
Eval:
  dataset:
    <<: *data
    transforms:
      - DecodeImage: {img_mode: RGB}
      - DetLabelEncode:
      - DetResizeForTest:
      - NormalizeImage:
      - ToCHWImage:
      - KeepKeys: {keep_keys: [image, shape, polys, ignore_tags]}
  loader: {}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("b.yml").write_text(YAML)
    return "b.yml"


def printed(capsys: pytest.CaptureFixture) -> dict[str, str]:
    """{setting: origin} of what stands on stdout; lists and sections have no colon and value."""
    lines = capsys.readouterr().out.splitlines()
    return {text.strip(): origin for text, _, origin in (line.partition("  # ") for line in lines)}


def test_settings_have_the_origin_of_their_value_and_defaults_none(config: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["-c", config, "-o", "Global.epoch_num=7", "Train.dataset.transforms.DecodeImage.img_mode=BGR"]) == 0
    found = printed(capsys)
    assert found["epoch_num: 7"] == "-o Global.epoch_num=7"
    assert found["seed: 1024"] == ""
    assert found["scale: 0.5"] == "b.yml:3"
    assert found["k: 50"] == ""
    assert found["name: Const"] == ""
    assert found["img_mode: BGR"] == "-o Train.dataset.transforms.DecodeImage.img_mode=BGR"
    assert found["size: [64, 64]"] == "b.yml:20"
    assert found["box_type: poly"] == "b.yml:8"  # read from det_box_type
    assert found["# note: b.yml:10: PostProcess.det_box_type: read as 'box_type'"] == ""
    assert found["# note: b.yml:1: Global.load_static_weights: ignored: nothing reads it"] == ""
    assert [key for key in found if key.startswith("in_channels:")] == ["in_channels: 3"]  # the picture's: not wired


def test_what_is_printed_is_a_config_that_means_the_same(config: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["-c", config]) == 0
    Path("printed.yml").write_text(capsys.readouterr().out)
    one, two = load_plan(config), load_plan("printed.yml")
    assert two.options == one.options
    assert two.postprocess.kwargs["box_type"] == one.postprocess.kwargs["box_type"] == "poly"
    assert [spec.cls for spec in two.train.dataset.transforms] == [spec.cls for spec in one.train.dataset.transforms]
    assert two.architecture.backbone.kwargs.items() >= one.architecture.backbone.kwargs.items()
    assert two.notes == ()


def test_problems_go_to_stderr_with_exit_code_1(config: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["-c", config, "-o", "Train.loader.batch_size_per_card=four"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.splitlines() == [
        "error: -o Train.loader.batch_size_per_card=four: Train.loader.batch_size_per_card: must be an integer, "
        "got 'four'"
    ]


def test_a_missing_config_goes_the_same_way(config: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["-c", "c.yml"]) == 1
    assert capsys.readouterr().err == "error: c.yml: no such file. Did you mean 'b.yml'?\n"


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("Architecture.Backbone.scale=0.3", "scale must be one of 0.35, 0.5, 0.75, 1.0, 1.25, got 0.3"),
        ("Architecture.Head.k=0", "k must be positive, got 0"),
        ("Loss.alpha=-5", "alpha must not be negative, got -5"),
        ("Optimizer.clip_norm=-1", "clip_norm must be above 0, got -1"),
        ("Optimizer.lr.learning_rate=-1", "learning_rate must be above 0, got -1"),
        ("PostProcess.unclip_ratio=-1", "unclip_ratio must be above 0, got -1"),
    ],
)  # fmt: skip
def test_values_that_a_constructor_refuses(
    override: str, text: str, config: str, capsys: pytest.CaptureFixture
) -> None:
    assert main(["-c", config, "-o", override]) == 1
    section = override.partition("=")[0].rpartition(".")[0]
    assert capsys.readouterr() == ("", f"error: -o {override}: {section}: {text}\n")


def test_frozen_parts_that_do_not_exist(config: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["-c", config, "-o", "Global.freeze=[bakbone]"]) == 1
    assert capsys.readouterr().err == (
        "error: -o Global.freeze=[bakbone]: Global.freeze: there is no parameter that is trained under 'bakbone'. "
        "Did you mean 'backbone'?\n"
    )


def test_a_cycle_that_only_a_short_epoch_makes_too_short_is_left_to_the_run(config: str) -> None:
    assert main(["-c", config, "-o", "Optimizer.lr={name: CyclicalCosine, learning_rate: 0.001, cycle: 0.01}"]) == 0
