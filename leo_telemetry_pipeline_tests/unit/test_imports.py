"""Imports of quick commands: `findings` and the hook must not load Dagster or other heavy packages."""

import subprocess
import sys

import pytest

HEAVY = ("dagster", "pandas", "sqlalchemy", "numpy", "alembic", "psycopg2", "statsmodels", "scipy")
LIGHT = ("store.server.database", "store.spans", "store.runs", "store.items", "actions.findings")


def loaded_by(module: str) -> set[str]:
    """Return which of the heavy packages a module loads in a new process."""
    code = f"import sys, leo_telemetry_pipeline.{module}; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", LIGHT)
def test_the_store_and_the_findings_are_light(module: str):
    """Lost: the SessionStart hook and `leo-telemetry findings` would take seconds instead of milliseconds."""
    assert loaded_by(module) <= {"psycopg2"}


def test_the_database_loads_its_driver_only_with_the_first_connection():
    """Lost: 30 ms in every command that never connects."""
    assert loaded_by("store.server.database") == set()


def test_an_analysis_loads_no_library_of_models():
    """Lost: three seconds in every run, code location and `leo-telemetry analyze`, for forecasts made later."""
    assert not loaded_by("execution") & {"statsmodels", "scipy"}
