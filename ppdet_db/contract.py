"""What travels between the parts: every key of a sample, a batch and a prediction, and the containers that carry them.

Points are (x, y) in pixels of the current picture, x right, y down; a pixel is the point with its integer coordinates.
H, W: picture; K: texts in it; P: points of the longest polygon (shorter ones repeat their last point); N: batch.
`size` is [w, h]; `shape` is [h, w].
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SHRINK, THRESHOLD, BINARY = 0, 1, 2
"""Channels of the training maps (N, 3, H, W). In evaluation only SHRINK is there: (N, 1, H, W)."""


@dataclass(frozen=True)
class Key:
    """dtype, shape and meaning of one entry."""

    dtype: str
    shape: str
    meaning: str


KEYS = {
    # set by the dataset
    "img_path": Key("str", "", "file of the picture, as in the label file joined to data_dir"),
    "line": Key("str", "", "where its label stands, `labels.txt:17`; the empty string for a drawn picture"),
    "index": Key("int", "", "position in the dataset"),
    "epoch": Key("int", "", "0-based epoch"),
    "rng": Key("np.random.Generator", "", "default_rng((seed, epoch, index)): all chance of this sample"),
    "label": Key("str", "", 'JSON list of {"transcription", "points"}'),
    "ext_data": Key("list[dict]", "", "further samples, where a transform asks for them"),
    # set by transforms
    # inside the dataset a Picture where it is not drawn yet, `ppdet_db/data/transforms/picture.py`; normalised, and
    # as the three maps of 0 and 1, Packed on its way into a batch, `ppdet_db/data/transforms/packed.py`
    "image": Key("bytes, uint8, float32", "(H, W, 3), at last (3, H, W)", "encoded file, then pixels, then normalised"),
    "polys": Key("float32", "(K, P, 2)", "polygons of the texts"),
    "texts": Key("list[str]", "K", "transcriptions"),
    "ignore_tags": Key("bool", "(K,)", "True: neither trained on nor counted"),
    "threshold_map": Key("float32", "(H, W)", "thresh_max on a text's outline, falling to thresh_min at distance D"),
    "threshold_mask": Key("float32", "(H, W)", "1 inside a text and within D of its outline"),
    "shrink_map": Key("float32", "(H, W)", "1 inside a shrunk text"),
    "shrink_mask": Key("float32", "(H, W)", "0 where the loss must not look"),
    "shape": Key("float32", "(4,)", "src_h, src_w, ratio_h, ratio_w; ratio = resized / source"),
    # set by collate
    "bad": Key("list[BadSample]", "", "samples that could not be made; such a batch holds nothing else"),
    "bad_count": Key("int64", "(1,)", "how many they are"),
    # the network
    "fused": Key("float32", "(N, C, H/4, W/4)", "what the neck hands to the head"),
    "levels": Key("list[float32]", "(N, C/4, H/s, W/s)", "the same before it is one map, for heads that take levels"),
    "maps": Key("float32", "(N, 3 or 1, H, W)", "after sigmoid: SHRINK, THRESHOLD, BINARY; SHRINK alone in evaluation"),
    "p2": Key("float32", "(N, C, H/4, W/4)", "the neck's finest level, for auxiliary maps; not every neck has them"),
    "p3": Key("float32", "(N, C, H/8, W/8)", "the next coarser one"),
    "p4": Key("float32", "(N, C, H/16, W/16)", "the next coarser one"),
    "distance_maps": Key("float32", "(N, 1, H, W)", "PFHeadLocal, training: its refined shrink map, as in `maps`"),
    "cbn_maps": Key("float32", "(N, 1, H, W)", "PFHeadLocal, training: its binary map, as in `maps`"),
    "aux_maps_p2": Key("float32", "(N, 3, H, W)", "auxiliary maps from p2, training: channels as in `maps`"),
    "aux_maps_p3": Key("float32", "(N, 3, H, W)", "the same from p3"),
    "aux_maps_p4": Key("float32", "(N, 3, H, W)", "the same from p4"),
    # losses; the parts carry their weights, but for those of auxiliary maps
    "loss": Key("float32", "()", "the one to differentiate"),
    "loss_shrink_maps": Key("float32", "()", "alpha x loss of the shrink map"),
    "loss_threshold_maps": Key("float32", "()", "beta x loss of the threshold map"),
    "loss_binary_maps": Key("float32", "()", "loss of the approximate binary map"),
    "loss_cbn": Key("float32", "()", "loss of `cbn_maps`, as of a shrink map but without alpha"),
    "loss_aux_maps_p2": Key("float32", "()", "whole loss of those maps; aux_weight_p2 of it is in `loss`"),
    "loss_aux_maps_p3": Key("float32", "()", "the same for p3"),
    "loss_aux_maps_p4": Key("float32", "()", "the same for p4"),
    # postprocess, one dict a picture
    "points": Key("int32", "(K, 4, 2), or a list of (P, 2)", "texts found, in pixels of the source picture"),
    "scores": Key("float32", "(K,)", "mean shrink probability"),
}

IDENTITY_KEYS = ("img_path", "line", "index")
"""What `KeepKeys` always keeps, so that everything downstream can name a picture."""


class Ragged:
    """A batch entry that cannot be stacked: one item a picture, passed on as it is.

    Neither Sequence nor Mapping to Paddle, whose loader turns the arrays of a list into tensors and dies on an array
    of shape (0, 4, 2) in shared memory (`Tensor holds no memory`, Paddle 3.3.1).
    """

    def __init__(self, items: list[Any]):
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> Any:
        return self.items[i]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __repr__(self) -> str:
        return f"Ragged({self.items!r})"


@dataclass(frozen=True)
class BadSample:
    """A sample that could not be made, handed over instead of raised: in a worker the cause would be lost.

    Args:
        path: the picture.
        line: where its label stands, `labels.txt:17`, or the empty string.
        reason: one sentence; for an unexpected exception its traceback.
    """

    path: str
    line: str
    reason: str

    def __str__(self) -> str:
        return f"{self.line + ': ' if self.line else ''}{self.path}: {self.reason}"
