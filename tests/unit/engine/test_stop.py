"""Signals: noted inside, answered when asked, as before afterwards; a second one acts as usual."""

import os
import signal

import pytest

from ppdet_db.engine.stop import Stopped, StopSignals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_answered(number):
    before, stop = signal.getsignal(number), StopSignals()
    with stop.noted():
        stop.answer()
        os.kill(os.getpid(), number)
        assert stop.name == number.name
        with pytest.raises(Stopped):
            stop.answer()
    assert signal.getsignal(number) is before


@pytest.fixture
def interrupts():
    """SIGINT as Python has it; a program that a shell runs in its background is started with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_the_second_acts_as_usual():
    stop = StopSignals()
    with stop.noted():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_an_earlier_one_is_forgotten():
    stop = StopSignals()
    with stop.noted():
        os.kill(os.getpid(), signal.SIGINT)
    with stop.noted():
        stop.answer()
    assert stop.number is None
