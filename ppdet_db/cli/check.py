"""Checks a config and trains nothing: `check -c config.yml [-o KEY=VALUE ...]` prints what a run would use."""

import argparse
import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

from ppdet_db.cli import command_parser, report_errors
from ppdet_db.config import DatasetSpecs, Plan, ReaderSpecs, flow_yaml
from ppdet_db.config.schema import COMPONENT_SECTIONS
from ppdet_db.registry import Spec

Line = tuple[str, str]
"""A line of YAML and where its value was set; empty for a default."""


def make_parser() -> argparse.ArgumentParser:
    return command_parser(
        "check",
        "Check a config and print every setting a run would use, with the file and line that set it (settings without "
        "one are defaults). Trains nothing; exits with 1 when the config has problems.",
        ("-c config.yml", "-c config.yml -o Train.loader.batch_size_per_card=8"),
    )


@report_errors
def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    from ppdet_db.engine.build import load_plan

    plan = load_plan(arguments.config, arguments.opt)
    build_without_data(plan)
    print(render(plan))
    for note in plan.notes:
        print(f"# note: {note}")
    print(f"# {arguments.config}: no problems")
    return 0


def build_without_data(plan: Plan) -> None:
    """Builds network, loss and optimizer, so that a value that only their constructors refuse is found here too."""
    from ppdet_db.engine import build
    from ppdet_db.engine.freeze import freeze

    model = build.build_model(plan.architecture)
    freeze(model, plan)
    build.build_loss(plan.loss)
    build.build_optimizer(
        plan.optimizer,
        parameters=dict(model.named_parameters()),
        epochs=plan.options.epoch_num,
        step_each_epoch=1000,  # follows from the pictures, which need not be there
    )


def render(plan: Plan) -> str:
    """The plan as YAML, defaults written out, with the origin of each value that is set as a comment."""
    lines = list(_plan_lines(plan))
    width = min(60, max(len(text) for text, origin in lines if origin))
    return "\n".join(f"{text:<{width}}  # {origin}" if origin else text for text, origin in lines)


def _plan_lines(plan: Plan) -> Iterator[Line]:
    yield from _options_lines(plan, ("Global",), plan.options, 0)
    yield "Architecture:", ""
    architecture = plan.architecture
    for spec in (architecture.backbone, architecture.neck, architecture.head):
        yield from _component_lines(plan, spec.path[-1], spec, 1)
    fused = ("Architecture", "fused")
    given = {"fused": architecture.fused} if fused in plan.config.marks else {}
    yield _value_line(plan, fused, given, architecture.fused, 1)
    yield from _component_lines(plan, "Loss", plan.loss, 0)
    yield from _component_lines(plan, "Optimizer", plan.optimizer.optimizer, 0)
    yield from _component_lines(plan, "lr", plan.optimizer.schedule, 1)
    if plan.optimizer.regularizer is not None:
        yield from _component_lines(plan, "regularizer", plan.optimizer.regularizer, 1)
    yield from _component_lines(plan, "PostProcess", plan.postprocess, 0)
    yield from _component_lines(plan, "Metric", plan.metric, 0)
    yield from _reader_lines(plan, "Train", plan.train)
    yield from _reader_lines(plan, "Eval", plan.eval)


def _reader_lines(plan: Plan, section: str, reader: ReaderSpecs) -> Iterator[Line]:
    yield f"{section}:", ""
    yield from _dataset_lines(plan, reader.dataset)
    yield from _options_lines(plan, (section, "loader"), reader.loader, 1)


def _dataset_lines(plan: Plan, dataset: DatasetSpecs) -> Iterator[Line]:
    yield from _component_lines(plan, "dataset", dataset.dataset, 1)
    yield "    transforms:", ""
    for spec in dataset.transforms:
        yield f"    - {spec.path[-1]}:", plan.config.where(spec.path)
        yield from _parameter_lines(plan, spec, (), 4)


def _component_lines(plan: Plan, key: str, spec: Spec, depth: int) -> Iterator[Line]:
    yield f"{'  ' * depth}{key}:", ""
    name_path = (*spec.path, "name")
    origin = plan.config.where(name_path) if name_path in plan.config.marks else ""
    yield f"{'  ' * (depth + 1)}name: {spec.cls.__name__}", origin
    yield from _parameter_lines(plan, spec, COMPONENT_SECTIONS[spec.path].wired, depth + 1)


def _parameter_lines(plan: Plan, spec: Spec, wired: tuple[str, ...], depth: int) -> Iterator[Line]:
    for name, parameter in inspect.signature(spec.cls).parameters.items():
        if name not in wired:
            yield _value_line(plan, (*spec.path, name), spec.kwargs, parameter.default, depth)


def _options_lines(plan: Plan, path: tuple[str, ...], options: Any, depth: int) -> Iterator[Line]:
    yield f"{'  ' * depth}{path[-1]}:", ""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        given = {field.name: value} if (*path, field.name) in plan.config.marks else {}
        yield _value_line(plan, (*path, field.name), given, value, depth + 1)


def _value_line(plan: Plan, path: tuple, given: dict[str, Any], default: Any, depth: int) -> Line:
    name = path[-1]
    origin = plan.config.where(path) if name in given else ""
    return f"{'  ' * depth}{name}: {flow_yaml(given.get(name, default))}", origin
