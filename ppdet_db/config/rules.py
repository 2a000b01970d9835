"""What must hold between sections. One function a rule; a class that does not declare `needs` or `gives` is not judged.

Everything here reads `report.specs`, so that the rules speak even where another part of the config is broken.
"""

import inspect
from collections.abc import Iterable
from typing import Any

from ppdet_db.config.report import Report
from ppdet_db.config.schema import GlobalOptions
from ppdet_db.contract import IDENTITY_KEYS
from ppdet_db.registry import TRANSFORMS, Spec

DATASET_GIVES = ("img_path", "line", "index", "epoch", "rng", "image", "label", "ext_data")
STRIDE = 32
SIZERS = ("EastRandomCropData", "Pad", "RandomCrop", "RandomCropImgMask", "Resize")
"""The transforms after which the picture has a size that the config tells."""
MOVERS = ("CopyPaste", "EastRandomCropData", "IaaAugment", "Pad", "RandomCrop", "RandomPerspective", "Resize")
"""The transforms that change what is where on the picture, and leave label maps and `shape` as they are."""
NAMED_KEYS = {"KeepKeys": ("keep_keys",), "RandomCropImgMask": ("main_key", "crop_keys")}
"""The transforms that read keys which the config names, and the parameters that name them."""
LABEL_MAPS = {"shrink_map", "threshold_map"}
PICTURE_STEPS = {
    "DecodeImage": "the picture stays an encoded file",
    "ToCHWImage": "the network gets (H, W, 3) instead of (3, H, W)",
}
"""What changes the form of the picture and not its key, so that the keys do not tell when it is left out."""


def check(report: Report) -> None:
    """Runs every rule."""
    average_is_made(report)
    deformable_stage_has_blocks(report)
    auxiliary_maps_are_made_and_weighed(report)
    for section, readers in (("Train", [("Loss",)]), ("Eval", [("PostProcess",), ("Metric",)])):
        steps = _steps(report, section)
        if steps is None:
            continue
        keys = keys_reach_every_transform(report, section, steps)
        if keys is not None:
            readers_find_their_keys(report, section, steps, keys, [report.specs.get(path) for path in readers])
        picture_takes_its_form(report, section, steps)
        picture_size_fits_the_network(report, steps)
        maps_agree_on_shrink_ratio(report, steps)
        shrink_map_comes_first(report, steps)
        no_label_map_after_resize(report, steps)
        picture_stays_where_its_labels_are(report, steps)


def average_is_made(report: Report) -> None:
    """Settings of a moving average without the average have no effect; their defaults ask for nothing."""
    options = report.config.data.get("Global")
    if isinstance(options, dict) and options.get("use_ema") in (None, False):
        for key, value in options.items():
            if str(key).startswith("ema_") and value != getattr(GlobalOptions, str(key), None):
                report.note(("Global", key), "ignored: has no effect without use_ema")


def deformable_stage_has_blocks(report: Report) -> None:
    """Only bottleneck blocks have deformable convolutions: `dcn_stage` asks for nothing in a ResNet below 50 layers."""
    path = ("Architecture", "Backbone")
    backbone = report.specs.get(path)
    if backbone and _is(backbone, "ResNet", "ResNet_vd") and any(backbone.kwargs.get("dcn_stage") or ()):
        layers = _argument(backbone, "layers")
        if layers < 50:
            report.note((*path, "dcn_stage"), f"has no effect at {layers} layers, whose blocks are never deformable")


def auxiliary_maps_are_made_and_weighed(report: Report) -> None:
    """The head makes auxiliary maps and the loss weighs them, or neither does."""
    head, loss = report.specs.get(("Architecture", "Head")), report.specs.get(("Loss",))
    if not (head and loss and _is(head, "DBHead", "PFHeadLocal") and _is(loss, "DBLoss")):
        return
    made = head.kwargs.get("aux_in_channels", 0)
    weighed = [key for key in ("aux_weight_p2", "aux_weight_p3", "aux_weight_p4") if loss.kwargs.get(key, 0)]
    if made and not weighed:
        text = "auxiliary maps are made and not trained: set Loss.aux_weight_p2, aux_weight_p3 and aux_weight_p4"
        report.note(("Architecture", "Head", "aux_in_channels"), text)
    if weighed and not made:
        report.note(("Loss", weighed[0]), "has no effect: the head makes no auxiliary maps (DBHead.aux_in_channels)")


def keys_reach_every_transform(report: Report, section: str, steps: list[Spec]) -> set[str] | None:
    """Each transform finds the keys that it needs. Returns the keys at the end, None where they cannot be known."""
    dataset = report.specs.get((section, "dataset"))
    keys: set[str] | None = set(getattr(dataset.cls, "gives", DATASET_GIVES) if dataset else DATASET_GIVES)
    for step in steps:
        named = [_argument(step, name) for name in NAMED_KEYS.get(getattr(step.cls, "__name__", ""), ())]
        if inspect.Parameter.empty in named:
            return None  # missing or of a wrong type, which is reported
        needs = list(dict.fromkeys([*getattr(step.cls, "needs", ()), *_flat(named)]))
        missing = [key for key in needs if keys is not None and key not in keys]
        if missing:
            report.problem(step.path, f"needs {_quoted(missing)}, which nothing before it gives{_who_gives(missing)}")
        if _is(step, "KeepKeys"):
            keys = {*needs, *IDENTITY_KEYS}
        elif not hasattr(step.cls, "gives"):
            keys = None  # whatever follows may live on what this one adds
        elif keys is not None:
            keys |= {*step.cls.gives, *missing}  # what is missing is reported once
    return keys


