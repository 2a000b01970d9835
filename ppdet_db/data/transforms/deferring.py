"""Transforms that leave a picture undrawn or arrays packed, and the others, which get arrays: how a list is run."""

from collections.abc import Callable

from ppdet_db.data.transforms.packed import Packed
from ppdet_db.data.transforms.picture import Picture


class Deferring:
    """A transform that can leave a picture undrawn: the base of those that move it, and of those that do not see it.

    A subclass implements `deferred`; called as any transform is, it takes pixels and gives pixels.
    """

    def deferred(self, sample: dict) -> dict:
        """The transformed sample. Its `image` may be a Picture before and after: `picture_of` takes either."""
        raise NotImplementedError

    def __call__(self, sample: dict) -> dict:
        return drawn(self.deferred(sample))


class Packing:
    """A transform that can take and give arrays packed: the base of those that make such, and of those behind them.

    A subclass implements `packed`; called as any transform is, it takes and gives arrays.
    """

    def packed(self, sample: dict) -> dict:
        """The transformed sample. Its picture is drawn; this and other arrays may be Packed before and after."""
        raise NotImplementedError

    def __call__(self, sample: dict) -> dict:
        return drawn(self.packed(with_pixels(sample)))


def apply(transform: Callable[[dict], dict], sample: dict) -> dict:
    """The transformed sample, its picture drawn and its arrays unpacked only if the transform cannot do without."""
    # a subclass with a `__call__` of its own gets arrays, whatever its base does
    if isinstance(transform, Deferring) and type(transform).__call__ is Deferring.__call__:
        return transform.deferred(unpacked(sample))
    if isinstance(transform, Packing) and type(transform).__call__ is Packing.__call__:
        return transform.packed(with_pixels(sample))
    return transform(drawn(sample))


def drawn(sample: dict) -> dict:
    """The sample with arrays for its picture and for all that is packed."""
    return unpacked(with_pixels(sample))


def with_pixels(sample: dict) -> dict:
    """The sample with an array, packed or not, for its picture."""
    if not isinstance(sample.get("image"), Picture):
        return sample
    return {**sample, "image": sample["image"].pixels()}


def unpacked(sample: dict) -> dict:
    """The sample with arrays for all that is packed."""
    return {key: value.floats() if isinstance(value, Packed) else value for key, value in sample.items()}


def picture_of(sample: dict) -> Picture:
    """The picture of a sample, drawn or not."""
    image = sample["image"]
    return image if isinstance(image, Picture) else Picture(image)
