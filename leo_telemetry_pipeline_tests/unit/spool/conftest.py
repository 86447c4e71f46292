"""A spool in a folder of the test's own."""

from pathlib import Path

import pytest

from leo_telemetry_pipeline.spool.spool import Spool, folder_of
from leo_telemetry_pipeline_tests.unit.spool.stores import MB


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return folder_of(str(tmp_path / "home"))


@pytest.fixture
def spool(folder: str) -> Spool:
    return Spool(folder, MB)
