"""Config -> Plan: every section against the registries, then the rules between sections, all problems together."""

from collections.abc import Callable
from typing import Any, TypeVar

from ppdet_db.config import legacy, rules
from ppdet_db.config.annotations import show
from ppdet_db.config.arguments import check_arguments, legacy_parameter
from ppdet_db.config.report import Report
from ppdet_db.config.schema import (
    COMPONENT_SECTIONS,
    DEFAULT_NAMES,
    INNER_SECTIONS,
    SECTIONS,
    GlobalOptions,
    LoaderOptions,
)
from ppdet_db.config.source import Config
from ppdet_db.config.specs import (
    ArchitectureSpecs,
    DatasetSpecs,
    InferencePlan,
    OptimizerSpecs,
    Plan,
    ReaderSpecs,
)
from ppdet_db.config.tree import KeyPath
from ppdet_db.errors import ConfigError
from ppdet_db.registry import TRANSFORMS, Registry, Spec, did_you_mean

Options = TypeVar("Options", GlobalOptions, LoaderOptions)


def check(config: Config) -> Plan:
    """The plan of a config. Raises ConfigError with every problem, those of reading it included."""
    report = Report(config)
    refusal = legacy.refusal(config.data.get("Architecture"))
    if refusal is not None:
        report.problem(("Architecture", *refusal[0]), refusal[1])
        raise ConfigError(report.problems)
    parts = {name: _section(report, name) for name in SECTIONS}
    for key, value in config.data.items():
        if key not in SECTIONS and legacy_parameter(report, ("",), (key,), value, config.data) == key:
            report.unknown_key((key,), f"no such section. {did_you_mean(key, SECTIONS)}")
    rules.check(report)
    _refuse(report)
    return Plan(
        config=config,
        options=parts["Global"],
        architecture=parts["Architecture"],
        loss=parts["Loss"],
        optimizer=parts["Optimizer"],
        postprocess=parts["PostProcess"],
        metric=parts["Metric"],
        train=parts["Train"],
        eval=parts["Eval"],
        notes=tuple(dict.fromkeys(report.notes)),
    )


def check_inference(config: Config) -> InferencePlan:
    """The part of a plan that finding text needs. Raises ConfigError with every problem."""
    report = Report(config)
    options = _section(report, "Global")
    postprocess = _section(report, "PostProcess")
    for key in config.data.keys() - {"Global", "PostProcess", "Eval"}:
        report.problem((key,), "an exported model has no such section")
    path = ("Eval", "dataset", "transforms")
    transforms = _transforms(report, path, config.data["Eval"]["dataset"]["transforms"])
    _refuse(report)
    return InferencePlan(options, transforms, postprocess, tuple(dict.fromkeys(report.notes)))


def check_section(section: str, data: Any) -> Any:
    """The part of a Plan that one section's plain data gives, for data that comes from a program and not from a file.

    Args:
        section: a top-level section, or `dataset`, `transforms`, `loader`.
        data: what stands below it in YAML.

    Raises ConfigError, whose paths begin at the section.
    """
    report = Report(Config({section: data}))
    refusal = legacy.refusal(data) if section == "Architecture" else None
    if refusal is not None:
        report.problem((section, *refusal[0]), refusal[1])
        raise ConfigError(report.problems)
    part = PARTS[section](report, (section,), data)
    if report.problems:
        raise ConfigError(report.problems)
    return part


def _section(report: Report, name: str) -> Any:
    if name not in report.config.data:
        report.problem((), f"the section '{name}' is missing")
        return None
    return PARTS[name](report, (name,), report.config.data[name])


# -------------------------------------------------------------------------------- sections: what they give, or None


def _options(cls: type[Options]) -> Callable[[Report, KeyPath, Any], Options | None]:
    def read(report: Report, path: KeyPath, data: Any) -> Options | None:
        if not _is_mapping(report, path, data):
            return None
        kwargs = check_arguments(report, cls, path, data, label=str(path[-1]))
        if report.is_clean(path):
            try:
                return cls(**kwargs)
            except ValueError as error:
                parameter = str(error).partition(" ")[0]
                report.problem(path, str(error), written_at=(*path, parameter) if parameter in kwargs else path)
        return None

    return read


def _component(report: Report, path: KeyPath, data: Any) -> Spec | None:
    """A section whose `name` chooses the class."""
    section = ("Train", "dataset") if path == ("dataset",) else path  # a dataset that comes alone
    registry = COMPONENT_SECTIONS[section]
    if not _is_mapping(report, path, data):
        return None
    name = data.get("name", DEFAULT_NAMES.get(section))
    if name is None:
        known = did_you_mean("", registry.names())
        report.problem(path, f"{path[-1]} needs 'name', which says which {registry.kind}. {known}")
        return None
    inner = ("name", *INNER_SECTIONS.get(section, ()))
    values = {key: value for key, value in data.items() if key not in inner}
    return _spec(report, registry, path, (*path, "name"), name, values)


def _spec(
    report: Report, registry: Registry, path: KeyPath, name_path: KeyPath, name: Any, values: dict[str, Any]
) -> Spec | None:
    try:
        cls = registry.get(str(name))
    except KeyError as error:
        report.problem(name_path, error.args[0])
        return None
    kwargs = check_arguments(report, cls, path, values, label=cls.__name__, wired=registry.wired)
    places = {parameter: report.place(path, (*path, parameter)) for parameter in kwargs}
    report.specs[path] = spec = Spec(cls, kwargs, report.place(path), path, places)
    return spec


