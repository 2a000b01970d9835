"""Transforms that leave a picture undrawn, and the others, which get pixels: how a list of both is run."""

from collections.abc import Callable

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


def apply(transform: Callable[[dict], dict], sample: dict) -> dict:
    """The transformed sample, its picture drawn only if the transform cannot do without."""
    # a subclass with a `__call__` of its own gets pixels, whatever its base does
    if isinstance(transform, Deferring) and type(transform).__call__ is Deferring.__call__:
        return transform.deferred(sample)
    return transform(drawn(sample))


def drawn(sample: dict) -> dict:
    """The sample with pixels as its `image`."""
    if not isinstance(sample.get("image"), Picture):
        return sample
    return {**sample, "image": sample["image"].pixels()}


def picture_of(sample: dict) -> Picture:
    """The picture of a sample, drawn or not."""
    image = sample["image"]
    return image if isinstance(image, Picture) else Picture(image)
