"""The rules between sections: each holds for the base config and speaks for one edit of it."""

from pathlib import Path

import pytest

from ppdet_db.config import ConfigError, check, load_config


def problems_of(text: str) -> list[str]:
    Path("b.yml").write_text(text)
    config = load_config("b.yml")
    with pytest.raises(ConfigError) as caught:
        check(config)
    return caught.value.problems


def notes_of(text: str) -> list[str]:
    Path("b.yml").write_text(text)
    return list(check(load_config("b.yml")).notes)


TRAIN_KEEP = "{keep_keys: [image, threshold_map, threshold_mask, shrink_map, shrink_mask]}"
EVAL_KEEP = "{keep_keys: [image, shape, polys, ignore_tags]}"
TRAIN_LABELS = "      - DetLabelEncode:\n      - East"


def test_the_base_config_is_clean(folder: Path, base: str) -> None:
    assert notes_of(base) == []


@pytest.mark.parametrize(
    ("edits", "notes"),
    [
        ({"k: 50": "k: 50, aux_in_channels: 256", "alpha: 5": "alpha: 5, aux_weight_p3: 0.3"}, []),
        (
            {"k: 50": "k: 50, aux_in_channels: 256"},
            [
                "b.yml:10: Architecture.Head.aux_in_channels: auxiliary maps are made and not trained: set "
                "Loss.aux_weight_p2, aux_weight_p3 and aux_weight_p4"
            ],
        ),
        (
            {"alpha: 5": "alpha: 5, aux_weight_p2: 0, aux_weight_p4: 0.2"},
            ["b.yml:11: Loss.aux_weight_p4: has no effect: the head makes no auxiliary maps (DBHead.aux_in_channels)"],
        ),
        (
            {"layers: 18": "layers: 18, dcn_stage: [false, true, true, true]"},
            ["b.yml:8: Architecture.Backbone.dcn_stage: has no effect at 18 layers, whose blocks are never deformable"],
        ),
        ({"layers: 18": "layers: 18, dcn_stage: [false, false, false, false]"}, []),
        ({"layers: 18": "dcn_stage: [true, true, true, true]"}, []),  # 50 layers
    ],
)
def test_parts_of_the_network_that_nothing_trains_or_makes(
    folder: Path, base: str, edits: dict[str, str], notes: list[str]
) -> None:
    for old, new in edits.items():
        base = base.replace(old, new)
    assert notes_of(base) == notes


def test_a_transform_that_misses_its_keys(folder: Path, base: str) -> None:
    assert problems_of(base.replace(TRAIN_LABELS, "      - East")) == [
        "b.yml:27: Train.dataset.transforms.1.EastRandomCropData: needs 'polys', 'texts', 'ignore_tags', "
        "which nothing before it gives (DetLabelEncode would)"
    ]


def test_a_transform_before_the_one_it_lives_on(folder: Path, base: str) -> None:
    crop = "      - EastRandomCropData: {size: [640, 640]}\n"
    text = base.replace(crop, "").replace(TRAIN_LABELS[:-10], crop + TRAIN_LABELS[:-10], 1)
    assert problems_of(text)[0] == (
        "b.yml:27: Train.dataset.transforms.1.EastRandomCropData: needs 'polys', 'texts', 'ignore_tags', "
        "which nothing before it gives (DetLabelEncode would)"
    )


def test_what_is_missing_is_reported_once(folder: Path, base: str) -> None:
    text = base.replace("      - DetLabelEncode:\n      - EastRandomCropData: {size: [640, 640]}\n", "")
    assert problems_of(text) == [
        "b.yml:27: Train.dataset.transforms.1.MakeShrinkMap: needs 'polys', 'ignore_tags', which nothing before it "
        "gives (DetLabelEncode would)"
    ]


def test_a_dataset_may_declare_what_it_gives(folder: Path, base: str) -> None:
    own = base.replace("name: SimpleDataSet\n    data_dir: ./train", "name: PolygonDataSet")
    assert notes_of(own.replace(TRAIN_LABELS, "      - East")) == []
    assert problems_of(own) == [
        "b.yml:26: Train.dataset.transforms.1.DetLabelEncode: needs 'label', which nothing before it gives"
    ]


def test_keep_keys_always_keeps_what_names_the_picture(folder: Path, base: str) -> None:
    assert (
        notes_of(
            base.replace(f"      - KeepKeys: {TRAIN_KEEP}\n", f"      - KeepKeys: {TRAIN_KEEP}\n      - ReadsPath:\n")
        )
        == []
    )


def test_keep_keys_of_a_map_that_nothing_draws(folder: Path, base: str) -> None:
    text = base.replace("      - MakeShrinkMap: {shrink_ratio: 0.4}\n", "")
    assert problems_of(text) == [
        "b.yml:33: Train.dataset.transforms.5.KeepKeys: needs 'shrink_map', 'shrink_mask', which nothing before it "
        "gives (MakeShrinkMap would)"
    ]


