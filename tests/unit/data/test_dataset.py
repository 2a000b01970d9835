"""SimpleDataSet reads label files as PaddleOCR users have them, and a bad sample is handed over with its place."""

import json

import cv2
import numpy as np
import pytest

from ppdet_db.contract import BadSample
from ppdet_db.data.dataset import DetDataset, SimpleDataSet
from ppdet_db.errors import DetError, SampleError

QUAD = '[{"transcription": "a", "points": [[1, 1], [9, 1], [9, 5], [1, 5]]}]'


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png", "ü.png"):
        cv2.imencode(".png", np.zeros((8, 12, 3), np.uint8))[1].tofile(tmp_path / name)
    return tmp_path


def dataset(folder, text, transforms=(), encoding="utf-8", **more):
    (folder / "labels.txt").write_bytes(text.encode(encoding))
    arguments = {"data_dir": ".", "label_file_list": "labels.txt", "data_root": str(folder)}
    return SimpleDataSet(**arguments | more, transforms=transforms)


@pytest.mark.parametrize(
    ("text", "names", "why"),
    [
        (f"a.png\t{QUAD}\nb.png\t[]\n", ["a.png", "b.png"], "plain; a picture without text is a sample"),
        (f"\ufeffa.png\t{QUAD}\n", ["a.png"], "a BOM does not become part of the first name"),
        (f"a.png\t{QUAD}\r\nb.png\t[]\r\n", ["a.png", "b.png"], "CRLF"),
        (f"a.png\t{QUAD}\n\n  \nb.png\t[]", ["a.png", "b.png"], "blank lines and a missing last newline"),
        ("ü.png\t[]\n", ["ü.png"], "UTF-8 names"),
        (f"a.png\t{QUAD[:-1]}, {QUAD[1:]}".replace('"a"', '"x\\ty"'), ["a.png"], "only the first tab separates"),
    ],
)
def test_label_file_forms(folder, text, names, why):
    samples = dataset(folder, text)
    read = [samples[i] for i in range(len(samples))]
    assert [sample["img_path"] for sample in read] == [f"{folder}/./{name}" for name in names], why
    assert all(sample["image"].startswith(b"\x89PNG") for sample in read)
    assert [isinstance(json.loads(sample["label"]), list) for sample in read] == [True] * len(names)


def test_line_number_counts_blank_lines(folder):
    samples = dataset(folder, f"a.png\t{QUAD}\n\nb.png\t[]\n")
    assert samples[1]["line"] == f"{folder}/labels.txt:3"


def test_delimiter_and_several_files(folder):
    (folder / "one.txt").write_text("a.png|[]\n")
    (folder / "two.txt").write_text("b.png|[]\na.png|[]\n")
    samples = SimpleDataSet(str(folder), [str(folder / "one.txt"), str(folder / "two.txt")], delimiter="|")
    assert [samples[i]["img_path"][-5:] for i in range(3)] == ["a.png", "b.png", "a.png"]


def drawn(samples, epoch):
    return [samples[epoch, i]["line"] for i in range(len(samples))]


def test_ratio_list_draws_by_seed_and_epoch(folder):
    text = "".join("a.png\t[]\n" for _ in range(40))
    samples = dataset(folder, text, ratio_list=[0.25], base_seed=3)
    assert len(samples) == 10
    assert len(set(drawn(samples, 0))) == 10, "no line twice"
    assert drawn(samples, 0) != drawn(samples, 1), "another epoch, another part"
    assert drawn(samples, 0) == drawn(dataset(folder, text, ratio_list=0.25, base_seed=3), 0), "same seed, same part"
    assert drawn(samples, 0) != drawn(dataset(folder, text, ratio_list=0.25, base_seed=4), 0)
    everything = dataset(folder, text)
    assert len(everything) == 40
    assert drawn(everything, 0) == drawn(everything, 5), "ratio 1 is the file as it stands"


def test_ratio_above_one_repeats(folder):
    samples = dataset(folder, "a.png\t[]\nb.png\t[]\n", ratio_list=2.5)
    counts = [drawn(samples, 0).count(f"{folder}/labels.txt:{line}") for line in (1, 2)]
    assert sorted(counts) == [2, 3]


def test_a_list_of_names_is_drawn_from(folder):
    samples = dataset(folder, '["a.png", "b.png"]\t[]\n')
    names = {samples[epoch, 0]["img_path"][-5:] for epoch in range(20)}
    assert names == {"a.png", "b.png"}


@pytest.mark.parametrize("name", ["[1].png", "[a] b.png", "[]", "[3]", '["a.png", 3]'])
def test_a_name_that_only_looks_like_a_list_is_a_name(folder, name):
    with open(folder / name, "wb") as stream:
        stream.write(b"pixels")
    assert dataset(folder, f"{name}\t[]\n")[0]["image"] == b"pixels"


