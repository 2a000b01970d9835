"""Config -> objects. Each `build_*` takes the plain section of a YAML file, checks it and returns the object.

The same functions take the checked specs of a `Plan`, which is how the trainer calls them.
"""

import contextlib
import importlib
import importlib.util
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import paddle
from paddle.io import DataLoader

import ppdet_db.components  # noqa: F401  (registers the built-in components)
from ppdet_db.config import (
    ArchitectureSpecs,
    Config,
    DatasetSpecs,
    InferencePlan,
    LoaderOptions,
    OptimizerSpecs,
    Plan,
    check,
    check_inference,
    check_section,
    load_config,
    load_inference_config,
)
from ppdet_db.data.dataset import DetDataset
from ppdet_db.data.loader import EpochSampler, make_loader
from ppdet_db.data.transforms.deferring import apply, drawn
from ppdet_db.engine.inference import CONFIG, deployed_config, model_file
from ppdet_db.engine.log import logger
from ppdet_db.errors import ConfigError, DetError
from ppdet_db.modeling.model import DetModel
from ppdet_db.registry import Spec

CHECKED = (Spec, ArchitectureSpecs, DatasetSpecs, LoaderOptions, OptimizerSpecs, tuple)
"""What the parts of a `Plan` are; anything else is the plain section of a config."""

NOT_THE_USERS = (str(Path(__file__).parents[1]), "<frozen", *map(sysconfig.get_path, ("stdlib", "purelib", "platlib")))
"""How the names of source files begin that belong to this program, to Python or to installed packages."""


def load_plan(path: str | os.PathLike, overrides: Sequence[str] = ()) -> Plan:
    """Reads a config, imports the user's own components, checks everything. Raises ConfigError with all problems."""
    config = load_config(path, overrides)
    _import_user_modules(config)
    return check(config)


def load_inference_plan(path: str | os.PathLike, overrides: Sequence[str] = ()) -> InferencePlan:
    """The transforms and the postprocess that an exported model brings with it.

    Args:
        path: its folder or its graph, as `open_model` takes it.
        overrides: by the names of a config, `PostProcess.box_thresh=0.5`.

    Raises:
        DetError: the model says nothing of them, or something wrong.
    """
    file = model_file(Path(path))
    found = deployed_config(file)
    if found is None:
        place = f"neither its metadata nor {CONFIG} beside it" if file.suffix == ".onnx" else f"no {CONFIG} beside it"
        raise DetError(
            f"{file}: nothing says which transforms and postprocess belong to it ({place}). Give the config it was "
            "trained with: -c FILE"
        )
    config = load_inference_config(*found, overrides)
    _import_user_modules(config)
    return check_inference(config)


def choose_device(use_gpu: bool) -> None:
    """The GPU where it is wanted and there; a note and the CPU otherwise."""
    if use_gpu and not (paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count()):
        logger.info("note: Global.use_gpu is true, but this Paddle or this machine has no GPU: the CPU is used")
        use_gpu = False
    paddle.set_device(f"gpu:{paddle.distributed.ParallelEnv().device_id}" if use_gpu else "cpu")
    if paddle.distributed.get_world_size() > 1:
        paddle.distributed.init_parallel_env()


def build_model(section: Any) -> DetModel:
    """`Architecture`: backbone, neck and head, wired; in training mode."""
    specs = _checked("Architecture", section)
    model = DetModel(specs.backbone, specs.neck, specs.head)
    if specs.fused:
        model = model.fuse()
        model.train()
    return model


def trained_as(model: DetModel, to_static: bool) -> Callable[[paddle.Tensor], dict]:
    """The network as training calls it: itself, its copy among several processes, or a static graph of it.

    The graph shares the weights. The network itself, which is evaluated, averaged and saved, stays what it is.

    Raises:
        DetError: a static graph in several processes.
    """
    several = paddle.distributed.get_world_size() > 1
    if several and to_static:
        raise DetError("Global.to_static is not supported in several processes: leave it out there")
    if several:
        return paddle.DataParallel(model)

    def predict(images: paddle.Tensor) -> dict:
        return model(images)

    return paddle.jit.to_static(predict, full_graph=True) if to_static else model


def build_loss(section: Any) -> Callable[[dict, dict], dict]:
    """`Loss`: called as `loss(preds, batch)`, returns a dict of scalars."""
    return _checked("Loss", section).build()


def build_optimizer(
    section: Any, *, parameters: dict[str, paddle.Tensor], epochs: int, step_each_epoch: int
) -> tuple[Any, Any]:
    """`Optimizer`: (optimizer, schedule); call `schedule.step()` after each `optimizer.step()`.

    `parameters` are `dict(model.named_parameters())`; the optimizer gets those of them that are trained.
    """
    specs = _checked("Optimizer", section)
    schedule = specs.schedule.build(epochs=epochs, step_each_epoch=step_each_epoch)
    regularizer = specs.regularizer.build() if specs.regularizer else None
    trained = {name: parameter for name, parameter in parameters.items() if not parameter.stop_gradient}
    optimizer = specs.optimizer.build(parameters=trained, learning_rate=schedule, regularizer=regularizer)
    return optimizer, schedule


