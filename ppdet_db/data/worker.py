"""What a process does first whose whole work is to make samples."""

import ctypes

import cv2

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""`M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD` of glibc's malloc.h."""
KEPT, LARGEST = 2**30, 2**25
"""Bytes: so much freed memory is kept, in pieces of up to so many; 32 MiB are the most that every glibc takes."""


def set_up_worker(worker: int = 0) -> None:
    """One core for OpenCV, and memory that stays."""
    # of itself OpenCV would start a thread for each core of the machine, in each worker; 0 and not 1, which waits for
    # ever for the threads that only the parent process has (OpenCV 4.11 and 5.0)
    cv2.setNumThreads(0)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Freed memory is used again instead of going back to the system, which would clear each page at its next use.

    A sample is a dozen arrays of megabytes: without this the system clears 700 to 2,000 pages for each. The most that
    the process ever holds stays the same. Does nothing where the C library is not glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (TypeError, OSError, AttributeError):
        return
    mallopt(MMAP_THRESHOLD, LARGEST)
    mallopt(TRIM_THRESHOLD, KEPT)
