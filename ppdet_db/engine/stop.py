"""Ctrl-C and SIGTERM: noted when they come, answered where the program can."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Stopped(Exception):
    """SIGINT or SIGTERM came: raised between steps, and between the batches of an evaluation."""


class StopSignals:
    """The number of the signal that came, if one did. A second one acts as usual."""

    def __init__(self) -> None:
        self.number: int | None = None

    @property
    def name(self) -> str:
        return signal.Signals(self.number).name

    def answer(self) -> None:
        """Raises `Stopped` if a signal came."""
        if self.number:
            raise Stopped

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Signals are noted inside; before and after they act as usual."""
        self.number = None
        kept: dict[int, Any] = {}

        def restore() -> None:
            for number, handler in kept.items():
                signal.signal(number, handler)

        def note(number: int, frame: Any) -> None:
            self.number = number
            restore()

        if threading.current_thread() is threading.main_thread():  # only there may a program take signals
            for number in (signal.SIGINT, signal.SIGTERM):
                kept[number] = signal.signal(number, note)
        try:
            yield
        finally:
            restore()
