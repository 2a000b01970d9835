"""Weights by the key that names them: which counts, and how an error says where it stands."""

from pathlib import Path

import pytest

from ppdet_db.engine import Trainer, checkpoint, download, load_plan
from ppdet_db.engine.weights import load_trained
from ppdet_db.errors import CheckpointError, DetError

NONE_GIVEN = "no weights given: set -o Global.checkpoints=FOLDER, such as output/run/best_accuracy"
URL = "https://example.invalid/backbone.pdparams"


def with_line(drawn: Path, line: str) -> Path:
    """`drawn.yml` with one more line in `Global`, which is line 2."""
    drawn.write_text(drawn.read_text().replace("Global:\n", f"Global:\n  {line}\n", 1))
    return drawn


@pytest.fixture(autouse=True)
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were asked for; none of them answers."""
    asked: list[str] = []

    def refuse(url: str) -> Path:
        asked.append(url)
        raise CheckpointError(f"{url}: cannot be downloaded")

    monkeypatch.setattr(download, "fetch", refuse)
    return asked


def test_weights_are_needed(plan) -> None:
    with pytest.raises(DetError) as caught:
        load_trained(plan())
    assert str(caught.value) == NONE_GIVEN


def test_the_backbone_that_a_file_starts_from_is_not_fetched_to_be_evaluated(drawn: Path, fetched: list) -> None:
    plan = load_plan(with_line(drawn, f"pretrained_model: {URL}"))
    with pytest.raises(DetError) as caught:
        load_trained(plan)
    assert str(caught.value) == f"{NONE_GIVEN}. drawn.yml:2: Global.pretrained_model is what a training starts from"
    assert fetched == []


@pytest.mark.parametrize("key", ["checkpoints", "pretrained_model"])
def test_an_address_that_is_asked_for_is_fetched(key: str, drawn: Path, fetched: list) -> None:
    plan = load_plan(
        with_line(drawn, "pretrained_model: https://example.invalid/other.pdparams"), [f"Global.{key}={URL}"]
    )
    with pytest.raises(CheckpointError) as caught:
        load_trained(plan)
    assert str(caught.value) == f"{URL}: cannot be downloaded", "what -o gives needs no place"
    assert fetched == [URL]


@pytest.mark.parametrize("key", ["checkpoints", "pretrained_model"])
@pytest.mark.parametrize("use", [load_trained, Trainer], ids=["evaluating", "training"])
def test_an_error_names_the_line_that_asked_for_the_weights(use, key: str, drawn: Path) -> None:
    plan = load_plan(with_line(drawn, f"{key}: nowhere"))
    with pytest.raises(CheckpointError) as caught:
        use(plan)
    assert str(caught.value).startswith(f"drawn.yml:2: Global.{key}: nowhere: there is no such folder or file. ")


def test_weights_of_another_network_are_named_with_their_line(drawn: Path, plan) -> None:
    from ppdet_db.engine import build_model

    checkpoint.save("other", build_model(plan("Architecture.Neck.out_channels=32").architecture))
    with pytest.raises(CheckpointError) as caught:
        load_trained(load_plan(with_line(drawn, "pretrained_model: other")))
    assert str(caught.value).startswith("drawn.yml:2: Global.pretrained_model: other: ")
    assert "It belongs to another architecture" in str(caught.value)