KEEPS = [
    (TRAIN_KEEP, "shrink_mask", "b.yml:34: Train.dataset.transforms.6.KeepKeys.keep_keys: lacks 'shrink_mask', "
     "which DBLoss reads"),
    (TRAIN_KEEP, "image", "b.yml:34: Train.dataset.transforms.6.KeepKeys.keep_keys: lacks 'image', "
     "which the network reads"),
    (EVAL_KEEP, "shape", "b.yml:44: Eval.dataset.transforms.4.KeepKeys.keep_keys: lacks 'shape', "
     "which DBPostProcess reads"),
    (EVAL_KEEP, "polys", "b.yml:44: Eval.dataset.transforms.4.KeepKeys.keep_keys: lacks 'polys', "
     "which DetMetric reads"),
]  # fmt: skip


@pytest.mark.parametrize(("keep", "key", "problem"), KEEPS)
def test_keep_keys_lacks_what_is_read_later(folder: Path, base: str, keep: str, key: str, problem: str) -> None:
    without = keep.replace(f"{key}, ", "").replace(f", {key}]", "]")
    assert problems_of(base.replace(keep, without)) == [problem]


def test_no_maps_at_all_names_both_that_draw_them(folder: Path, base: str) -> None:
    maps = base[base.index("      - MakeShrinkMap") : base.index("      - ToCHWImage")]
    text = base.replace(maps, "").replace(f"      - KeepKeys: {TRAIN_KEEP}\n", "")
    assert problems_of(text)[0].endswith("which DBLoss reads (MakeBorderMap and MakeShrinkMap would)")


def test_without_keep_keys_the_keys_still_have_to_be_there(folder: Path, base: str) -> None:
    text = base.replace(f"      - KeepKeys: {TRAIN_KEEP}\n", "")
    assert notes_of(text) == []
    text = text.replace("      - MakeShrinkMap: {shrink_ratio: 0.4}\n", "")
    assert problems_of(text) == [
        "b.yml:25: Train.dataset.transforms: no transform gives 'shrink_map', 'shrink_mask', which DBLoss reads "
        "(MakeShrinkMap would)"
    ]


def test_a_dataset_without_transforms_gives_nothing_to_train_on(folder: Path, base: str) -> None:
    start, end = base.index("    transforms:\n      - DecodeImage: {img"), base.index("  loader: {shuffle")
    assert problems_of(base[:start] + base[end:]) == [
        "b.yml:22: Train.dataset.transforms: no transform gives 'shrink_map', 'shrink_mask', 'threshold_map', "
        "'threshold_mask', which DBLoss reads (MakeBorderMap and MakeShrinkMap would)"
    ]


@pytest.mark.parametrize(
    ("line", "note"),
    [
        ("      - DecodeImage: {img_mode: BGR}\n", "has no DecodeImage: the picture stays an encoded file"),
        ("      - ToCHWImage:\n", "has no ToCHWImage: the network gets (H, W, 3) instead of (3, H, W)"),
    ],
)
def test_a_picture_that_keeps_the_wrong_form_is_noted(folder: Path, base: str, line: str, note: str) -> None:
    assert notes_of(base.replace(line, "", 1)) == [
        f"b.yml:25: Train.dataset.transforms: {note}, unless a transform of your own sees to it"
    ]


def test_a_class_that_declares_nothing_silences_the_rules_behind_it(folder: Path, base: str) -> None:
    own = base.replace(TRAIN_LABELS, "      - UsersOwn:\n      - East")
    assert notes_of(own) == []
    lacking = own.replace("shrink_map, shrink_mask]", "shrink_map]")  # KeepKeys says again what there is
    assert problems_of(lacking) == [
        "b.yml:34: Train.dataset.transforms.6.KeepKeys.keep_keys: lacks 'shrink_mask', which DBLoss reads"
    ]


def test_the_rules_are_silent_where_a_transform_is_unknown(folder: Path, base: str) -> None:
    text = base.replace(TRAIN_LABELS, "      - DetLabelEncoder:\n      - East")
    assert len(problems_of(text)) == 1


def test_the_rules_are_silent_where_keep_keys_is_wrong(folder: Path, base: str) -> None:
    assert problems_of(base.replace(TRAIN_KEEP, "{keep_keys: image}")) == [
        "b.yml:34: Train.dataset.transforms.6.KeepKeys.keep_keys: must be a list of texts, got 'image'"
    ]


