"""Which predictor a command gets, and what is said where a config and an exported model differ."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import pytest

from ppdet_db.config.document import block_yaml
from ppdet_db.engine import build, checkpoint, predictor
from ppdet_db.engine.export import export
from ppdet_db.engine.inference import ENGINES, InferenceModel
from ppdet_db.engine.predictor import choose_predictor, note_differences, through_engine
from ppdet_db.engine.settings import inference_config
from ppdet_db.errors import ConfigError, DetError


@pytest.fixture
def exported(plan: Callable) -> Path:
    """An exported folder in the current one: its graph is empty, its `inference.yml` is that of `plan()`."""
    folder = Path("exported")
    folder.mkdir()
    (folder / "inference.json").touch()
    (folder / "inference.yml").write_text(block_yaml(inference_config(plan())))
    return folder


@pytest.mark.parametrize("engine", ENGINES)
def test_a_network_on_an_engine_gives_its_maps(engine: str, plan: Callable, tmp_path: Path) -> None:
    pytest.importorskip(engine)
    model = build.build_model(plan().architecture)
    model.eval()
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    picture = paddle.rand([2, 3, 64, 96])
    with paddle.no_grad():
        expected = model(picture)["maps"].numpy()
    model.train()
    found = through_engine(model, engine)(picture)["maps"]
    assert np.abs(found - expected).max() < 1e-4
    assert model.training
    assert all(np.array_equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_choice(plan: Callable) -> None:
    model = build.build_model(plan().architecture)
    checkpoint.save("weights", model)
    trained = plan("Global.checkpoints=weights")
    export(model, "exported")
    picture = paddle.rand([1, 3, 64, 64])
    network = choose_predictor(trained, None, None)
    assert isinstance(network(picture)["maps"], paddle.Tensor)
    chosen = [choose_predictor(trained, None, "paddle"), choose_predictor(trained, "exported", None)]
    assert [type(predict) for predict in chosen] == [InferenceModel] * 2
    for predict in chosen:
        assert np.abs(predict(picture)["maps"] - network(picture)["maps"].numpy()).max() < 1e-4
    with pytest.raises(DetError, match="no engine 'tensorrt'"):
        choose_predictor(plan(), None, "tensorrt")


def test_equal_settings_need_no_word(plan: Callable, exported: Path, lines: list[str]) -> None:
    note_differences(plan().for_inference(), exported / "inference.json")
    assert lines == []
    (exported / "inference.yml").unlink()
    note_differences(plan("PostProcess.thresh=0.5").for_inference(), exported / "inference.json")
    assert lines == []


def test_differences_are_said(plan: Callable, exported: Path, lines: list[str]) -> None:
    resize = "Eval.dataset.transforms.DetResizeForTest={limit_side_len: 960, limit_type: max}"
    note_differences(plan(resize, "PostProcess.thresh=0.5").for_inference(), exported / "inference.json")
    assert [line.split(" is ")[0] for line in lines] == ["note: DetResizeForTest", "note: DBPostProcess"]
    assert "'limit_side_len': 960" in lines[0].partition(" in the config, which counts, and ")[0]
    assert "'image_shape': [64, 64]" in lines[0].partition(" in the config, which counts, and ")[2]


def test_another_programs_settings_are_no_error_where_the_config_counts(
    plan: Callable, exported: Path, lines: list[str]
) -> None:
    (exported / "inference.yml").write_text("PreProcess: {transform_ops: [Rotate: ]}\nPostProcess: {name: CTC}\n")
    note_differences(plan().for_inference(), exported / "inference.json")
    assert len(lines) == 1
    assert lines[0].startswith("note: what the exported model says of its transforms is not understood: exported/infer")
    with pytest.raises(ConfigError):
        build.load_inference_plan(exported / "inference.json")


class TestLoadInferencePlan:
    def test_brings_what_the_run_had(self, plan: Callable, exported: Path) -> None:
        found, given = build.load_inference_plan(exported / "inference.json"), plan().for_inference()
        assert predictor._described(found) == predictor._described(given)

    def test_is_changed_by_a_configs_names(self, exported: Path) -> None:
        changes = ["PostProcess.thresh=0.5", "Eval.dataset.transforms.DetResizeForTest.image_shape=[32, 64]"]
        found = build.load_inference_plan(exported / "inference.json", [*changes, "Global.infer_img=a.jpg"])
        assert found.postprocess.kwargs["thresh"] == 0.5
        assert predictor._described(found)["DetResizeForTest"]["image_shape"] == [32, 64]
        assert found.options.infer_img == "a.jpg"

    @pytest.mark.parametrize(
        ("text", "overrides", "message"),
        [
            (
                "PostProcess: {name: DBPostProcess}",
                [],
                "exported/inference.yml: there is no PreProcess.transform_ops, wh",
            ),
            ("[1, 2]", [], "exported/inference.yml: there is no PreProcess.transform_ops, which the export writes"),
            ("a: [", [], "exported/inference.yml:1: not valid YAML: "),
            (
                None,
                ["PostProcess.tresh=1"],
                "-o PostProcess.tresh=1: PostProcess.tresh: DBPostProcess has no parameter",
            ),
            (None, ["PostProcess.thresh=2"], "-o PostProcess.thresh=2: PostProcess: thresh must be in [0, 1], got 2"),
            (None, ["Loss.alpha=2"], "exported/inference.yml: Loss: an exported model has no such section"),
        ],
    )
    def test_names_the_place_of_what_is_wrong(
        self, text: str | None, overrides: list[str], message: str, exported: Path
    ) -> None:
        if text is not None:
            (exported / "inference.yml").write_text(text)
        with pytest.raises(ConfigError) as caught:
            build.load_inference_plan(exported / "inference.json", overrides)
        assert str(caught.value).startswith(message)

    def test_says_what_to_do_where_there_is_nothing(self, exported: Path) -> None:
        (exported / "inference.yml").unlink()
        with pytest.raises(DetError) as caught:
            build.load_inference_plan(exported / "inference.json")
        assert str(caught.value) == (
            "exported/inference.json: nothing says which transforms and postprocess belong to it (no inference.yml "
            "beside it). Give the config it was trained with: -c FILE"
        )
