"""Homes of the embedded database, in a folder that is removed with its processes."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leo_telemetry_pipeline_tests.embedded_homes import Place
from leo_telemetry_pipeline_tests.processes import end_all_of


@pytest.fixture
def folder() -> Iterator[Path]:
    """Create a folder for one home, and end its processes."""
    made = Path(tempfile.mkdtemp(prefix="leo-", dir="/tmp"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        end_all_of(made)
        shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def place(folder: Path) -> Place:
    """Return a home that does not exist yet, of the user who runs the tests."""
    return Place(folder / "home")


@pytest.fixture
def used(place: Place, make_home: Callable[[Path], Path]) -> Place:
    """Return a home after its first start, with a stopped server."""
    make_home(place.home)
    return place
