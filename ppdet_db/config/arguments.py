"""The settings of one component or options class against the signature of its constructor."""

import inspect
import typing
from typing import Any

from ppdet_db.config import legacy
from ppdet_db.config.annotations import choices, describe, fits, show
from ppdet_db.config.report import Report
from ppdet_db.config.tree import KeyPath
from ppdet_db.registry import did_you_mean, nearest


def check_arguments(
    report: Report, cls: type, path: KeyPath, values: dict[str, Any], label: str, wired: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The arguments to build `cls` with. Keys that are unknown or of the wrong type are reported and left out.

    Args:
        path: of the section.
        values: its settings, without `name` and without the sections inside.
        label: what messages call it, `DBPostProcess` or `loader`.
        wired: parameters that the program supplies.
    """
    parameters = inspect.signature(cls).parameters
    own = [name for name in parameters if name not in wired]
    kwargs: dict[str, Any] = {}
    for key, value in values.items():
        parameter = key if key in own else legacy_parameter(report, (label, path[-1]), (*path, key), value, values)
        if parameter in own:
            kwargs[parameter] = value
        elif parameter in wired:
            report.problem((*path, key), f"the program supplies '{key}' of {label}; remove it here")
        elif parameter is not None:
            report.unknown_key((*path, key), f"{label} has no parameter '{key}'. {did_you_mean(key, own)}")
    for name in own:
        if parameters[name].default is inspect.Parameter.empty and name not in kwargs:
            report.problem(path, f"{label} needs '{name}'")
    annotations = _annotations(report, cls, path, label)
    return {key: value for key, value in kwargs.items() if _has_type(report, path, parameters, annotations, key, value)}


def legacy_parameter(
    report: Report, sections: tuple[Any, ...], path: KeyPath, value: Any, values: dict[str, Any]
) -> str | None:
    """The parameter that a key which is none means: by the table of legacy.py, else the key itself.

    None when the key has been dealt with. `sections` are the names under which the table may have it.
    """
    key = str(path[-1])
    fate = next((legacy.FATES[name, key] for name in sections if (name, key) in legacy.FATES), None)
    if fate is None:
        return key
    if fate.action == "rename":
        if fate.reason in values:
            report.note(path, f"ignored: '{fate.reason}' is set too")
            return None
        report.note(path, f"read as '{fate.reason}'")
        return fate.reason
    if value not in fate.silent:
        if fate.action == "refuse":
            report.problem(path, fate.reason)
        else:
            report.note(path, f"ignored: {fate.reason}")
    return None


def _annotations(report: Report, cls: type, path: KeyPath, label: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls.__init__, include_extras=True)  # type: ignore[misc]
    except NameError as error:
        report.problem(path, f"an annotation of {label} cannot be read: {error}")
        return {}


def _has_type(
    report: Report, path: KeyPath, parameters: Any, annotations: dict[str, Any], key: str, value: Any
) -> bool:
    default = parameters[key].default
    if key not in annotations or value is default or fits(value, annotations[key]):
        return True
    text = f"must be {describe(annotations[key])}, got {show(value)}"
    near = nearest(value, choices(annotations[key])) if isinstance(value, str) else None
    report.problem((*path, key), f"{text}. Did you mean '{near}'?" if near else text)
    return False
