"""What a loader's worker does before its first sample."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = """
import resource
import sys
import numpy as np
from ppdet_db.data.worker import set_up_worker

if sys.argv[1] == "set up":
    set_up_worker()

def make_samples():
    for _ in range(10):
        arrays = [np.ones(10**6, np.float32) for _ in range(12)]
        del arrays

make_samples()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
make_samples()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages(how: str) -> int:
    command = [sys.executable, "-c", PAGES, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_memory_that_was_freed_is_used_again():
    """Ten times 48 MB are 117,000 pages of 4 KiB."""
    assert pages("as it is") > 50000
    assert pages("set up") < 100
