"""Importing the package changes nothing of the process, beyond what Paddle does when it is imported."""

import subprocess
import sys

import pytest

EFFECTS = """
import importlib, logging, os, pkgutil, random, signal, sys, warnings
import matplotlib.figure, numpy as np, paddle, tqdm

def state():
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    numpy = np.random.get_state()
    return {
        "signal handlers": handlers,
        "warning filters": list(warnings.filters),
        "sys.path": list(sys.path),
        "np.geterr": np.geterr(),
        "np.random": (numpy[1].tolist(), numpy[2:]),
        "random": random.getstate(),
        "np.sctypes": hasattr(np, "sctypes"),
        "logging": [list(logging.getLogger(name).handlers) for name in (None, "ppdet_db")],
        "paddle seed": paddle.get_rng_state()[0].__getstate__(),
        "device": paddle.get_device(),
        "hooks": (sys.excepthook, sys.displayhook),
        "environment": dict(os.environ),
    }

before = state()
import ppdet_db
modules = [module.name for module in pkgutil.walk_packages(ppdet_db.__path__, "ppdet_db.")]
for name in modules:
    importlib.import_module(name)
after = state()
print(len(modules), *(name for name in before if before[name] != after[name]), sep="|")
"""


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_importing_everything_changes_nothing() -> None:
    count, *changed = run(EFFECTS).split("|")
    assert int(count) > 40
    assert changed == []


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("from ppdet_db.data.transforms import MakeBorderMap, MakeShrinkMap, IaaAugment", "paddle imgaug matplotlib"),
        ("from ppdet_db.data.synthetic import SyntheticDataSet", "paddle"),
        ("from ppdet_db.config import load_config, ConfigError", "paddle cv2 numpy"),
        ("import ppdet_db.postprocess.db_postprocess, ppdet_db.metrics.det_metric", "paddle"),
        ("import ppdet_db.components, ppdet_db.engine", "imgaug numba"),
        *((f"import ppdet_db.cli.{name}", "paddle cv2 numpy") for name in ("train", "eval", "infer", "check", "dump")),
    ],
)
def test_does_not_import(statement: str, absent: str) -> None:
    loaded = run(f"import sys\n{statement}\nprint(*(name for name in {absent.split()!r} if name in sys.modules))")
    assert loaded == ""
