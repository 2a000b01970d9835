"""The exact words of config errors and notes. They are an interface: people and programs read them."""

from pathlib import Path

import pytest

from ppdet_db.config import ConfigError, check, load_config

HINT = "(unknown keys become warnings with -o Global.strict=false)"

# (reason, text of the base config, what stands there instead, lines of the error)
PROBLEMS = [
    (
        "unknown component, near a known one",
        "name: DBFPN",
        "name: DBFNP",
        ["b.yml:9: Architecture.Neck.name: no neck named 'DBFNP'. Did you mean 'DBFPN'?"],
    ),
    (
        "unknown component, near nothing",
        "name: DBHead",
        "name: Xyz",
        ["b.yml:10: Architecture.Head.name: no head named 'Xyz'. Known: DBHead."],
    ),
    (
        "misspelt parameter",
        "box_thresh: 0.6",
        "box_tresh: 0.6",
        [
            "b.yml:19: PostProcess.box_tresh: DBPostProcess has no parameter 'box_tresh'. "
            "Did you mean 'box_thresh'?",
            HINT,
        ],
    ),
    (
        "misspelt parameter of a transform",
        "MakeShrinkMap: {shrink_ratio",
        "MakeShrinkMap: {shrink_rate",
        [
            "b.yml:29: Train.dataset.transforms.3.MakeShrinkMap.shrink_rate: MakeShrinkMap has no parameter "
            "'shrink_rate'. Did you mean 'shrink_ratio'?",
            HINT,
        ],
    ),
    (
        "misspelt Global key",
        "print_batch_step: 5",
        "print_batch_stop: 5",
        ["b.yml:3: Global.print_batch_stop: Global has no parameter 'print_batch_stop'. "
         "Did you mean 'print_batch_step'?", HINT],
    ),
    (
        "misspelt section",
        "Metric: {",
        "Metrics: {",
        [
            "b.yml: the section 'Metric' is missing",
            "b.yml:20: Metrics: no such section. Did you mean 'Metric'?",
            HINT,
        ],
    ),
    (
        "misspelt part of a section",
        "  Neck: {",
        "  Nack: {",
        [
            "b.yml:9: Architecture.Nack: Architecture has no 'Nack'. Did you mean 'Neck'?",
            "b.yml:4: Architecture: Architecture needs 'Neck'",
            HINT,
        ],
    ),
    (
        "unknown transform",
        "- DetLabelEncode:\n      - East",
        "- DetLabelEncod:\n      - East",
        ["b.yml:27: Train.dataset.transforms.1.DetLabelEncod: no transform named 'DetLabelEncod'. "
         "Did you mean 'DetLabelEncode'?"],
    ),
    (
        "text for an integer",
        "batch_size_per_card: 8",
        "batch_size_per_card: four",
        ["b.yml:35: Train.loader.batch_size_per_card: must be an integer, got 'four'"],
    ),
    (
        "truth for an integer",
        "layers: 18",
        "layers: true",
        ["b.yml:8: Architecture.Backbone.layers: must be an integer, got true"],
    ),
    (
        "what any backbone of PaddleOCR may have and none has here",
        "layers: 18",
        "layers: 18, pretrained: true, out_indices: [1, 2, 3]",
        [
            "b.yml:8: Architecture.Backbone.pretrained: weights to start from are Global.pretrained_model. Remove it",
            "b.yml:8: Architecture.Backbone.out_indices: the necks take all four features. Remove it",
        ],
    ),
    (
        "null for a number",
        "box_thresh: 0.6",
        "box_thresh:",
        ["b.yml:19: PostProcess.box_thresh: must be a number, got null"],
    ),
    (
        "text for a number",
        "box_thresh: 0.6",
        "box_thresh: '0.6'",
        ["b.yml:19: PostProcess.box_thresh: must be a number, got '0.6'"],
    ),
    (
        "a list of the wrong things",
        "size: [640, 640]",
        "size: [640, big]",
        ["b.yml:28: Train.dataset.transforms.2.EastRandomCropData.size: must be a list of integers, "
         "got [640, 'big']"],
    ),
    (
        "a misspelt word of an enumeration",
        "box_thresh: 0.6",
        "score_mode: fats",
        ["b.yml:19: PostProcess.score_mode: must be 'fast' or 'slow', got 'fats'. Did you mean 'fast'?"],
    ),
    (
        "a value out of range, found by the constructor",
        "MakeShrinkMap: {shrink_ratio: 0.4}",
        "MakeShrinkMap: {shrink_ratio: 4}",
        ["b.yml:29: Train.dataset.transforms.3.MakeShrinkMap: shrink_ratio must be in (0, 1), got 4"],
    ),
    (
        "a value out of range outside the transforms",
        "box_thresh: 0.6",
        "thresh: 2",
        ["b.yml:19: PostProcess: thresh must be in (0, 1), got 2"],
    ),
    (
        "imports that are no list",
        "print_batch_step: 5",
        "imports: my.py",
        ["b.yml:3: Global.imports: must be a list of texts, got 'my.py'"],
    ),
    (
        "an option out of range",
        "print_batch_step: 5",
        "print_batch_step: 0",
        ["b.yml:3: Global: print_batch_step must be at least 1, got 0"],
    ),
    (
        "an evaluation rhythm of three numbers",
        "print_batch_step: 5",
        "eval_batch_step: [0, 10, 20]",
        ["b.yml:3: Global: eval_batch_step must be [first step, steps between], such as [0, 400], "
         "got [0, 10, 20]"],
    ),
    (
        "a parameter without default that is missing",
        "- ToCHWImage:\n      - KeepKeys: {keep_keys: [image, thr",
        "- NeedsFactor:\n      - KeepKeys: {keep_keys: [image, thr",
        ["b.yml:33: Train.dataset.transforms.5.NeedsFactor: NeedsFactor needs 'factor'"],
    ),
    (
        "a required option that is missing",
        "epoch_num: &epoch_num 500",
        "seed: &epoch_num 500",
        ["b.yml:1: Global: Global needs 'epoch_num'"],
    ),
    (
        "a section without its name",
        "Loss: {name: DBLoss, ",
        "Loss: {",
        ["b.yml:11: Loss: Loss needs 'name', which says which loss. Known: DBLoss."],
    ),
    (
        "a parameter that the program supplies",
        "out_channels: 256",
        "in_channels: [64, 128]",
        ["b.yml:9: Architecture.Neck.in_channels: the program supplies 'in_channels' of DBFPN; remove it here"],
    ),
    (
        "a section that is no mapping",
        "Loss: {name: DBLoss, alpha: 5}",
        "Loss: DBLoss",
        ["b.yml:11: Loss: must be a mapping (key: value), got 'DBLoss'"],
    ),
    (
        "parameters of a transform not indented enough",
        "          shrink_ratio: 0.4\n          total",
        "        shrink_ratio: 0.4\n        total",
        ["b.yml:30: Train.dataset.transforms.4: must be one transform with its parameters indented below it, "
         "got ['MakeBorderMap', 'shrink_ratio', 'total_epoch']"],
    ),
    (
        "transforms that are no list",
        "- DetResizeForTest:",
        "- DetResizeForTest: 736",
        ["b.yml:42: Eval.dataset.transforms.2.DetResizeForTest: must be a mapping (key: value), got 736"],
    ),
    (
        "another method: one sentence, nothing about its other parts",
        "algorithm: DB\n",
        "algorithm: EAST\n  Unknown: 1\n",
        ["b.yml:6: Architecture.algorithm: 'EAST' is not supported: this program trains DBNet (DB and DB++)"],
    ),
    (
        "distillation",
        "  Backbone: {name: ResNet_vd, layers: 18}",
        "  Models: {Student: {}}",
        ["b.yml:8: Architecture.Models: distillation (CML, DML) is not supported: train the student alone, "
         "with its own Backbone, Neck, Head"],
    ),
    (
        "recognition",
        "model_type: det",
        "model_type: rec",
        ["b.yml:5: Architecture.model_type: only text detection (det) is supported"],
    ),
    (
        "a feature to come",
        "print_batch_step: 5",
        "use_wandb: true",
        ["b.yml:3: Global.use_wandb: not supported yet: logging to Weights & Biases. Set it to false or remove it"],
    ),
    (
        "a sampler",
        "  loader: {shuffle: true, ",
        "  sampler: {name: MultiScaleSampler}\n  loader: {shuffle: true, ",
        ["b.yml:35: Train.sampler: not supported: samplers such as MultiScaleSampler are for text recognition"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "lines"), [row[1:] for row in PROBLEMS], ids=[row[0] for row in PROBLEMS])
def test_each_problem_names_its_place_and_cure(folder: Path, base: str, old: str, new: str, lines: list[str]) -> None:
    assert base.count(old) == 1
    Path("b.yml").write_text(base.replace(old, new))
    config = load_config("b.yml")
    with pytest.raises(ConfigError) as caught:
        check(config)
    assert caught.value.problems == lines


def test_all_problems_come_together_those_of_overrides_too(folder: Path, base: str) -> None:
    text = base.replace("name: DBFPN", "name: DBFNP").replace("Map: {shrink_ratio", "Map: {shrink_rate")
    Path("b.yml").write_text(text)
    config = load_config("b.yml", ["PostProcess.unclip_ration=1.6", "PostProces.thresh=0.2"])
    with pytest.raises(ConfigError) as caught:
        check(config)
    assert str(caught.value).splitlines() == [
        "b.yml:9: Architecture.Neck.name: no neck named 'DBFNP'. Did you mean 'DBFPN'?",
        "-o PostProcess.unclip_ration=1.6: PostProcess.unclip_ration: DBPostProcess has no parameter 'unclip_ration'. "
        "Did you mean 'unclip_ratio'?",
        "b.yml:29: Train.dataset.transforms.3.MakeShrinkMap.shrink_rate: MakeShrinkMap has no parameter 'shrink_rate'. "
        "Did you mean 'shrink_ratio'?",
        "-o PostProces.thresh=0.2: no 'PostProces' in the config. Did you mean 'PostProcess'?",
        HINT,
    ]


# (reason, text of the base config, what stands there instead, the notes)
NOTES = [
    ("nothing to say", "box_thresh: 0.6", "box_thresh: 0.6", []),
    ("a key that asks for nothing", "print_batch_step: 5", "use_visualdl: false", []),
    ("a feature to come, switched off", "print_batch_step: 5", "use_wandb: false", []),
    (
        "a key without effect",
        "print_batch_step: 5",
        "load_static_weights: true",
        ["b.yml:3: Global.load_static_weights: ignored: nothing reads it"],
    ),
    (
        "what a backbone is anyway, or need not know",
        "layers: 18",
        "layers: 18, pretrained: false, out_indices: [0, 1, 2, 3], use_ssld: true",
        ["b.yml:8: Architecture.Backbone.use_ssld: ignored: only chose which pretrained weights to download"],
    ),
    (
        "a name that PaddleOCR files have wrong",
        "box_thresh: 0.6",
        "det_box_type: poly",
        ["b.yml:19: PostProcess.det_box_type: read as 'box_type'"],
    ),
    (
        "the wrong and the right name together",
        "box_thresh: 0.6",
        "det_box_type: poly\n  box_type: quad",
        ["b.yml:19: PostProcess.det_box_type: ignored: 'box_type' is set too"],
    ),
    (
        "what the program follows by itself",
        "lr: {learning_rate: 1e-3}",
        "lr: {learning_rate: 1e-3, epochs: 1200}",
        ["b.yml:15: Optimizer.lr.epochs: ignored: follows Global.epoch_num"],
    ),
    (
        "a repeated key",
        "  loader: {shuffle: true, batch_size_per_card: 8}",
        "  loader: {batch_size_per_card: 2}\n  loader: {batch_size_per_card: 8}",
        ["b.yml:36: key 'loader' repeated (first at line 35); last one wins"],
    ),
    (
        "an unknown key where the user does not mind",
        "print_batch_step: 5",
        "strict: false\n  colour: blue",
        [
            "b.yml:4: Global.colour: ignored: Global has no parameter 'colour'. Known: accumulate, "
            "amp_custom_black_list, amp_custom_white_list, amp_dtype, amp_level, checkpoints, data_root, ema_decay, "
            "ema_decay_type, ema_filter_no_grad, ema_gamma, epoch_num, eval_batch_epoch, eval_batch_step, eval_engine, "
            "freeze, freeze_norm, imports, infer_img, log_smooth_window, model_name, pretrained_model, "
            "print_batch_step, save_epoch_step, save_inference_dir, save_model_dir, save_res_path, scale_loss, seed, "
            "strict, to_static, use_amp, use_dynamic_loss_scaling, use_ema, use_gpu."
        ],
    ),
    (
        "settings of an average that is not made",
        "print_batch_step: 5",
        "use_ema: false\n  ema_decay: 0.99",
        ["b.yml:4: Global.ema_decay: ignored: has no effect without use_ema"],
    ),
    ("settings of an average that is made", "print_batch_step: 5", "use_ema: true\n  ema_decay: 0.99", []),
]


@pytest.mark.parametrize(("old", "new", "notes"), [row[1:] for row in NOTES], ids=[row[0] for row in NOTES])
def test_notes(folder: Path, base: str, old: str, new: str, notes: list[str]) -> None:
    Path("b.yml").write_text(base.replace(old, new))
    assert list(check(load_config("b.yml")).notes) == notes


def test_strict_false_never_excuses_an_unknown_component(folder: Path, base: str) -> None:
    Path("b.yml").write_text(base.replace("name: DBFPN", "name: DBFNP"))
    config = load_config("b.yml", ["Global.strict=false"])
    with pytest.raises(ConfigError) as caught:
        check(config)
    assert caught.value.problems == ["b.yml:9: Architecture.Neck.name: no neck named 'DBFNP'. Did you mean 'DBFPN'?"]
