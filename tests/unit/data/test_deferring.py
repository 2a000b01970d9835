"""Pictures stay undrawn from transform to transform, and whoever needs pixels finds them."""

import json
from typing import ClassVar

import cv2
import numpy as np
import pytest

from ppdet_db.contract import BadSample
from ppdet_db.data.dataset import DetDataset
from ppdet_db.data.transforms import (
    ColorJitter,
    DecodeImage,
    DetLabelEncode,
    EastRandomCropData,
    IaaAugment,
    KeepKeys,
    MakeBorderMap,
    MakeShrinkMap,
    NormalizeImage,
    RandomCrop,
    RandomPerspective,
    Resize,
    ToCHWImage,
)
from ppdet_db.data.transforms.deferring import apply, drawn
from ppdet_db.data.transforms.packed import Packed
from ppdet_db.data.transforms.picture import Picture

QUADS = [[[60, 40], [180, 48], [178, 88], [58, 80]], [[200, 120], [300, 120], [300, 150], [200, 150]]]
LABEL = json.dumps([{"transcription": "word", "points": quad} for quad in QUADS])


def scene(shape=(240, 360)):
    """Soft background, flat texts with an outline; as sharp as a photograph is."""
    noise = np.random.default_rng(0).normal(0, 1, (*shape, 3)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 6)
    pixels = np.clip(128 + blurred / blurred.std() * 35, 0, 255).astype(np.uint8)
    for quad in QUADS:
        cv2.fillPoly(pixels, [np.array(quad)], (210, 220, 200))
        cv2.polylines(pixels, [np.array(quad)], True, (30, 30, 30))
    return cv2.GaussianBlur(pixels, (0, 0), 1.2)


def encode(ending=".jpg"):
    return cv2.imencode(ending, scene(), [cv2.IMWRITE_JPEG_QUALITY, 95] if ending == ".jpg" else [])[1].tobytes()


class Scenes(DetDataset):
    """Ten times the same file."""

    def __init__(self, transforms, data=None):
        super().__init__(transforms, base_seed=3)
        self.data = encode() if data is None else data

    def __len__(self):
        return 10

    def read(self, epoch, index, rng):
        return {"img_path": f"{index}.jpg", "line": f"labels.txt:{index}", "image": self.data, "label": LABEL}


class Notes:
    """A transform that notes what it gets; of a user, who knows nothing of undrawn pictures."""

    def __init__(self):
        self.kinds = []

    def __call__(self, sample):
        self.kinds.append(type(sample["image"]))
        return sample


class OwnCrop(EastRandomCropData):
    """A user's subclass with a call of its own, on pixels."""

    def __call__(self, sample):
        sample = super().__call__({**sample, "image": 255 - sample["image"]})
        return {**sample, "image": sample["image"] // 2}


@pytest.fixture
def decoded(monkeypatch):
    """The flags with which files are decoded in this test."""
    flags = []
    imdecode = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda data, flag: flags.append(flag) or imdecode(data, flag))
    return flags


GEOMETRY = {
    "augmented, cropped": [IaaAugment(), EastRandomCropData(size=[288, 224])],
    "augmented, cropped at its scale": [IaaAugment(), RandomCrop(size=[288, 224])],
    "seen from the side": [IaaAugment(), RandomPerspective(prob=0.8, perspective=2e-4), RandomCrop(size=[288, 224])],
    "resized": [Resize(size=[260, 300]), EastRandomCropData(size=[288, 224], keep_ratio=False)],
}


