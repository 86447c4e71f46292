"""Homes for tests that need a database and not its first start: copies of one that was made once.

Belongs here: that home. Does not: homes of tests about first starts, which make their own.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from leo_telemetry_pipeline_tests.processes import copy_home, run


@pytest.fixture(scope="session")
def make_home(short_folder: Path) -> Callable[[Path], Path]:
    """Give a function that makes a home whose database has all tables, Dagster's too, and is stopped."""
    original = short_folder / "original"
    done = run(original, "migrate")
    assert done.code == 0, done.err

    return lambda home: copy_home(original, home)


@pytest.fixture
def made_home(make_home: Callable[[Path], Path], home: Path) -> Path:
    """Make the home of a test."""
    return make_home(home)
