"""Writers that are closed after the test, with all of their spans accounted for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.spool.spool import folder_of
from leo_telemetry_pipeline_tests.writers import Door, Make, making


@pytest.fixture
def door(settings: Settings) -> Door:
    return Door(settings)


@pytest.fixture
def folder(home: Path) -> str:
    return folder_of(str(home))


@pytest.fixture
def make(door: Door, folder: str) -> Iterator[Make]:
    yield from making(door, folder)


@pytest.fixture
def no_door() -> Door:
    return Door()


@pytest.fixture
def make_away(no_door: Door, folder: str) -> Iterator[Make]:
    """Return a function that creates writers without a database, for tests that need no server."""
    yield from making(no_door, folder)
