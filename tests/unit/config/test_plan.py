"""The plan: what it holds when everything is right, and sections that come from a program."""

import pickle
from pathlib import Path

import pytest

from ppdet_db.config import ConfigError, GlobalOptions, LoaderOptions, check, check_section, load_config
from ppdet_db.config.legacy import FATES
from ppdet_db.config.schema import SECTIONS
from ppdet_db.registry import BACKBONES, NECKS, Spec


def test_a_plan_has_every_part(folder: Path, base: str) -> None:
    Path("b.yml").write_text(base)
    plan = check(load_config("b.yml"))
    assert plan.options == GlobalOptions(epoch_num=500, print_batch_step=5)
    backbone = plan.architecture.backbone
    assert (backbone.cls, backbone.kwargs) == (BACKBONES.get("ResNet_vd"), {"layers": 18})
    assert (backbone.where, backbone.path) == ("b.yml:8: Architecture.Backbone", ("Architecture", "Backbone"))
    assert plan.architecture.neck.cls is NECKS.get("DBFPN")
    assert plan.architecture.head.kwargs == {"k": 50}
    assert plan.loss.kwargs == {"alpha": 5}
    assert plan.optimizer.optimizer.kwargs == {"beta1": 0.9}
    assert (plan.optimizer.schedule.cls.__name__, plan.optimizer.schedule.kwargs) == ("Const", {"learning_rate": 1e-3})
    assert plan.optimizer.regularizer is not None
    assert plan.optimizer.regularizer.kwargs == {"factor": 1e-6}
    assert plan.postprocess.kwargs == {"box_thresh": 0.6}
    assert plan.metric.kwargs == {"main_indicator": "hmean"}
    assert plan.train.dataset.dataset.kwargs == {"data_dir": "./train"}
    names = [spec.cls.__name__ for spec in plan.train.dataset.transforms]
    assert names[:3] == ["DecodeImage", "DetLabelEncode", "EastRandomCropData"]
    assert plan.train.dataset.transforms[1].kwargs == {}
    assert plan.train.loader == LoaderOptions(shuffle=True, batch_size_per_card=8)
    assert plan.eval.dataset.dataset.where == "b.yml:37: Eval.dataset"
    assert plan.notes == ()


def test_checking_changes_nothing_and_repeats(folder: Path, base: str) -> None:
    Path("b.yml").write_text(base)
    config = load_config("b.yml")
    before = config.to_yaml()
    assert check(config) == check(config)
    assert config.to_yaml() == before


def test_a_note_comes_once(folder: Path, base: str) -> None:
    Path("twice.yml").write_text("Global: {seed: 1, seed: 2}\n")
    Path("b.yml").write_text(f"_base_: [twice.yml, twice.yml]\n{base}")
    assert check(load_config("b.yml")).notes == ("twice.yml:1: key 'seed' repeated (first at line 1); last one wins",)


@pytest.mark.parametrize("text", ["", "  regularizer: null\n"])
def test_no_regularizer_is_none(folder: Path, base: str, text: str) -> None:
    Path("b.yml").write_text(base.replace("  regularizer: {name: L2, factor: 1e-6}\n", text))
    assert check(load_config("b.yml")).optimizer.regularizer is None


def test_every_section_is_asked_for(folder: Path) -> None:
    Path("b.yml").write_text("Global: {epoch_num: 1}\n")
    config = load_config("b.yml")
    with pytest.raises(ConfigError) as caught:
        check(config)
    assert caught.value.problems == [f"b.yml: the section '{name}' is missing" for name in SECTIONS if name != "Global"]


SECTIONS_FROM_PROGRAMS = [
    (
        "Architecture",
        {
            "model_type": "det",
            "algorithm": "DB",
            "Transform": None,
            "Backbone": {"name": "ResNet_vd", "layers": 18},
            "Neck": {"name": "DBFPN"},
            "Head": {"name": "DBHead"},
        },
        lambda part: (part.backbone.kwargs, part.backbone.where),
        ({"layers": 18}, "Architecture.Backbone"),
    ),
    ("Loss", {"name": "DBLoss", "alpha": 3}, lambda part: part.kwargs, {"alpha": 3}),
    (
        "Optimizer",
        {"name": "Adam", "lr": {"name": "Cosine", "learning_rate": 0.1}},
        lambda part: (part.schedule.kwargs, part.regularizer),
        ({"learning_rate": 0.1}, None),
    ),
    ("PostProcess", {"name": "DBPostProcess"}, lambda part: part.kwargs, {}),
    ("Metric", {"name": "DetMetric"}, lambda part: part.kwargs, {}),
    (
        "dataset",
        {"name": "SimpleDataSet", "transforms": [{"ToCHWImage": None}]},
        lambda part: (part.dataset.where, part.transforms[0].where),
        ("dataset", "dataset.transforms.0.ToCHWImage"),
    ),
    ("dataset", {"name": "SyntheticDataSet"}, lambda part: part.transforms, ()),
    (
        "transforms",
        [{"DecodeImage": {"img_mode": "RGB"}}, "ToCHWImage"],
        lambda part: [spec.where for spec in part],
        ["transforms.0.DecodeImage", "transforms.1.ToCHWImage"],
    ),
    ("loader", {"batch_size_per_card": 4}, lambda part: part, LoaderOptions(batch_size_per_card=4)),
    ("Global", {"epoch_num": 3}, lambda part: part, GlobalOptions(epoch_num=3)),
]


