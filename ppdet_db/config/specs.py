"""What checking gives: every section as specs, the whole as a Plan; nothing is built yet."""

from dataclasses import dataclass

from ppdet_db.config.schema import GlobalOptions, LoaderOptions
from ppdet_db.config.source import Config
from ppdet_db.registry import Spec


@dataclass(frozen=True)
class ArchitectureSpecs:
    """`Architecture`.

    Args:
        fused: re-parameterised blocks are one convolution from the start, as in a deployed network.
    """

    backbone: Spec
    neck: Spec
    head: Spec
    fused: bool = False


@dataclass(frozen=True)
class OptimizerSpecs:
    """`Optimizer`, with its `lr` and `regularizer`."""

    optimizer: Spec
    schedule: Spec
    regularizer: Spec | None


@dataclass(frozen=True)
class DatasetSpecs:
    """`dataset`, with its `transforms`."""

    dataset: Spec
    transforms: tuple[Spec, ...]


@dataclass(frozen=True)
class ReaderSpecs:
    """`Train` or `Eval`."""

    dataset: DatasetSpecs
    loader: LoaderOptions


@dataclass(frozen=True)
class InferencePlan:
    """What stands around an exported network when it finds text.

    Args:
        notes: remarks for the user, complete lines with their file and line.
    """

    options: GlobalOptions
    transforms: tuple[Spec, ...]
    postprocess: Spec
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A checked config: everything that can be built from it, nothing built yet.

    Args:
        notes: remarks for the user, complete lines with their file and line.
    """

    config: Config
    options: GlobalOptions
    architecture: ArchitectureSpecs
    loss: Spec
    optimizer: OptimizerSpecs
    postprocess: Spec
    metric: Spec
    train: ReaderSpecs
    eval: ReaderSpecs
    notes: tuple[str, ...]

    def for_inference(self) -> InferencePlan:
        """The parts that finding text needs, with the evaluation's transforms."""
        return InferencePlan(self.options, self.eval.dataset.transforms, self.postprocess, self.notes)
