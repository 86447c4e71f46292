"""Homes for tests that need a database but not its first start: copies of one original.

Belongs here: that home. Does not: homes for tests of first starts, which create their own.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from leo_telemetry_pipeline_tests.processes import copy_home, run


@pytest.fixture(scope="session")
def make_home(short_folder: Path) -> Callable[[Path], Path]:
    """Return a function that creates a home with a stopped database that has all tables, including Dagster's."""
    original = short_folder / "original"
    done = run(original, "migrate")
    assert done.code == 0, done.err

    return lambda home: copy_home(original, home)


@pytest.fixture
def made_home(make_home: Callable[[Path], Path], home: Path) -> Path:
    """Create the home of a test with a stopped, migrated database."""
    return make_home(home)
