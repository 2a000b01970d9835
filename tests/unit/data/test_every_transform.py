"""What holds for every registered transform, whatever it does."""

import copy
import inspect
import json
import pickle
import random

import cv2
import numpy as np
import pytest

import ppdet_db.data.transforms  # noqa: F401, registers them
from ppdet_db.contract import IDENTITY_KEYS, KEYS
from ppdet_db.data.transforms.deferring import apply, drawn
from ppdet_db.data.transforms.picture import Picture
from ppdet_db.registry import TRANSFORMS

BUILT_IN = [name for name in TRANSFORMS.names() if TRANSFORMS.get(name).__module__.startswith("ppdet_db.")]

ARGUMENTS = {
    "ColorJitter": {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.1},
    "CopyPaste": {"limit_paste": False},
    "DecodeImage": {"img_mode": "BGR"},
    "DetLabelEncode": {},
    "DetResizeForTest": {"limit_side_len": 96},
    "EastRandomCropData": {"size": [64, 64]},
    "IaaAugment": {},
    "KeepKeys": {"keep_keys": ["image", "polys"]},
    "MakeBorderMap": {},
    "MakeShrinkMap": {"min_text_size": 4},
    "NormalizeImage": {"order": "hwc"},
    "Pad": {"size": 128},
    "RandomCrop": {"size": [64, 64]},
    "RandomCropImgMask": {"size": [48, 64], "main_key": "shrink_map", "crop_keys": ["image", "shrink_map"]},
    "RandomPerspective": {"prob": 0.9},
    "Resize": {"size": [48, 64]},
    "ToCHWImage": {},
}
"""The arguments each is tried with; a new transform joins with one line here."""

USES_CHANCE = {
    "ColorJitter", "CopyPaste", "EastRandomCropData", "IaaAugment", "RandomCrop", "RandomCropImgMask",
    "RandomPerspective",
}  # fmt: skip

CURVED = [[10, 20], [40, 14], [70, 20], [70, 30], [40, 24], [10, 30]]
QUAD = [[20, 50], [60, 52], [59, 64], [19, 62]]
LABELS = {
    "texts": [(CURVED, "curved"), (QUAD, "quad"), ([[80, 40], [95, 41], [88, 60]], "###")],
    "no text": [],
    "ignored only": [(QUAD, "*")],
    "outside": [([[-30, 5], [12, 5], [12, 15], [-30, 15]], "half"), ([[300, 300], [350, 300], [350, 310]], "off")],
}
LEAVES_OUT = {"KeepKeys": None, "CopyPaste": {"ext_data"}}  # None: everything not kept


def make_sample(kind, encoded, seed=0):
    pixels = cv2.GaussianBlur(np.random.default_rng(5).integers(0, 256, (72, 100, 3), np.uint8), (5, 5), 0)
    entries = [{"points": points, "transcription": text} for points, text in LABELS[kind]]
    sample = {
        "img_path": "a.png", "line": "labels.txt:1", "index": 3, "epoch": 2, "label": json.dumps(entries),
        "image": cv2.imencode(".png", pixels)[1].tobytes(), "rng": np.random.default_rng(seed),
    }  # fmt: skip
    if encoded:
        return sample
    for name in ("DecodeImage", "DetLabelEncode"):
        sample = build(name)(sample)
    shrink_map = np.zeros(sample["image"].shape[:2], np.float32)  # for those that read maps
    shrink_map[16:28, 30:50] = 1
    return {**sample, "ext_data": [copy.deepcopy(sample)], "shrink_map": shrink_map}


def build(name):
    return TRANSFORMS.get(name)(**copy.deepcopy(ARGUMENTS[name]))


def run(name, kind, seed=0, transform=None):
    sample = make_sample(kind, encoded=name in ("DecodeImage", "DetLabelEncode"), seed=seed)
    return (transform or build(name))(sample)


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for key in a.keys() - {"rng", "ext_data"}:
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


every = pytest.mark.parametrize("name", BUILT_IN)
every_kind = pytest.mark.parametrize("kind", LABELS)


def test_the_table_has_every_transform():
    assert set(ARGUMENTS) == set(BUILT_IN)


