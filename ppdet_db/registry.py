"""Names to classes. A component is registered by a decorator and its constructor signature is its config schema.

    @NECKS.register
    class DBFPN(nn.Layer):
        def __init__(self, in_channels: list[int], out_channels: int = 256, use_asf: bool = False): ...

`in_channels` is *wired*: the program supplies it when the neck is built, so a config may not set it.
"""

import copy
import difflib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ppdet_db.errors import ConfigError

T = TypeVar("T", bound=type)


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The one of `names` that `word` is most likely a slip of."""
    near = difflib.get_close_matches(str(word), list(names), 1, 0.6)
    return near[0] if near else None


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """`Did you mean 'x'?` for the nearest of `names`, or the whole list when nothing is near."""
    names = sorted(names)
    near = nearest(word, names)
    if near:
        return f"Did you mean '{near}'?"
    return f"Known: {', '.join(names)}." if names else "There are none."


class Registry:
    """The components of one kind, by name.

    Args:
        kind: what its members are called in messages, such as `neck`.
        wired: constructor parameters that the program supplies at `Spec.build`, never the config.
    """

    def __init__(self, kind: str, wired: tuple[str, ...] = ()):
        self.kind = kind
        self.wired = wired
        self._classes: dict[str, type] = {}

    def register(self, cls: T | None = None, *, aliases: tuple[str, ...] = ()) -> Any:
        """Decorator, bare or with `aliases`. Raises TypeError for a name taken by another class and for a
        constructor with `*args` or `**kwargs`, which would swallow misspelt config keys."""
        if cls is None:
            return lambda decorated: self.register(decorated, aliases=aliases)
        for parameter in inspect.signature(cls).parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise TypeError(
                    f"{self.kind} {cls.__name__}: *args/**kwargs would hide misspelt config keys; name every parameter"
                )
        for name in (cls.__name__, *aliases):
            other = self._classes.get(name)
            if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
                raise TypeError(
                    f"{self.kind} '{name}' is registered twice: in {other.__module__} and in {cls.__module__}"
                )
            self._classes[name] = cls
        return cls

    def get(self, name: str) -> type:
        """The class of that name. Raises KeyError whose argument is the message for the user."""
        if name not in self._classes:
            raise KeyError(f"no {self.kind} named '{name}'. {did_you_mean(name, self._classes)}")
        return self._classes[name]

    def names(self) -> list[str]:
        return sorted(self._classes)

    def __contains__(self, name: str) -> bool:
        return name in self._classes


@dataclass(frozen=True)
class Spec:
    """A checked, not yet built component.

    Args:
        cls: the class.
        kwargs: its configured arguments; copied at each build, so that two builds share nothing.
        where: prefix of messages, `b.yml:4: Architecture.Neck`; a bare path when there is no file.
        path: of its section in the config, `("Architecture", "Neck")`.
        places: for arguments that stand on a line of their own, what to put in place of `where`.
    """

    cls: Callable[..., Any]
    kwargs: dict[str, Any] = field(default_factory=dict)
    where: str = ""
    path: tuple[str | int, ...] = ()
    places: dict[str, str] = field(default_factory=dict)

    def arguments(self) -> dict[str, Any]:
        """Every parameter of the constructor with its configured value, else its default, else `Parameter.empty`."""
        defaults = {name: each.default for name, each in inspect.signature(self.cls).parameters.items()}
        return defaults | self.kwargs

    def build(self, **wired: Any) -> Any:
        """The object.

        A ValueError of the constructor (a value out of range) becomes a ConfigError with the place of the argument that
        its first word names.
        """
        try:
            return self.cls(**copy.deepcopy(self.kwargs), **wired)
        except ValueError as error:
            where = self.places.get(str(error).partition(" ")[0], self.where)
            raise ConfigError(f"{where}: {error}" if where else str(error)) from error


BACKBONES = Registry("backbone")
NECKS = Registry("neck", wired=("in_channels",))
HEADS = Registry("head", wired=("in_channels",))
LOSSES = Registry("loss")
OPTIMIZERS = Registry("optimizer", wired=("parameters", "learning_rate", "regularizer"))
SCHEDULES = Registry("learning-rate schedule", wired=("epochs", "step_each_epoch"))
REGULARIZERS = Registry("regularizer")
POSTPROCESSES = Registry("postprocess")
METRICS = Registry("metric")
DATASETS = Registry("dataset", wired=("transforms", "data_root", "base_seed"))
TRANSFORMS = Registry("transform")
