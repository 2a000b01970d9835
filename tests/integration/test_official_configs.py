"""PaddleOCR's own files and keys: each is honoured, noted or refused with a sentence, none dropped in silence."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ppdet_db.cli import check, train
from ppdet_db.config import ConfigError, GlobalOptions
from ppdet_db.config.legacy import FATES
from ppdet_db.engine import load_plan

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "paddleocr_configs"
FILES = sorted(str(file.relative_to(FOLDER)) for file in FOLDER.rglob("*.yml"))

DISTILLATION = ["Architecture.Models: distillation (CML, DML) is not supported: train the student alone"]
FATE: dict[str, list[str] | None] = {
    "PP-OCRv3/PP-OCRv3_det_cml.yml": DISTILLATION,
    "PP-OCRv3/PP-OCRv3_det_dml.yml": DISTILLATION,
    "PP-OCRv3/PP-OCRv3_mobile_det.yml": None,
    "PP-OCRv3/PP-OCRv3_server_det.yml": None,
    "PP-OCRv4/PP-OCRv4_det_cml.yml": DISTILLATION,
    "PP-OCRv4/PP-OCRv4_mobile_det.yml": None,
    "PP-OCRv4/PP-OCRv4_mobile_seal_det.yml": None,
    "PP-OCRv4/PP-OCRv4_server_det.yml": None,
    "PP-OCRv4/PP-OCRv4_server_seal_det.yml": None,
    "PP-OCRv5/PP-OCRv5_mobile_det.yml": None,
    "PP-OCRv5/PP-OCRv5_server_det.yml": None,
    "PP-OCRv6/PP-OCRv6_medium_det.yml": None,
    "PP-OCRv6/PP-OCRv6_small_det.yml": None,
    "PP-OCRv6/PP-OCRv6_tiny_det.yml": None,
    "PP-OCRv6_base_det.excerpt.yml": [
        "Architecture.Backbone.model_size: must be 'tiny' or 'small' or 'medium', got 'base'",
        "Architecture.Neck.name: no neck named 'UniRepLKPAN'",
        "Loss.main_loss_type: must be ",
        "Optimizer.regularizer: factor must be a number, got '5.0-05'",
        "the section 'Eval' is missing",
    ],
    "ch_PP-OCRv2/ch_PP-OCRv2_det_cml.yml": DISTILLATION,
    "ch_PP-OCRv2/ch_PP-OCRv2_det_distill.yml": DISTILLATION,
    "ch_PP-OCRv2/ch_PP-OCRv2_det_dml.yml": DISTILLATION,
    "ch_PP-OCRv2/ch_PP-OCRv2_det_student.yml": None,
    "ch_PP-OCRv3/ch_PP-OCRv3_det_cml.yml": DISTILLATION,
    "ch_PP-OCRv3/ch_PP-OCRv3_det_dml.yml": DISTILLATION,
    "ch_PP-OCRv3/ch_PP-OCRv3_det_student.yml": None,
    "ch_PP-OCRv4/ch_PP-OCRv4_det_cml.yml": DISTILLATION,
    "ch_PP-OCRv4/ch_PP-OCRv4_det_student.yml": None,
    "ch_PP-OCRv4/ch_PP-OCRv4_det_teacher.yml": None,
    "ch_ppocr_v2.0/ch_det_mv3_db_v2.0.yml": None,
    "ch_ppocr_v2.0/ch_det_res18_db_v2.0.yml": None,
    "det_mv3_db.yml": None,
    "det_mv3_east.yml": ["'EAST' is not supported"],
    "det_mv3_pse.yml": ["'PSE' is not supported"],
    "det_r18_vd_ct.yml": ["'CT' is not supported"],
    "det_r50_db++_icdar15.yml": None,
    "det_r50_db++_td_tr.yml": None,
    "det_r50_drrg_ctw.yml": ["'DRRG' is not supported"],
    "det_r50_vd_db.yml": None,
    "det_r50_vd_dcn_fce_ctw.yml": ["'FCE' is not supported"],
    "det_r50_vd_east.yml": ["'EAST' is not supported"],
    "det_r50_vd_pse.yml": ["'PSE' is not supported"],
    "det_r50_vd_sast_icdar15.yml": ["'SAST' is not supported"],
    "det_r50_vd_sast_totaltext.yml": ["'SAST' is not supported"],
    "det_repsvtr_db.yml": None,
    "det_res18_db_v2.0.yml": None,
}
"""By the name in its folder, the same in each version: None for what trains, else what the refusal says."""


def fate(file: str) -> list[str] | None:
    return FATE[file.partition("/")[2]]


def network(file: str) -> tuple[str, ...]:
    """The kind of a file's network: the names of its three parts."""
    architecture = yaml.safe_load((FOLDER / file).read_text())["Architecture"]
    return tuple(architecture[part]["name"] for part in ("Backbone", "Neck", "Head"))


KNOWN = [file for file in FILES if file.partition("/")[2] in FATE]
TRAIN = [file for file in KNOWN if fate(file) is None]
REFUSED = [file for file in KNOWN if fate(file) is not None]
FIRST_OF_KIND = set({network(file): file for file in reversed(TRAIN)}.values())
"""They are trained by every test run, the others by `make test-all`."""