@every
@every_kind
def test_declared_keys_have_the_dtype_and_shape_of_the_contract(name, kind):
    transform = build(name)
    sample = run(name, kind, transform=transform)
    for key in transform.gives:
        value, dtypes = sample[key], KEYS[key].dtype.split(", ")
        if isinstance(value, np.ndarray):
            assert value.dtype.name in dtypes, key
        else:
            assert key == "texts"
            assert all(isinstance(text, str) for text in value)
    if "polys" in sample:
        texts = len(sample["polys"])
        assert sample["polys"].ndim == 3
        assert sample["polys"].shape[2] == 2
        if "texts" in sample:  # not under KeepKeys
            assert sample["ignore_tags"].shape == (texts,)
            assert len(sample["texts"]) == texts
    for key in {"shrink_map", "shrink_mask", "threshold_map", "threshold_mask"} & set(transform.gives):
        assert sample[key].shape == sample["image"].shape[:2]


@every
@every_kind
def test_only_declared_keys_change_and_inputs_stay_as_they_are(name, kind):
    transform = build(name)
    sample = make_sample(kind, encoded=name in ("DecodeImage", "DetLabelEncode"))
    before, objects = copy.deepcopy(sample), dict(sample)
    result = transform(sample)  # may well write into the dict itself
    assert_equal(objects, before)
    for other, other_before in zip(objects.get("ext_data", []), before.get("ext_data", []), strict=True):
        assert_equal(other, other_before)
    left_out = LEAVES_OUT.get(name, set())
    may_change = {*transform.gives, *marked_ignored(name)}
    if left_out is not None:
        assert objects.keys() - result.keys() == left_out
    for key in (objects.keys() & result.keys()) - may_change:
        assert result[key] is objects[key], key
    assert result.keys() - objects.keys() <= may_change
    assert all(key in result for key in IDENTITY_KEYS)


def marked_ignored(name):
    """MakeShrinkMap marks texts that are too small ignored for the transforms after it."""
    return ("ignore_tags",) if name == "MakeShrinkMap" else ()


@every
@every_kind
def test_needs_are_all_it_needs(name, kind):
    transform = build(name)
    sample = make_sample(kind, encoded=name in ("DecodeImage", "DetLabelEncode"))
    always = {*IDENTITY_KEYS, "epoch", "rng"} | ({"ext_data"} if getattr(transform, "ext_data_num", 0) else set())
    transform({key: value for key, value in sample.items() if key in {*transform.needs, *always}})


@every
@every_kind
def test_equal_generators_give_equal_samples_also_after_pickling(name, kind):
    transform = build(name)
    first = run(name, kind, transform=transform)
    run(name, kind, seed=1, transform=transform)
    assert_equal(first, run(name, kind, transform=transform))
    assert_equal(first, run(name, kind, transform=pickle.loads(pickle.dumps(transform))))


@pytest.mark.parametrize("name", [name for name in BUILT_IN if name != "DecodeImage"])  # which reads files
@every_kind
def test_a_picture_that_is_not_drawn_yet_gives_the_same(name, kind):
    sample = make_sample(kind, encoded=False)
    undrawn = apply(build(name), {**make_sample(kind, encoded=False), "image": Picture(sample["image"])})
    assert_equal(drawn(undrawn), build(name)(sample))


@every
def test_chance_comes_from_the_sample_and_from_nowhere_else(name):
    before = pickle.dumps((np.random.get_state(), random.getstate()))
    images = {np.asarray(run(name, "texts", seed=seed).get("image", 0)).tobytes() for seed in range(4)}
    assert (len(images) > 1) == (name in USES_CHANCE)
    assert pickle.dumps((np.random.get_state(), random.getstate())) == before


@every
def test_docstring_describes_every_argument(name):
    cls = TRANSFORMS.get(name)
    parameters = list(inspect.signature(cls).parameters)
    assert cls.__doc__
    if parameters:
        described = inspect.cleandoc(cls.__doc__).split("Args:\n")[1]
        assert [parameter for parameter in parameters if f"    {parameter}: " not in described] == []