def build_postprocess(section: Any) -> Callable[[dict, Any], list[dict]]:
    """`PostProcess`: called as `postprocess(preds, shape)`, returns one `{"points", "scores"}` a picture."""
    return _checked("PostProcess", section).build()


def build_metric(section: Any) -> Any:
    """`Metric`: `update(preds, batch)`, `compute()`, `reset()`."""
    return _checked("Metric", section).build()


def build_transforms(section: Any) -> Callable[[dict], dict]:
    """A list of transforms as one callable sample -> sample."""
    transforms = [spec.build() for spec in _checked("transforms", section)]

    def run(sample: dict) -> dict:
        for transform in transforms:
            sample = apply(transform, sample)
        return drawn(sample)

    return run


def build_dataset(section: Any, *, seed: int = 0, data_root: str | None = None) -> DetDataset:
    """`Train.dataset` or `Eval.dataset`. Raises DetError when there is nothing to read."""
    specs = _checked("dataset", section)
    transforms = [spec.build() for spec in specs.transforms]
    dataset = specs.dataset.build(transforms=transforms, data_root=data_root, base_seed=seed)
    if len(dataset) == 0:
        raise DetError(f"{specs.dataset.where}: the dataset is empty, there is no picture to read")
    return dataset


def build_loader(dataset: DetDataset, section: Any, *, train: bool, seed: int = 0) -> DataLoader:
    """`Train.loader` or `Eval.loader`: batches as dicts; `loader.batch_sampler.start(epoch, batch)` moves it.

    In training every process of a multi-card run gets its share of an epoch; evaluation reads everything.
    """
    options = _checked("loader", section)
    sampler = EpochSampler(
        len(dataset),
        batch_size=options.batch_size_per_card,
        shuffle=options.shuffle,
        drop_last=options.drop_last,
        seed=seed,
        rank=paddle.distributed.get_rank() if train else 0,
        world_size=paddle.distributed.get_world_size() if train else 1,
    )
    if len(sampler) == 0:
        share = f"{len(dataset)} pictures"
        if sampler.world_size > 1:
            share += f" shared by {sampler.world_size} processes"
        raise DetError(
            f"{share} are fewer than one batch of {options.batch_size_per_card} and drop_last is true: "
            "lower batch_size_per_card or set drop_last to false"
        )
    for transform in dataset.transforms:
        if hasattr(transform, "prepare"):
            transform.prepare()  # now, and not in every worker of every epoch
    return make_loader(dataset, sampler, num_workers=options.num_workers, use_shared_memory=options.use_shared_memory)


def dataset_of(plan: Plan, *, train: bool) -> DetDataset:
    """The dataset of a plan's `Train` or `Eval`, with its seed and data root."""
    reader = plan.train if train else plan.eval
    return build_dataset(reader.dataset, seed=plan.options.seed, data_root=plan.options.data_root)


def loader_of(plan: Plan, *, train: bool) -> DataLoader:
    """The loader of a plan's `Train` or `Eval`."""
    reader = plan.train if train else plan.eval
    return build_loader(dataset_of(plan, train=train), reader.loader, train=train, seed=plan.options.seed)


def _checked(name: str, section: Any) -> Any:
    return section if isinstance(section, CHECKED) else check_section(name, section)


def _import_user_modules(config: Config) -> None:
    """Imports `Global.imports`: dotted names, or paths relative to the YAML file that lists them."""
    options = config.data.get("Global")
    names = options.get("imports") if isinstance(options, dict) else None
    for i, name in enumerate(names if isinstance(names, list) else ()):
        path = ("Global", "imports", i)
        if not isinstance(name, str):
            continue  # a wrong type, which `check` reports
        try:
            _import(name, config.folder(path))
        except Exception as error:  # whatever a user's module raises is theirs to see, with the place that asked for it
            raise ConfigError(
                f"{config.where(path)}: Global.imports: cannot import '{name}': {_place(error)}"
                f"{type(error).__name__}: {error}"
            ) from error


def _import(name: str, folder: Path) -> ModuleType:
    """A module, imported as `python script.py` would do it: with its own folder, or the current one, on `sys.path`."""
    if not name.endswith(".py"):
        with _on_path(Path.cwd()):
            return importlib.import_module(name)
    path = (folder / name).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}")
    known = sys.modules.get(path.stem)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    if known is not None:
        raise ImportError(f"another module is named '{path.stem}'; rename the file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # before it runs, so that its classes can be pickled
    try:
        with _on_path(path.parent):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module


@contextlib.contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _place(error: Exception) -> str:
    """`my_necks.py:7: `, the last line of the user's own source that an error came through; empty for none."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: "
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(NOT_THE_USERS)]
    return f"{own[-1].filename}:{own[-1].lineno}: " if own else ""