@pytest.mark.parametrize(("section", "data", "look", "expected"), SECTIONS_FROM_PROGRAMS)
def test_a_section_from_a_program(section: str, data: object, look, expected: object) -> None:
    assert look(check_section(section, data)) == expected


WRONG_SECTIONS = [
    (
        "Architecture",
        {"Backbone": {"name": "ResNet_vd"}, "Neck": {"name": "DBFNP"}, "Head": {"name": "DBHead"}},
        ["Architecture.Neck.name: no neck named 'DBFNP'. Did you mean 'DBFPN'?"],
    ),
    (
        "Architecture",
        {
            "Backbone": {"name": "ResNet_vd"},
            "Neck": {"name": "DBFPN"},
            "Head": {"name": "DBHead"},
            "fused": "yes",
        },
        ["Architecture.fused: must be true or false, got 'yes'"],
    ),
    ("Architecture", {"algorithm": "PSE"}, ["Architecture.algorithm: 'PSE' is not supported: this program trains DBNet "
                                            "(DB and DB++)"]),
    ("loader", {"batch_size": 4}, ["loader.batch_size: loader has no parameter 'batch_size'. Did you mean "
                                   "'batch_size_per_card'?"]),
    ("loader", {"batch_size_per_card": 0}, ["loader: batch_size_per_card must be at least 1, got 0"]),
    ("loader", {"num_workers": -1}, ["loader: num_workers must be at least 0, got -1"]),
    ("Global", {"epoch_num": 1, "eval_batch_step": 0}, ["Global: eval_batch_step must be at least 1, got 0"]),
    ("Global", {"epoch_num": 1, "eval_batch_step": [0, 0]}, ["Global: eval_batch_step must be [first step, steps "
                                                            "between], such as [0, 400], got [0, 0]"]),
    ("Global", {"epoch_num": 1, "accumulate": 0}, ["Global: accumulate must be at least 1, got 0"]),
    ("Global", {"epoch_num": 1, "ema_decay": 1}, ["Global: ema_decay must be in [0, 1), got 1"]),
    ("Global", {"epoch_num": 1, "ema_gamma": 0}, ["Global: ema_gamma must be above 0, got 0"]),
    ("Global", {"epoch_num": 1, "freeze": "backbone"}, ["Global.freeze: must be a list of texts, got 'backbone'"]),
    ("loader", None, ["loader: must be a mapping (key: value), got null"]),
    ("transforms", {"ToCHWImage": None}, ["transforms: must be a list of transforms, got {'ToCHWImage': None}"]),
    ("Optimizer", {"name": "Adam"}, ["Optimizer: Optimizer needs 'lr'"]),
]  # fmt: skip


@pytest.mark.parametrize(("section", "data", "problems"), WRONG_SECTIONS)
def test_a_wrong_section_from_a_program(section: str, data: object, problems: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        check_section(section, data)
    assert caught.value.problems == problems


def test_a_default_of_none_may_be_written_whatever_the_annotation() -> None:
    [spec] = check_section("transforms", [{"NeedsFactor": {"factor": 1, "limit": None}}])
    assert spec.kwargs == {"factor": 1, "limit": None}


def test_options_travel_to_workers() -> None:
    assert pickle.loads(pickle.dumps(LoaderOptions())) == LoaderOptions()


def test_no_fate_hides_a_parameter() -> None:
    options = {"Global": GlobalOptions, "loader": LoaderOptions}
    hidden = [
        (section, key) for section, key in FATES if section in options and key in options[section].__dataclass_fields__
    ]
    assert hidden == []


def test_a_spec_reports_a_value_out_of_range_at_its_place(folder: Path, base: str) -> None:
    Path("b.yml").write_text(base)
    spec = check(load_config("b.yml")).postprocess
    with pytest.raises(ConfigError) as caught:
        Spec(spec.cls, {"thresh": 2}, spec.where).build()
    assert str(caught.value) == "b.yml:17: PostProcess: thresh must be in (0, 1), got 2"