class TestOneDrawing:
    @pytest.mark.parametrize("name", GEOMETRY)
    @pytest.mark.parametrize("ending", [".jpg", ".png"])
    def test_polygons_texts_and_pixels_are_those_of_drawing_at_every_step(self, name, ending):
        """With the same chance for every picture, so the distribution of what is drawn is the same."""
        transforms = [DecodeImage(img_mode="BGR"), DetLabelEncode(), *GEOMETRY[name]]
        apart = []
        for epoch in range(30):
            once, rng = Scenes(transforms, encode(ending))[epoch, 1], np.random.default_rng((3, epoch, 1))
            step = {"image": encode(ending), "label": LABEL, "rng": rng}
            for transform in transforms:
                step = transform(step)
                assert isinstance(step["image"], np.ndarray)
            np.testing.assert_allclose(once["polys"], step["polys"], atol=0.05)
            assert once["texts"] == step["texts"]
            assert once["image"].shape == step["image"].shape
            assert once["rng"].integers(2**40) == step["rng"].integers(2**40)
            apart.append(np.abs(once["image"].astype(int) - step["image"]).mean())
        assert np.mean(apart) < 1

    @pytest.mark.parametrize("name", GEOMETRY)
    def test_nothing_is_drawn_on_the_way(self, name):
        sample = {"image": encode(), "label": LABEL, "rng": np.random.default_rng(0)}
        for transform in [DecodeImage(), DetLabelEncode(), *GEOMETRY[name]]:
            sample = apply(transform, sample)
            assert isinstance(sample["image"], Picture), type(transform)
        if name != "seen from the side":  # tilting must not bring back what turning has moved out
            assert not isinstance(sample["image"].source, np.ndarray)

    def test_a_file_is_decoded_once_at_the_end(self, decoded):
        notes = Notes()
        transforms = [
            DecodeImage(img_mode="BGR"),
            DetLabelEncode(),
            *GEOMETRY["augmented, cropped"],
            notes,
            MakeShrinkMap(),
        ]
        sample = Scenes(transforms)[0]
        assert len(decoded) == 1
        assert notes.kinds == [np.ndarray]
        assert isinstance(sample["image"], np.ndarray)

    def test_a_file_is_decoded_smaller_for_a_small_crop(self, decoded):
        large = cv2.imencode(".jpg", cv2.resize(scene(), (2880, 1920)))[1].tobytes()
        whole = EastRandomCropData(size=[360, 240], max_tries=0)
        sample = Scenes([DecodeImage(img_mode="BGR"), DetLabelEncode(), whole], large)[0]
        assert decoded == [cv2.IMREAD_REDUCED_COLOR_8]
        assert np.abs(sample["image"].astype(int) - scene()).mean() < 3

    def test_evaluation_decodes_as_it_is(self, decoded):
        """Only what moves the picture may leave it undrawn: DetResizeForTest has the numbers that PaddleOCR has."""
        Scenes([DecodeImage(img_mode="BGR"), DetLabelEncode(), lambda sample: sample])[0]
        assert decoded == [cv2.IMREAD_COLOR]