GLOBAL_KEYS = """
    use_gpu use_xpu use_npu use_mlu use_gcu use_metax_gpu use_iluvatar_gpu epoch_num print_batch_step log_smooth_window
    save_model_dir save_epoch_step eval_batch_step eval_batch_epoch cal_metric_during_train calc_epoch_interval
    pretrained_model checkpoints save_inference_dir infer_img save_res_path use_visualdl use_wandb distributed
    find_unused_parameters use_sync_bn use_amp amp_level amp_dtype scale_loss use_dynamic_loss_scaling
    amp_custom_black_list amp_custom_white_list to_static d2s_train_image_shape seed log_ranks print_mem_info use_ema
    ema_decay ema_gamma ema_decay_type ema_filter_no_grad uniform_output_enabled model_name pdx_model_name
    save_model_info export_with_pir debug load_static_weights character_dict_path max_text_length use_space_char
    infer_mode
"""
"""What PaddleOCR reads, or once read, from `Global` in detection."""


@pytest.mark.usefixtures("shared")
def test_every_file_has_a_fate_and_every_fate_a_file() -> None:
    assert [file for file in FILES if file not in KNOWN] == []
    assert set(FATE) == {file.partition("/")[2] for file in FILES}


@pytest.mark.parametrize("file", TRAIN)
def test_file_checks_as_it_is_with_notes_that_name_a_line(file: str, capsys: pytest.CaptureFixture) -> None:
    path = FOLDER / file
    assert check.main(["-c", str(path)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.endswith(f"# {path}: no problems\n")
    notes = [line for line in printed.out.splitlines() if line.startswith("# note: ")]
    assert all(note.startswith(f"# note: {path}:") for note in notes)
    assert len(notes) <= 6, "a few notes, not a wall of them"


@pytest.mark.parametrize("file", REFUSED)
def test_file_is_refused_in_the_fewest_words(file: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_plan(FOLDER / file)
    problems = caught.value.problems
    for expected in fate(file):
        assert any(expected in problem for problem in problems), problems
    if len(fate(file)) == 1:
        assert len(problems) == 1, "another kind of program: however much else in the file is unknown"


def overrides(file: str) -> list[str]:
    """Paths, and what makes a training one small step."""
    plan = load_plan(FOLDER / file)
    [crop] = [spec.cls.__name__ for spec in plan.train.dataset.transforms if "Crop" in spec.cls.__name__]
    paths = ["Global.save_model_dir=output", "Global.pretrained_model=null"]
    for section, reader in (("Train", plan.train), ("Eval", plan.eval)):
        labels = ["data/labels.txt"] * len(reader.dataset.dataset.kwargs["label_file_list"])
        paths += [f"{section}.dataset.data_dir=data", f"{section}.dataset.label_file_list=[{','.join(labels)}]"]
    return [
        *paths,
        "Global.epoch_num=1",
        "Global.eval_batch_step=[0,1]",
        "Train.loader.batch_size_per_card=2",
        "Train.loader.num_workers=0",
        "Eval.loader.num_workers=0",
        f"Train.dataset.transforms.{crop}.size=[64,64]",
        "Eval.dataset.transforms.DetResizeForTest={image_shape: [64, 64]}",
    ]


@pytest.mark.parametrize(
    "file", [pytest.param(file, marks=[] if file in FIRST_OF_KIND else pytest.mark.slow) for file in TRAIN]
)
def test_file_trains_a_step_saves_and_evaluates(
    file: str, make_data: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_data(Path("data"), pictures=2)
    assert train.main(["-c", str(FOLDER / file), "-o", *overrides(file)]) == 0
    state = json.loads(Path("output/latest/state.json").read_text())
    rows = [json.loads(line) for line in Path("output/log.jsonl").read_text().splitlines()]
    evaluations = [row for row in rows if row["kind"] == "eval"]
    assert (state["epoch"], state["global_step"]) == (1, len(evaluations))
    assert len(evaluations) >= 1, "one a step"
    assert all(row["images"] >= 2 and math.isfinite(row["hmean"]) for row in evaluations)
    assert Path("output/best_accuracy/model.safetensors").is_file()


@pytest.mark.usefixtures("shared")
def test_shorter_training_says_that_the_ratio_of_the_maps_keeps_its_length() -> None:
    [note] = [
        note
        for note in load_plan(FOLDER / "main_6d2110b/PP-OCRv5/PP-OCRv5_mobile_det.yml", ["Global.epoch_num=1"]).notes
        if note.startswith("-o Global.epoch_num=1: an override does not follow anchors; these keep their value: ")
    ]
    assert "MakeBorderMap.total_epoch (500)" in note
    assert "MakeShrinkMap.total_epoch (500)" in note


def test_every_global_key_of_paddleocr_has_a_fate() -> None:
    known = {key for section, key in FATES if section == "Global"} | set(GlobalOptions.__dataclass_fields__)
    assert [key for key in GLOBAL_KEYS.split() if key not in known] == []