@pytest.mark.parametrize("size", ["[640, 650]", "[650, 640]"])
def test_a_crop_that_the_network_cannot_halve(folder: Path, base: str, size: str) -> None:
    assert problems_of(base.replace("[640, 640]", size)) == [
        f"b.yml:28: Train.dataset.transforms.2.EastRandomCropData.size: must be divisible by 32, got {size}"
    ]


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ("RandomCrop: {size: [640, 620]}", "RandomCrop.size: must be divisible by 32, got [640, 620]"),
        ("Pad: {size: 700}", "Pad.size: must be divisible by 32, got 700"),
        ("Pad: {size: [640, 650]}", "Pad.size: must be divisible by 32, got [640, 650]"),
        ("Pad: {size_div: 48}", "Pad.size_div: must be divisible by 32, got 48"),
    ],
)
def test_other_sizes_that_the_network_cannot_halve(folder: Path, base: str, steps: str, problem: str) -> None:
    text = base.replace("EastRandomCropData: {size: [640, 640]}", steps)
    assert problems_of(text) == [f"b.yml:28: Train.dataset.transforms.2.{problem}"]


def test_the_last_size_decides(folder: Path, base: str) -> None:
    crop = "      - EastRandomCropData: {size: [640, 640]}\n"
    odd = crop.replace("640, 640", "600, 630")
    assert notes_of(base.replace(crop, f"{odd}      - Pad: {{size: 640}}\n")) == []
    assert notes_of(base.replace(crop, f"{odd}      - Pad:\n")) == []
    assert notes_of(base.replace(crop, f"{odd}      - RandomCrop:\n")) == []


def test_what_moves_the_picture_after_its_label_maps(folder: Path, base: str) -> None:
    crop, chw = "      - EastRandomCropData: {size: [640, 640]}\n", "      - ToCHWImage:\n"
    assert problems_of(base.replace(crop, "").replace(chw, crop + chw, 1)) == [
        "b.yml:32: Train.dataset.transforms.4.EastRandomCropData: changes the picture after MakeBorderMap, whose map "
        "would no longer fit. Put it before"
    ]


def test_what_moves_the_picture_after_the_evaluation_resize(folder: Path, base: str) -> None:
    resize = "      - DetResizeForTest:\n"
    assert problems_of(base.replace(resize, f"{resize}      - Pad:\n")) == [
        "b.yml:43: Eval.dataset.transforms.3.Pad: changes the picture after DetResizeForTest, so that what is found "
        "would come back to other places. Put it before"
    ]
    assert notes_of(base.replace(resize, f"      - Pad:\n{resize}")) == []


def test_a_crop_of_maps_reads_what_it_names(folder: Path, base: str) -> None:
    chw = "      - ToCHWImage:\n"
    crop = (
        "      - RandomCropImgMask: {size: [320, 320], main_key: shrink_map, crop_keys: [image, shrink_map, gt_text]}\n"
    )
    assert problems_of(base.replace(chw, crop + chw, 1)) == [
        "b.yml:33: Train.dataset.transforms.5.RandomCropImgMask: needs 'gt_text', which nothing before it gives"
    ]
    assert notes_of(base.replace(chw, crop.replace(", gt_text", "") + chw, 1)) == []


def test_two_shrink_ratios_are_noted(folder: Path, base: str) -> None:
    assert notes_of(base.replace("MakeShrinkMap: {shrink_ratio: 0.4}", "MakeShrinkMap: {shrink_ratio: 0.5}")) == [
        "b.yml:31: Train.dataset.transforms.4.MakeBorderMap.shrink_ratio: is 0.4, but MakeShrinkMap has 0.5"
    ]
    default = base.replace("MakeShrinkMap: {shrink_ratio: 0.4}", "MakeShrinkMap:")
    assert notes_of(default) == []  # 0.4 is its default


def test_the_border_map_before_the_shrink_map_is_noted(folder: Path, base: str) -> None:
    shrink = "      - MakeShrinkMap: {shrink_ratio: 0.4}\n"
    text = base.replace(shrink, "").replace("      - ToCHWImage:\n", shrink + "      - ToCHWImage:\n", 1)
    assert notes_of(text) == [
        "b.yml:29: Train.dataset.transforms.3.MakeBorderMap: comes before MakeShrinkMap: texts that are dropped there "
        "as too small still supervise the threshold map, as in PaddleOCR. Put MakeShrinkMap first to leave them out"
    ]


def test_a_label_map_after_the_evaluation_resize(folder: Path, base: str) -> None:
    text = base.replace("      - DetResizeForTest:\n", "      - DetResizeForTest:\n      - MakeShrinkMap:\n")
    assert problems_of(text) == [
        "b.yml:43: Eval.dataset.transforms.3.MakeShrinkMap: a label map after DetResizeForTest would not fit the "
        "picture: the polygons are not resized. Remove one of the two"
    ]
    before = base.replace("      - DetResizeForTest:\n", "      - MakeShrinkMap:\n      - DetResizeForTest:\n")
    assert notes_of(before) == []