class TestPixelsForOthers:
    @pytest.mark.parametrize("position", range(5))
    def test_a_users_transform_gets_pixels_wherever_it_stands(self, position):
        notes = Notes()
        transforms = [DetLabelEncode(), *GEOMETRY["augmented, cropped"], MakeBorderMap(), NormalizeImage(order="hwc")]
        transforms.insert(position, notes)
        Scenes([DecodeImage(img_mode="BGR"), *transforms])[0]
        assert notes.kinds == [np.ndarray]

    def test_a_users_transform_before_decoding_gets_the_file(self):
        notes = Notes()
        Scenes([notes, DecodeImage()])[0]
        assert notes.kinds == [bytes]

    def test_a_subclass_with_a_call_of_its_own_is_called(self):
        """Not the `deferred` of its base behind its back."""
        transforms = [DecodeImage(img_mode="BGR"), DetLabelEncode()]
        own = Scenes([*transforms, OwnCrop(size=[360, 240], max_tries=0)])[0]["image"]
        plain = Scenes([*transforms, EastRandomCropData(size=[360, 240], max_tries=0)])[0]["image"]
        np.testing.assert_array_equal(own, (255 - plain) // 2)

    def test_what_is_drawn_between_is_drawn_as_it_lies(self):
        """ColorJitter between two moves: the second goes on from the pixels."""
        transforms = [DecodeImage(img_mode="BGR"), DetLabelEncode(), IaaAugment(), ColorJitter(), *GEOMETRY["resized"]]
        sample = Scenes(transforms)[0]
        assert sample["image"].shape == (224, 288, 3)
        assert sample["image"].std() > 10

    def test_called_by_hand_a_transform_takes_and_gives_pixels(self):
        sample = DecodeImage(img_mode="BGR")({"image": encode(), "rng": np.random.default_rng(0), "label": LABEL})
        for transform in (DetLabelEncode(), IaaAugment(), Resize(), EastRandomCropData()):
            assert isinstance(sample["image"], np.ndarray)
            sample = transform(sample)
        undrawn = apply(DecodeImage(img_mode="BGR"), {"image": encode()})
        assert isinstance(undrawn["image"], Picture)
        np.testing.assert_array_equal(drawn(undrawn)["image"], cv2.imdecode(np.frombuffer(encode(), np.uint8), 1))


MAPS = ["shrink_map", "shrink_mask", "threshold_mask"]


class TestPacked:
    transforms = (DecodeImage(img_mode="BGR"), DetLabelEncode(), *GEOMETRY["augmented, cropped"])
    last = (MakeShrinkMap(), MakeBorderMap(), NormalizeImage(order="hwc"), ToCHWImage(), KeepKeys(["image", *MAPS]))

    def test_from_the_crop_to_the_batch_everything_stays_packed(self):
        dataset = Scenes([*self.transforms, *self.last])
        packed, arrays = dataset.packed(3), dataset[3]
        for key in ("image", *MAPS):
            assert isinstance(packed[key], Packed), key
            assert packed[key].planes.flags.c_contiguous, key
            assert packed[key].shape == arrays[key].shape
            assert arrays[key].dtype == np.float32
        assert arrays["image"].shape == (3, 224, 288)

    @pytest.mark.parametrize("position", range(6))
    def test_a_users_transform_gets_arrays_wherever_it_stands_and_the_sample_is_the_same(self, position):
        class Watch:
            seen: ClassVar[set] = set()

            def __call__(self, sample):
                self.seen |= {type(sample[key]) for key in ("image", *MAPS) if key in sample}
                return sample

        with_it = [*self.last[:position], Watch(), *self.last[position:]]
        plain, watched = (Scenes([*self.transforms, *last])[3] for last in (self.last, with_it))
        assert Watch.seen == {np.ndarray}
        for key in ("image", *MAPS):
            np.testing.assert_array_equal(plain[key], watched[key])

    def test_called_by_hand_and_in_a_subclass_with_a_call_of_its_own_they_take_and_give_arrays(self):
        class Inverted(MakeShrinkMap):
            def __call__(self, sample):
                sample = super().__call__(sample)
                return {**sample, "shrink_map": 1 - sample["shrink_map"]}

        cropped = Scenes(self.transforms)[3]
        plain, inverted = (
            MakeShrinkMap()(cropped)["shrink_map"],
            Scenes([*self.transforms, Inverted()])[3]["shrink_map"],
        )
        assert plain.dtype == np.float32
        np.testing.assert_array_equal(inverted, 1 - plain)

    def test_a_further_sample_is_one_of_arrays(self):
        class Mix:
            ext_data_num = 1

            def __call__(self, sample):
                return {**sample, "other": type(sample["ext_data"][0]["shrink_map"])}

        assert Scenes([*self.transforms, MakeShrinkMap(), Mix()])[3]["other"] is np.ndarray

    def test_a_picture_that_is_normalised_twice_and_one_that_is_moved_afterwards(self):
        normalize = NormalizeImage(scale=1, mean=[1, 2, 3], std=[1, 1, 2], order="hwc")
        once, twice = (Scenes([*self.transforms, *[normalize] * times])[3]["image"] for times in (1, 2))
        np.testing.assert_allclose(twice, (once - [1, 2, 3]) / [1, 1, 2], rtol=1e-6)
        moved = Scenes([*self.transforms, normalize, Resize(size=[112, 144])])[3]["image"]
        np.testing.assert_allclose(moved, cv2.resize(once, (144, 112)), atol=1e-3)


class TestFaults:
    def test_a_damaged_file_is_named_though_it_is_decoded_late(self):
        """Its size and its end are there, what its numbers mean is not."""
        data = encode().replace(b"\xff\xdb", b"\xff\xfe")  # comments in place of the tables
        bad = Scenes([DecodeImage(), DetLabelEncode(), *GEOMETRY["augmented, cropped"], MakeShrinkMap()], data)[4]
        assert isinstance(bad, BadSample)
        assert (bad.path, bad.line) == ("4.jpg", "labels.txt:4")
        assert bad.reason.startswith("cannot be decoded as an image: damaged")

    def test_a_truncated_file_is_refused_before_anything_is_done_with_it(self):
        notes = Notes()
        bad = Scenes([DecodeImage(), DetLabelEncode(), IaaAugment(), notes], encode()[:-40])[4]
        assert str(bad) == (
            "labels.txt:4: 4.jpg: cannot be decoded as an image: truncated JPEG (its end marker is missing)"
        )
        assert notes.kinds == []


def test_normalized_pixels_lie_in_memory_as_the_network_reads_them():
    """So neither ToCHWImage nor the batch has to move them."""
    sample = NormalizeImage(order="hwc")({"image": scene()})
    assert sample["image"].shape == (240, 360, 3)
    assert ToCHWImage()(sample)["image"].flags.c_contiguous
