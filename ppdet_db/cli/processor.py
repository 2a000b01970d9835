"""What Paddle has to be told of the processor before it is imported."""

import os
import sys
from pathlib import Path

MKL_VARIABLE = "MKL_DEBUG_CPU_TYPE"
AVX2 = "5"


def use_avx2_on_amd(cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """Sets MKL_DEBUG_CPU_TYPE=5 on an AMD processor with AVX2, unless the variable is there already.

    The MKL in Paddle 3.3.1 takes its slow way on processors of others than Intel. With the variable it multiplies
    with AVX2: matrix products 2.5 times as fast, and a training step that is mostly convolutions up to twice.
    The sums have another order then. Newer MKLs do not read it, and where Paddle is imported already it is too late.

    Args:
        cpuinfo: what Linux says of the processor; other systems do not have it, and nothing is set there.
    """
    if MKL_VARIABLE in os.environ or "paddle" in sys.modules:
        return
    try:
        words = set(cpuinfo.read_text().split())
    except OSError:
        return
    if {"AuthenticAMD", "avx2"} <= words:
        os.environ[MKL_VARIABLE] = AVX2
