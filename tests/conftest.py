"""Fixtures for every test."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real pictures, weights and recorded numbers beside the checkout; a user's checkout has none."""
    if not SHARED.is_dir():
        pytest.skip(f"no {SHARED}: recorded numbers and real pictures are only on the developers' machines")
    return SHARED