def _architecture(report: Report, path: KeyPath, data: Any) -> ArchitectureSpecs | None:
    if not _is_mapping(report, path, data):
        return None
    _no_other_keys(report, path, data, ("Backbone", "Neck", "Head", "fused"), accepted=("algorithm",))
    fused = data.get("fused", False)
    if not isinstance(fused, bool):
        report.problem((*path, "fused"), f"must be true or false, got {show(fused)}")
    backbone, neck, head = (_inner(report, path, data, key, _component) for key in ("Backbone", "Neck", "Head"))
    return ArchitectureSpecs(backbone, neck, head, fused) if backbone and neck and head else None


def _optimizer(report: Report, path: KeyPath, data: Any) -> OptimizerSpecs | None:
    optimizer = _component(report, path, data)
    if not isinstance(data, dict):
        return None
    schedule = _inner(report, path, data, "lr", _component)
    regularizer = None
    if data.get("regularizer") is not None:
        regularizer = _component(report, (*path, "regularizer"), data["regularizer"])
    return OptimizerSpecs(optimizer, schedule, regularizer) if optimizer and schedule else None


def _reader(report: Report, path: KeyPath, data: Any) -> ReaderSpecs | None:
    if not _is_mapping(report, path, data):
        return None
    _no_other_keys(report, path, data, ("dataset", "loader"))
    dataset = _inner(report, path, data, "dataset", _dataset)
    loader = _inner(report, path, data, "loader", _options(LoaderOptions))
    return ReaderSpecs(dataset, loader) if dataset and loader else None


def _dataset(report: Report, path: KeyPath, data: Any) -> DatasetSpecs | None:
    dataset = _component(report, path, data)
    if dataset is None:
        return None
    transforms = _transforms(report, (*path, "transforms"), data["transforms"]) if "transforms" in data else ()
    return DatasetSpecs(dataset, transforms)


def _transforms(report: Report, path: KeyPath, data: Any) -> tuple[Spec, ...]:
    """A list of one-key dicts, `- ToCHWImage:` or `- NormalizeImage: {...}`. Those that are unknown are left out."""
    if not isinstance(data, list):
        report.problem(path, f"must be a list of transforms, got {show(data)}")
        return ()
    specs = []
    for i, entry in enumerate(data):
        entry = {entry: None} if isinstance(entry, str) else entry  # `- ToCHWImage` without its colon
        if not isinstance(entry, dict) or len(entry) != 1:
            text = "must be one transform with its parameters indented below it"
            report.problem((*path, i), f"{text}, got {show(list(entry) if isinstance(entry, dict) else entry)}")
            continue
        [(name, values)] = entry.items()
        place = (*path, i, name)
        if values is None or _is_mapping(report, place, values):
            specs.append(_spec(report, TRANSFORMS, place, place, name, values or {}))
    return tuple(spec for spec in specs if spec is not None)


PARTS: dict[str, Callable[[Report, KeyPath, Any], Any]] = {
    "Global": _options(GlobalOptions),
    "Architecture": _architecture,
    "Loss": _component,
    "Optimizer": _optimizer,
    "PostProcess": _component,
    "Metric": _component,
    "Train": _reader,
    "Eval": _reader,
    "dataset": _dataset,
    "transforms": _transforms,
    "loader": _options(LoaderOptions),
}


# ------------------------------------------------------------------------------------------------------------ pieces


def _inner(report: Report, path: KeyPath, data: dict, key: str, read: Callable[[Report, KeyPath, Any], Any]) -> Any:
    if key not in data:
        report.problem(path, f"{path[-1]} needs '{key}'")
        return None
    return read(report, (*path, key), data[key])


def _is_mapping(report: Report, path: KeyPath, data: Any) -> bool:
    if not isinstance(data, dict):
        report.problem(path, f"must be a mapping (key: value), got {show(data)}")
    return isinstance(data, dict)


def _no_other_keys(
    report: Report, path: KeyPath, data: dict, known: tuple[str, ...], accepted: tuple[str, ...] = ()
) -> None:
    for key, value in data.items():
        if key in (*known, *accepted) or legacy_parameter(report, (path[-1],), (*path, key), value, data) is None:
            continue
        report.unknown_key((*path, key), f"{path[-1]} has no '{key}'. {did_you_mean(key, known)}")


def _refuse(report: Report) -> None:
    """Raises ConfigError where anything was wrong: in reading, in checking, or in a value out of range."""
    _build_cheap_parts(report)
    problems = report.problems + report.config.problems
    if report.has_unknown_keys:
        problems.append("(unknown keys become warnings with -o Global.strict=false)")
    if problems:
        raise ConfigError(problems)


CHEAP = (("Optimizer", "regularizer"), ("PostProcess",), ("Metric",))
"""The sections whose part is built in no time, beside the transforms."""


def _build_cheap_parts(report: Report) -> None:
    """Builds what needs neither weights nor data, so that a value out of range comes before any work."""
    for path, spec in report.specs.items():
        is_cheap = path in CHEAP or "transforms" in path
        if is_cheap and report.is_clean(path):
            try:
                spec.build()
            except ConfigError as error:
                report.problems += error.problems
