"""Outputs of runs are read once per process."""

from typing import Any

import pytest

from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.web.dashboard import outputs

# Stands for the database, which nothing here asks.
UNUSED: Any = None


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record which outputs are read; a run named ``running`` has none."""
    found: list[str] = []

    def output(_database: object, run_id: str) -> dict[str, Any] | None:
        found.append(run_id)
        return None if run_id == "running" else {"dimensions_evaluated": len(found)}

    monkeypatch.setattr(runs, "output", output)
    monkeypatch.setattr(outputs, "_kept", {})
    return found


def test_an_output_is_read_once(read: list[str]):
    """Lost: each open page parses the findings of the last analysis every second."""
    assert [outputs.of(UNUSED, "a") for _ in range(3)] == [{"dimensions_evaluated": 1}] * 3
    assert read == ["a"]


def test_a_run_without_output_is_asked_again(read: list[str]):
    """Lost: a run that was opened while it was running shows no findings after its end."""
    assert [outputs.of(UNUSED, "running") for _ in range(2)] == [{}, {}]
    assert read == ["running", "running"]


def test_a_few_are_kept_and_the_one_used_last_is_dropped_last(read: list[str]):
    """Lost: a server that runs for months keeps the findings of every analysis in memory."""
    for run_id in ("a", "b", "c", "d", "a", "e", "a", "b"):
        outputs.of(UNUSED, run_id)
    assert read == ["a", "b", "c", "d", "e", "b"]
