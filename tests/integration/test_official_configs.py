"""PaddleOCR's own files and keys: each is honoured, noted or refused with a sentence, none dropped in silence."""

from pathlib import Path

import pytest

from ppdet_db.config import ConfigError, GlobalOptions
from ppdet_db.config.legacy import FATES
from ppdet_db.engine import load_plan

VERSIONS = ("main_6d2110b", "v2.10.0")
TRAIN_UNCHANGED = (
    "ch_PP-OCRv2/ch_PP-OCRv2_det_student.yml",
    "ch_ppocr_v2.0/ch_det_mv3_db_v2.0.yml",
    "ch_ppocr_v2.0/ch_det_res18_db_v2.0.yml",
    "det_mv3_db.yml",
    "det_r50_vd_db.yml",
    "det_res18_db_v2.0.yml",
)
"""Every DB file whose components are all there."""

REFUSED = {
    "ch_PP-OCRv2/ch_PP-OCRv2_det_cml.yml": "distillation",
    "ch_PP-OCRv2/ch_PP-OCRv2_det_distill.yml": "distillation",
    "ch_PP-OCRv2/ch_PP-OCRv2_det_dml.yml": "distillation",
    "det_mv3_east.yml": "'EAST' is not supported",
    "det_mv3_pse.yml": "'PSE' is not supported",
    "det_r18_vd_ct.yml": "'CT' is not supported",
    "det_r50_drrg_ctw.yml": "'DRRG' is not supported",
    "det_r50_vd_dcn_fce_ctw.yml": "'FCE' is not supported",
    "det_r50_vd_sast_icdar15.yml": "'SAST' is not supported",
}
"""Other kinds of programs: one sentence, however much else in the file is unknown."""

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


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", TRAIN_UNCHANGED)
def test_official_files_check_unchanged(shared: Path, version: str, file: str) -> None:
    path = shared / "paddleocr_configs" / version / file
    notes = load_plan(path).notes
    assert len(notes) <= 2, "a few notes, not a wall of them"
    assert all(note.startswith(f"{path}:") for note in notes), "with the line"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", REFUSED)
def test_files_of_another_program_are_refused_with_one_sentence(shared: Path, version: str, file: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_plan(shared / "paddleocr_configs" / version / file)
    [problem] = caught.value.problems
    assert REFUSED[file] in problem


def test_every_global_key_of_paddleocr_has_a_fate() -> None:
    known = {key for section, key in FATES if section == "Global"} | set(GlobalOptions.__dataclass_fields__)
    assert [key for key in GLOBAL_KEYS.split() if key not in known] == []
