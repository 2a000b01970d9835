"""Where the time of a training goes: `profile -c config.yml` times each transform, the workers and the network."""

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ppdet_db.cli import command_parser, report_errors

if TYPE_CHECKING:
    from ppdet_db.engine import Trainer


def make_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "profile",
        "Tell where the time of a training goes: milliseconds a picture of reading and of each transform of the Train "
        "section, pictures a second that 1, 2, ... workers prepare, and pictures a second that the network trains on. "
        "The network waits where it is faster than the workers. Weights are random and nothing is saved.",
        (
            "-c config.yml",
            "-c config.yml -o Train.loader.batch_size_per_card=8 --workers 1 4 8 --seconds 20",
        ),
    )
    parser.add_argument(
        "--workers", type=int, nargs="+", metavar="N", default=[1, 2, 4], help="numbers to try (default: 1 2 4)"
    )
    parser.add_argument("--pictures", type=int, default=32, help="how many the transforms are timed on (default: 32)")
    parser.add_argument("--seconds", type=float, default=5, help="how long each rate is measured (default: 5)")
    return parser


@report_errors
def main(argv: list[str] | None = None) -> int:
    arguments = make_parser().parse_args(argv)
    from ppdet_db.engine import Trainer, load_plan

    with tempfile.TemporaryDirectory(prefix="ppdet_db_") as folder:
        own = [f"Global.save_model_dir={folder}", "Global.pretrained_model=null", "Global.checkpoints=null"]
        trainer = Trainer(load_plan(arguments.config, [*arguments.opt, *own, "Global.eval_engine=null"]))
        print(table_of_transforms(trainer, arguments.pictures), "", sep="\n")
        print("images/s")
        rates = {workers: reader_rate(trainer, workers, arguments.seconds) for workers in arguments.workers}
        network = network_rate(trainer, arguments.seconds)
    for workers, rate in rates.items():
        print(f"  {f'num_workers: {workers}':<20} {rate:8.1f}")
    print(f"  {'network':<20} {network:8.1f}")
    return 0


def table_of_transforms(trainer: "Trainer", pictures: int) -> str:
    """One aligned line a transform, and one for all."""
    from ppdet_db.engine.profile import transform_seconds

    seconds = transform_seconds(trainer.train_loader.dataset, itertools.islice(keys_of(trainer), pictures))
    whole = sum(seconds.values())
    lines = ["ms a picture"]
    lines += [f"  {name:<20} {1000 * value:8.2f} {value / whole:5.0%}" for name, value in seconds.items()]
    return "\n".join([*lines, f"  {'together':<20} {1000 * whole:8.2f}"])


def keys_of(trainer: "Trainer") -> Iterator[tuple[int, int]]:
    """(epoch, index) in the order of a training that never ends."""
    for epoch in itertools.count():
        trainer.sampler.start(epoch)
        yield from itertools.chain.from_iterable(trainer.sampler)


def reader_rate(trainer: "Trainer", workers: int, seconds: float) -> float:
    """Pictures a second from so many workers, counted when each has delivered a batch."""
    from ppdet_db.data.loader import make_loader
    from ppdet_db.engine.evaluate import refuse_bad

    options = trainer.plan.train.loader
    keys, size = keys_of(trainer), options.batch_size_per_card
    batches = [list(itertools.islice(keys, size)) for _ in range(10_000)]
    loader = make_loader(
        trainer.train_loader.dataset, batches, num_workers=workers, use_shared_memory=options.use_shared_memory
    )
    start, counted = 0.0, 0
    for number, batch in enumerate(loader):
        refuse_bad(batch)
        if number < max(1, workers):
            start = time.perf_counter()
            continue
        counted += size
        if time.perf_counter() - start > seconds:
            break
    return counted / (time.perf_counter() - start)


def network_rate(trainer: "Trainer", seconds: float) -> float:
    """Pictures a second of whole training steps on batches that are already there."""
    trainer.sampler.start(0)
    batches = list(itertools.islice(trainer.train_loader, trainer.options.accumulate))
    float(trainer.step(*batches)["loss"])  # what happens only once
    steps, start = 0, time.perf_counter()
    while not steps or time.perf_counter() - start < seconds:
        float(trainer.step(*batches)["loss"])  # waits for a GPU
        steps += 1
    return steps * sum(len(batch["image"]) for batch in batches) / (time.perf_counter() - start)