def readers_find_their_keys(
    report: Report, section: str, steps: list[Spec], keys: set[str], readers: list[Spec | None]
) -> None:
    """The network, and the loss or the postprocess and the metric, find in the batch what they read."""
    last_keep = next((step for step in reversed(steps) if _is(step, "KeepKeys")), None)
    wanted: dict[str, tuple[str, ...]] = {"the network": ("image",)}
    wanted |= {reader.cls.__name__: getattr(reader.cls, "needs", ()) for reader in readers if reader}
    for reader_name, needs in wanted.items():
        missing = [key for key in needs if key not in keys]
        if missing and last_keep is not None:
            report.problem((*last_keep.path, "keep_keys"), f"lacks {_quoted(missing)}, which {reader_name} reads")
        elif missing:
            text = f"no transform gives {_quoted(missing)}, which {reader_name} reads{_who_gives(missing)}"
            report.problem((section, "dataset", "transforms"), text)


def picture_takes_its_form(report: Report, section: str, steps: list[Spec]) -> None:
    """The picture is decoded and turned for the network; a note only, for a user's own transform may do it."""
    for name, consequence in PICTURE_STEPS.items():
        if steps and _find(steps, name) is None:
            text = f"has no {name}: {consequence}, unless a transform of your own sees to it"
            report.note((section, "dataset", "transforms"), text)


def picture_size_fits_the_network(report: Report, steps: list[Spec]) -> None:
    """Where the config tells the final size of the picture, its sides are whole multiples of the coarsest stride."""
    last = next((step for step in reversed(steps) if _is(step, *SIZERS)), None)
    if last is None:
        return
    name = "size_div" if _is(last, "Pad") and _argument(last, "size") is None else "size"
    value = _argument(last, name)
    if any(isinstance(side, int) and side % STRIDE for side in _flat([value])):
        shown = list(value) if isinstance(value, tuple) else value
        report.problem((*last.path, name), f"must be divisible by {STRIDE}, got {shown}")


def maps_agree_on_shrink_ratio(report: Report, steps: list[Spec]) -> None:
    """Both label maps come from one shrunk polygon; another ratio is allowed, and seldom meant."""
    border, shrink = _find(steps, "MakeBorderMap"), _find(steps, "MakeShrinkMap")
    if border is None or shrink is None:
        return
    ratios = _argument(border, "shrink_ratio"), _argument(shrink, "shrink_ratio")
    if ratios[0] != ratios[1]:
        report.note((*border.path, "shrink_ratio"), f"is {ratios[0]}, but MakeShrinkMap has {ratios[1]}")


def shrink_map_comes_first(report: Report, steps: list[Spec]) -> None:
    """MakeShrinkMap marks texts that are too small; the threshold map drawn before it still has them."""
    border, shrink = _find(steps, "MakeBorderMap"), _find(steps, "MakeShrinkMap")
    if border is not None and shrink is not None and steps.index(border) < steps.index(shrink):
        text = (
            "comes before MakeShrinkMap: texts that are dropped there as too small still supervise the threshold map, "
            "as in PaddleOCR. Put MakeShrinkMap first to leave them out"
        )
        report.note(border.path, text)


def no_label_map_after_resize(report: Report, steps: list[Spec]) -> None:
    """DetResizeForTest moves the picture and leaves the polygons in source pixels."""
    resize = _find(steps, "DetResizeForTest")
    for step in steps[steps.index(resize) + 1 :] if resize is not None else ():
        if LABEL_MAPS & set(getattr(step.cls, "gives", ())):
            text = "a label map after DetResizeForTest would not fit the picture: the polygons are not resized"
            report.problem(step.path, f"{text}. Remove one of the two")


def picture_stays_where_its_labels_are(report: Report, steps: list[Spec]) -> None:
    """Label maps, and the scale that DetResizeForTest writes down, do not follow the picture."""
    reason = None
    for step in steps:
        if reason and _is(step, *MOVERS):
            report.problem(step.path, f"changes the picture {reason}. Put it before")
        if _is(step, "DetResizeForTest"):
            reason = "after DetResizeForTest, so that what is found would come back to other places"
        elif LABEL_MAPS & set(getattr(step.cls, "gives", ())):
            reason = f"after {step.cls.__name__}, whose map would no longer fit"


def _steps(report: Report, section: str) -> list[Spec] | None:
    """The transforms of a reader; None where some are not known, since the rules need them all."""
    data: Any = report.config.data
    for key in (section, "dataset"):
        data = data.get(key) if isinstance(data, dict) else None
    listed = data.get("transforms", []) if isinstance(data, dict) else None
    steps = [spec for place, spec in report.specs.items() if place[:3] == (section, "dataset", "transforms")]
    return steps if isinstance(listed, list) and len(listed) == len(steps) else None


def _is(step: Spec, *names: str) -> bool:
    return getattr(step.cls, "__name__", "") in names


def _find(steps: Iterable[Spec], name: str) -> Spec | None:
    return next((step for step in steps if _is(step, name)), None)


def _argument(step: Spec, name: str) -> Any:
    """The configured value, else the constructor's default."""
    return step.arguments().get(name)


def _flat(values: Iterable[Any]) -> list[Any]:
    """The values, lists among them opened."""
    return [item for value in values for item in (value if isinstance(value, list | tuple) else [value])]


def _quoted(keys: Iterable[str]) -> str:
    return ", ".join(f"'{key}'" for key in keys)


def _who_gives(keys: list[str]) -> str:
    """The transforms that make one of the keys, rather than change it."""
    names = [
        name
        for name in TRANSFORMS.names()
        if set(keys) & set(getattr(TRANSFORMS.get(name), "gives", ())) - set(getattr(TRANSFORMS.get(name), "needs", ()))
    ]
    return f" ({' and '.join(names)} would)" if names else ""
