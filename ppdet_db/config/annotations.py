"""Values against the annotations of constructor parameters."""

import types
import typing
from typing import Any

import pydantic
import pydantic_core

PLURALS = {int: "integers", float: "numbers", bool: "booleans", str: "texts", dict: "mappings"}
SINGULARS = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "text",
    type(None): "null",
    list: "a list",
    tuple: "a list",
    dict: "a mapping",
}


def fits(value: Any, annotation: Any) -> bool:
    """Whether a value from YAML may be given where `annotation` stands.

    A whole number counts as a float and a list as a tuple; true and false are never numbers; text is never parsed.
    The value is compared as JSON, because pydantic lets a list pass for a tuple only there.
    """
    config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    try:
        adapter = pydantic.TypeAdapter(annotation, config=config)
    except pydantic.PydanticUserError:  # a dataclass or model, which brings its own settings
        adapter = pydantic.TypeAdapter(annotation)
    try:
        adapter.validate_json(pydantic_core.to_json(value), strict=True)
    except (pydantic.ValidationError, pydantic_core.PydanticSerializationError):
        return False
    return True


def describe(annotation: Any) -> str:
    """`an integer or a list of integers`, to stand after `must be`."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe(choice) for choice in arguments)
    if origin is typing.Literal:
        return " or ".join(show(choice) for choice in arguments)
    if origin in (list, tuple) and arguments:
        items = [argument for argument in arguments if argument is not Ellipsis]
        count = f"{len(items)} " if origin is tuple and Ellipsis not in arguments else ""
        if len(set(items)) == 1:
            return f"a list of {count}{PLURALS.get(items[0], 'items that are ' + describe(items[0]))}"
        return f"a list of {', '.join(describe(item) for item in items)}"
    if origin is not None:
        return describe(origin)
    return SINGULARS.get(annotation, f"a {getattr(annotation, '__name__', annotation)}")


def choices(annotation: Any) -> list[str]:
    """The words that a `Literal`, alone or in a union, allows."""
    if typing.get_origin(annotation) is typing.Literal:
        return [choice for choice in typing.get_args(annotation) if isinstance(choice, str)]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [word for choice in typing.get_args(annotation) for word in choices(choice)]
    return []


def show(value: Any) -> str:
    """A value as YAML would have it, shortened."""
    words = {None: "null", True: "true", False: "false"}
    text = words[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
