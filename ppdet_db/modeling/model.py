"""A detector: backbone -> neck -> head, wired by their channels."""

import copy

import paddle
from paddle import nn

from ppdet_db.errors import ConfigError, DetError
from ppdet_db.modeling import reparam
from ppdet_db.registry import Spec

STRIDES = (4, 8, 16, 32)


class DetModel(nn.Layer):
    """Picture (N, 3, H, W), sides multiples of 32 -> the head's dict: `maps` (N, 3, H, W) in training, (N, 1, H, W)
    in evaluation.

    The neck gets the backbone's `out_channels` as its `in_channels`, the head the neck's. Building runs one tiny
    picture through and raises ConfigError, naming the class, when a part does not keep its side of the contract.

    A head with `takes_levels` may get, in training on a CPU, `levels` from the neck in the place of `fused`: that
    before it was brought to one size and concatenated, which the head's first convolution does not need.

    Args:
        backbone: picture -> list of four features at strides 4, 8, 16, 32; `out_channels`: the list of their channels.
        neck: that list -> a dict with `fused` (N, C, H/4, W/4); `out_channels`: C.
        head: that dict -> a dict with `maps`.
    """

    def __init__(self, backbone: Spec, neck: Spec, head: Spec):
        super().__init__()
        self.backbone = backbone.build()
        require_channels(backbone, self.backbone, len(STRIDES))
        self.neck = neck.build(in_channels=list(self.backbone.out_channels))
        require_channels(neck, self.neck, 1)
        self.head = head.build(in_channels=self.neck.out_channels)
        self.neck.gives_levels = getattr(self.head, "takes_levels", False)
        self._check_outputs(backbone, neck, head)

    def forward(self, x: paddle.Tensor) -> dict[str, paddle.Tensor]:
        # an exported graph does not know its sides yet
        if paddle.in_dynamic_mode() and (x.ndim != 4 or any(side % STRIDES[-1] for side in x.shape[2:])):
            raise DetError(
                f"pictures must be (N, C, H, W) with H and W multiples of {STRIDES[-1]}, got {list(x.shape)}: see "
                "the crop's size in training, DetResizeForTest in evaluation, and ToCHWImage for the order"
            )
        return self.head(self.neck(self.backbone(x)))

    def fuse(self) -> "DetModel":
        """A copy for evaluation, its re-parameterised blocks turned into plain convolutions.

        Outputs are equal but for the rounding of the features: maps of trained networks within 1e-4.

        It can be trained, but is another network then: its keys fit no checkpoint of the unfused one.
        """
        model = copy.deepcopy(self)
        model.eval()
        reparam.fuse(model)
        return model

    @paddle.no_grad()
    def _check_outputs(self, backbone: Spec, neck: Spec, head: Spec) -> None:
        height, width = 32, 64
        self.eval()
        features = self.backbone(paddle.zeros([1, backbone.kwargs.get("in_channels", 3), height, width]))
        promised = [[1, c, height // s, width // s] for c, s in zip(self.backbone.out_channels, STRIDES, strict=True)]
        require_shapes(backbone, "a list of features at strides 4, 8, 16, 32", features, promised)

        fused = self.neck(features)
        promised = [[1, self.neck.out_channels, height // 4, width // 4]]
        require_shapes(neck, "a dict with 'fused' at stride 4", entry(fused, "fused"), promised)
        aux_in_channels = getattr(self.head, "aux_in_channels", 0)
        if aux_in_channels:  # evaluation has no auxiliary maps, so the head cannot be asked
            require_levels(head, neck, aux_in_channels, fused, promised[0][2:])

        maps = self.head(fused)
        require_shapes(head, "a dict with 'maps' at full size", entry(maps, "maps"), [[1, 1, height, width]])
        self.train()


def require_channels(spec: Spec, layer: nn.Layer, count: int) -> None:
    """`out_channels` is one positive int, or for `count` above 1 a list of so many."""
    channels = getattr(layer, "out_channels", None)
    values = [channels] if count == 1 else channels
    if not isinstance(values, list | tuple) or [type(c) for c in values] != [int] * count or min(values) < 1:
        kind = "a positive int" if count == 1 else f"a list of {count} positive ints"
        raise ConfigError(f"{name_of(spec)} must set out_channels, {kind}; it has {channels!r}")


def require_shapes(spec: Spec, what: str, tensors: object, promised: list[list[int]]) -> None:
    if not isinstance(tensors, list | tuple) or not all(isinstance(t, paddle.Tensor) for t in tensors):
        raise ConfigError(f"{name_of(spec)} must return {what}")
    shapes = [list(t.shape) for t in tensors]
    if shapes != promised:
        raise ConfigError(f"{name_of(spec)} must return {what}, here of shape {promised}; it returned {shapes}")


def require_levels(head: Spec, neck: Spec, channels: int, outputs: dict, finest: list[int]) -> None:
    """The neck gives what the head makes auxiliary maps of: `p2`, `p3`, `p4`, so many channels, from the finest on."""
    keys = ("p2", "p3", "p4")
    if not set(keys) <= set(outputs):
        raise ConfigError(
            f"{name_of(head)} makes auxiliary maps (aux_in_channels) of the neck's 'p2', 'p3' and 'p4', which "
            f"{neck.cls.__name__} does not give; RepLKFPN, RepLKPAN and LKPAN do"
        )
    height, width = finest
    found = outputs["p2"].shape[1]
    promised = [[1, found, height // scale, width // scale] for scale in (1, 2, 4)]
    require_shapes(neck, "'p2', 'p3', 'p4' at strides 4, 8, 16", [outputs[key] for key in keys], promised)
    if found != channels:
        raise ConfigError(
            f"{name_of(head)}: aux_in_channels must be {found}, the channels of 'p2', 'p3' and 'p4', got {channels}"
        )


def entry(outputs: object, key: str) -> object:
    """[outputs[key]], or None where there is no such entry."""
    return [outputs[key]] if isinstance(outputs, dict) and key in outputs else None


def name_of(spec: Spec) -> str:
    name = getattr(spec.cls, "__name__", repr(spec.cls))
    return f"{spec.where}: {name}" if spec.where else name
