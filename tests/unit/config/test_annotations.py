"""Values against annotations: what passes, and the words for what does not."""

from typing import Any, Literal

import pytest

from ppdet_db.config.annotations import choices, describe, fits, show

CASES = [
    (int, [3, -1], [3.0, "3", True, None, [3]], "an integer"),
    (float, [3.5, 3, float("inf")], ["3.5", True, None], "a number"),
    (bool, [True, False], [0, 1, "yes", None], "true or false"),
    (str, ["", "3"], [3, True, None], "text"),
    (int | None, [3, None], ["3", True], "an integer or null"),
    (list[int], [[], [1, 2], (1, 2)], [[1.5], [True], 1, "12"], "a list of integers"),
    (list[float] | None, [[1, 2.5], None], [["1"]], "a list of numbers or null"),
    (int | list[int], [1, [1]], ["1", [None]], "an integer or a list of integers"),
    (tuple[int, int], [[1, 2], (1, 2)], [[1], [1, 2, 3]], "a list of 2 integers"),
    (tuple[float, ...], [[], [1.0, 2]], [["a"]], "a list of numbers"),
    (list[list[int]], [[[1], []]], [[1]], "a list of items that are a list of integers"),
    (list[int | str], [[1, "a"]], [[None]], "a list of items that are an integer or text"),
    (list, [[1, "a"]], [{}, 1], "a list"),
    (dict, [{"a": 1}], [[1]], "a mapping"),
    (dict[str, float], [{"a": 1}], [{"a": "1"}], "a mapping"),
    (list[dict], [[{"a": 1}]], [[1]], "a list of mappings"),
    (Literal["fast", "slow"], ["fast"], ["fats", 1, None], "'fast' or 'slow'"),
    (Literal["min", "max"] | None, ["min", None], ["mean"], "'min' or 'max' or null"),
    (float | str, [1, "1./255."], [True, None], "a number or text"),
]


@pytest.mark.parametrize(("annotation", "good", "bad", "words"), CASES, ids=[str(case[0]) for case in CASES])
def test_types(annotation: Any, good: list, bad: list, words: str) -> None:
    assert [fits(value, annotation) for value in good] == [True] * len(good)
    assert [fits(value, annotation) for value in bad] == [False] * len(bad)
    assert describe(annotation) == words


def test_any_takes_everything() -> None:
    assert fits({"a": [1, None]}, Any)
    assert fits("x", object)


class Box:
    """A class of a user, which no YAML value can be."""


def test_a_class_takes_nothing_from_yaml() -> None:
    assert not fits(3, Box)
    assert describe(Box) == "a Box"


def test_choices() -> None:
    assert choices(Literal["a", "b"] | Literal["c"] | None) == ["a", "b", "c"]
    assert choices(str) == []


def test_values_are_shown_as_in_yaml_and_shortened() -> None:
    assert [show(value) for value in (None, True, 1.5, "x")] == ["null", "true", "1.5", "'x'"]
    assert show("x" * 100) == "'" + "x" * 56 + "..."
