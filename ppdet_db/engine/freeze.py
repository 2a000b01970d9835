"""Holding parts of a network as they are: `Global.freeze` its parameters, `Global.freeze_norm` its statistics."""

from collections.abc import Iterable

from paddle import nn

from ppdet_db.config import ConfigError, Plan
from ppdet_db.registry import did_you_mean, nearest

BATCH_NORMS = (nn.BatchNorm, nn.layer.norm._BatchNormBase)


def freeze(model: nn.Layer, plan: Plan) -> list[str]:
    """Freezes what the plan says, for good: `model.train()` does not undo it. Returns what that was, a line each.

    A parameter named `neck.p5_conv.weight` lies under `neck.p5_conv` and under `neck`, not under `neck.p5`.

    Raises:
        ConfigError: an entry under which there is nothing, with its line and the nearest name; or nothing is left to
            train.
    """
    parameters = {name: weight for name, weight in model.named_parameters() if not weight.stop_gradient}
    norms = {name: layer for name, layer in model.named_sublayers() if isinstance(layer, BATCH_NORMS)}
    chosen, problems = _under(plan, "freeze", parameters, "parameter that is trained")
    chosen_norms, more = _under(plan, "freeze_norm", norms, "batch norm")
    if chosen and len(chosen) == len(parameters):
        place = plan.config.where(("Global", "freeze"))
        problems.append(_line(place, "Global.freeze", "every parameter is frozen: there is nothing left to train"))
    if problems or more:
        raise ConfigError(problems + more)
    for name in chosen:
        parameters[name].stop_gradient = True
    for name in chosen_norms:
        norms[name]._use_global_stats = True
    counts = (
        ("parameters", chosen, parameters),
        ("batch norms' running statistics", chosen_norms, norms),
    )
    return [f"frozen: {len(some)} of {len(every)} {what}" for what, some, every in counts if some]


def _under(plan: Plan, key: str, names: Iterable[str], what: str) -> tuple[set[str], list[str]]:
    """The names under an option's entries, and what is wrong with these."""
    names = list(names)
    entries = getattr(plan.options, key)
    if isinstance(entries, bool):
        return set(names if entries else ()), []
    found: set[str] = set()
    problems = []
    for i, entry in enumerate(entries):
        under = [name for name in names if name == entry or name.startswith(f"{entry}.")]
        if not under:
            place = plan.config.where(("Global", key, i))
            problems.append(_line(place, f"Global.{key}", f"there is no {what} under '{entry}'. {_near(entry, names)}"))
        found.update(under)
    return found, problems


def _near(entry: str, names: list[str]) -> str:
    """A suggestion among all levels of the names, else the list of the highest."""
    levels = {".".join(parts[:i]) for parts in (name.split(".") for name in names) for i in range(1, len(parts) + 1)}
    near = nearest(entry, sorted(levels))
    return f"Did you mean '{near}'?" if near else did_you_mean("", {name.partition(".")[0] for name in names})


def _line(place: str, key: str, text: str) -> str:
    return ": ".join(filter(None, [place, key, text]))
