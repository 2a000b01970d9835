"""Fixtures for every test."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real pictures, weights and recorded numbers beside the checkout; a user's checkout has none."""
    if not SHARED.is_dir():
        pytest.skip(f"no {SHARED}: recorded numbers and real pictures are only on the developers' machines")
    return SHARED


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """A command that a test calls sends the log to the terminal; the next test has it as importing leaves it."""
    logger = logging.getLogger("ppdet_db")
    state = list(logger.handlers), logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = state
