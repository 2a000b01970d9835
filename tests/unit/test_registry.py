"""Names to classes, and specs that build them."""

import pytest

from ppdet_db.errors import ConfigError
from ppdet_db.registry import Registry, Spec, did_you_mean, nearest


@pytest.fixture
def necks() -> Registry:
    return Registry("neck", wired=("in_channels",))


def test_a_class_is_found_by_its_name_and_aliases(necks: Registry) -> None:
    @necks.register
    class Plain: ...

    @necks.register(aliases=("Other",))
    class Named: ...

    assert necks.get("Plain") is Plain
    assert necks.get("Other") is necks.get("Named") is Named
    assert necks.names() == ["Named", "Other", "Plain"]
    assert "Plain" in necks
    assert "Missing" not in necks


def test_an_unknown_name_says_what_was_meant(necks: Registry) -> None:
    @necks.register
    class DBFPN: ...

    with pytest.raises(KeyError) as caught:
        necks.get("DBFNP")
    assert caught.value.args[0] == "no neck named 'DBFNP'. Did you mean 'DBFPN'?"


def test_registering_the_same_class_again_is_fine_another_of_its_name_is_not(necks: Registry) -> None:
    class Neck: ...

    necks.register(Neck)
    necks.register(Neck)
    other = type("Neck", (), {"__module__": "my_project.necks"})
    with pytest.raises(TypeError) as caught:
        necks.register(other)
    assert str(caught.value) == f"neck 'Neck' is registered twice: in {__name__} and in my_project.necks"


def test_an_alias_that_another_class_has_is_refused(necks: Registry) -> None:
    @necks.register
    class Taken: ...

    class Newcomer: ...

    with pytest.raises(TypeError) as caught:
        necks.register(Newcomer, aliases=("Taken",))
    assert "'Taken' is registered twice" in str(caught.value)


def takes_args(self, *args): ...
def takes_kwargs(self, scale=1.0, **kwargs): ...


@pytest.mark.parametrize("constructor", [takes_args, takes_kwargs])
def test_a_constructor_that_would_swallow_keys_is_refused(necks: Registry, constructor) -> None:
    bad = type("Bad", (), {"__init__": constructor})
    with pytest.raises(TypeError) as caught:
        necks.register(bad)
    assert str(caught.value) == "neck Bad: *args/**kwargs would hide misspelt config keys; name every parameter"
    assert "Bad" not in necks


class Neck:
    def __init__(self, in_channels: list[int], ratios: list[float]):
        if not ratios:
            raise ValueError("ratios must not be empty")
        self.in_channels, self.ratios = in_channels, ratios


def test_two_builds_share_nothing() -> None:
    spec = Spec(Neck, {"ratios": [0.5]}, "b.yml:4: Architecture.Neck")
    one, two = spec.build(in_channels=[64]), spec.build(in_channels=[64])
    one.ratios.append(1.0)
    assert two.ratios == [0.5]
    assert spec.kwargs == {"ratios": [0.5]}


@pytest.mark.parametrize(
    ("where", "message"),
    [("b.yml:4: Neck", "b.yml:4: Neck: ratios must not be empty"), ("", "ratios must not be empty")],
)
def test_a_value_out_of_range_is_reported_with_its_place(where: str, message: str) -> None:
    spec = Spec(Neck, {"ratios": []}, where)
    with pytest.raises(ConfigError) as caught:
        spec.build(in_channels=[64])
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("argument", "place"), [("ratios", "-o Neck.ratios=[]: Neck"), ("in_channels", "b.yml:4: Neck")]
)
def test_the_place_is_that_of_the_argument_the_message_begins_with(argument: str, place: str) -> None:
    spec = Spec(Neck, {"ratios": []}, "b.yml:4: Neck", places={argument: "-o Neck.ratios=[]: Neck"})
    with pytest.raises(ConfigError) as caught:
        spec.build(in_channels=[64])
    assert str(caught.value) == f"{place}: ratios must not be empty"


@pytest.mark.parametrize(
    ("word", "names", "answer"),
    [
        ("box_tresh", ["thresh", "box_thresh"], "Did you mean 'box_thresh'?"),
        ("xyz", ["b", "a"], "Known: a, b."),
        ("xyz", [], "There are none."),
    ],
)
def test_did_you_mean(word: str, names: list[str], answer: str) -> None:
    assert did_you_mean(word, names) == answer
    assert (nearest(word, names) is None) == ("Did" not in answer)