@pytest.mark.parametrize("names", ["x.png", '["x.png", "y.png"]'])
def test_pictures_that_are_nowhere_are_told_before_training(folder, names):
    with pytest.raises(DetError) as caught:
        dataset(folder, f"{names}\t[]\n")
    assert "none of 1 pictures tried exists" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"a.png\t{QUAD}\nb.png {QUAD}\n", "labels.txt:2: no '\\t' between picture and label"),
        ("", "labels.txt: the label file holds no line"),
        ("x.png\t[]\n", "none of 1 pictures tried exists, the first is"),
    ],
)
def test_a_wrong_label_file_is_refused_at_once(folder, text, message):
    with pytest.raises(DetError) as caught:
        dataset(folder, text)
    assert message in str(caught.value)


def test_not_utf8_and_missing_file(folder):
    with pytest.raises(DetError) as latin:
        dataset(folder, "ü.png\t[]\n", encoding="latin-1")
    with pytest.raises(DetError) as missing:
        dataset(folder, "a.png\t[]\n", label_file_list="other.txt")
    assert "labels.txt: not UTF-8 (byte 0)" in str(latin.value)
    assert "other.txt: the label file cannot be read: No such file or directory" in str(missing.value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"ratio_list": [1.0, 1.0]}, "ratio_list has 2 numbers for 1 label files"),
        ({"ratio_list": 0.0}, "ratio_list must hold positive numbers, got [0.0]"),
    ],
)
def test_ratio_ranges(folder, more, message):
    with pytest.raises(ValueError, match="ratio_list") as caught:
        dataset(folder, "a.png\t[]\n", **more)
    assert str(caught.value) == message


def refuse(sample):
    raise SampleError("no good")


def divide(sample):
    return 1 // 0


def test_bad_samples_name_picture_line_and_cause(folder):
    text = "a.png\t[]\ngone.png\t[]\n"
    missing = dataset(folder, text)[1]
    refused = dataset(folder, text, [refuse])[0]
    broken = dataset(folder, text, [divide])[0]
    line = f"{folder}/labels.txt"
    assert missing == BadSample(
        f"{folder}/./gone.png", f"{line}:2", "the picture cannot be read: No such file or directory"
    )
    assert refused == BadSample(f"{folder}/./a.png", f"{line}:1", "no good")
    assert (broken.path, broken.line) == (f"{folder}/./a.png", f"{line}:1")
    assert "ZeroDivisionError" in broken.reason
    assert "divide" in broken.reason, "the traceback of an unexpected error is kept"


class Numbers(DetDataset):
    """A dataset without files: sample i of 10."""

    def __len__(self):
        return 10

    def read(self, epoch, index, rng):
        return {"img_path": f"{index}.jpg", "value": index}


class Paste:
    """Asks for two further samples."""

    ext_data_num = 2

    def __call__(self, sample):
        return sample | {"others": [other["value"] for other in sample["ext_data"]]}


def tenfold(sample):
    return sample | {"value": sample["value"] * 10}


def chance(sample):
    return sample | {"chance": sample["rng"].random()}


def test_further_samples_go_through_the_transforms_before():
    samples = Numbers([tenfold, Paste(), tenfold], base_seed=1)
    others = [samples[epoch, 3]["others"] for epoch in range(8)]
    assert samples[0, 3]["value"] == 300
    assert all(value % 10 == 0 and value < 100 for pair in others for value in pair), "tenfold once, not twice"
    assert len({value for pair in others for value in pair}) > 4, "drawn from the whole set"
    assert others == [Numbers([tenfold, Paste()], base_seed=1)[epoch, 3]["others"] for epoch in range(8)]


@pytest.mark.parametrize("count", [0, -1, 2, 3])
def test_a_further_sample_never_goes_through_what_asks_for_it(folder, count):
    with pytest.raises(ValueError) as caught:  # noqa: PT011, the words are compared below
        dataset(folder, "a.png\t[]\n", [tenfold, Paste(), tenfold], ext_op_transform_idx=count)
    assert str(caught.value) == f"ext_op_transform_idx must be in [1, 1], the transforms before Paste, got {count}"


def test_the_number_of_transforms_for_a_further_sample(folder):
    def mark(sample):
        return sample | {"value": sample.get("value", 0) + 1}

    samples = dataset(folder, "a.png\t[]\n", [mark, mark, Paste()], ext_op_transform_idx=1)
    assert samples[0]["others"] == [1, 1]


def test_a_bad_further_sample_is_the_one_named():
    def bad_if_not_three(sample):
        if sample["value"] != 3:
            raise SampleError("not three")
        return sample

    assert Numbers([bad_if_not_three, Paste()])[0, 3].path != "3.jpg"


def test_chance_is_of_seed_epoch_and_index_alone():
    first = Numbers([chance], base_seed=5)
    again = Numbers([chance], base_seed=5)
    again[4, 4], again[0, 0]  # history does not matter
    values = {(epoch, i): first[epoch, i]["chance"] for epoch in range(3) for i in range(10)}
    assert values == {key: again[key]["chance"] for key in reversed(values)}
    assert len(set(values.values())) == 30
    assert Numbers([chance], base_seed=6)[0, 0]["chance"] != values[0, 0]
    with pytest.raises(IndexError):
        first[10]
