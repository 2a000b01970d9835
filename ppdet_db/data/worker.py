"""What a process does first whose whole work is to make samples."""

import ctypes

import cv2

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""`M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD` of glibc's malloc.h."""
KEPT, OLD_LARGEST = 2**30, 2**25
"""Bytes of freed memory that are kept; the largest piece of it that glibc before 2.35 lets be kept."""


def set_up_worker(worker: int = 0) -> None:
    """One core for OpenCV, and memory that stays."""
    # of itself OpenCV would start a thread for each core of the machine, in each worker; 0 and not 1, which waits for
    # ever for the threads that only the parent process has (OpenCV 4.11 and 5.0)
    cv2.setNumThreads(0)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Freed memory is used again instead of going back to the system, which would clear each page at its next use.

    A sample is a dozen arrays of megabytes, a batch of eight has one of 39: without this the system clears 700 to 2,000
    pages for each sample. The most that the process ever holds stays the same. Does nothing where the C library is not
    glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (TypeError, OSError, AttributeError):
        return
    if not mallopt(MMAP_THRESHOLD, KEPT):
        mallopt(MMAP_THRESHOLD, OLD_LARGEST)
    mallopt(TRIM_THRESHOLD, KEPT)
