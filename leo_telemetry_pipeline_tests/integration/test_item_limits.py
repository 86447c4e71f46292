"""Improvement items at the end of a run: the limits in telemetry_thresholds, projects and dismissals."""

from contextlib import closing
from datetime import datetime
from typing import Any

import pytest

from leo_telemetry_pipeline.actions import findings
from leo_telemetry_pipeline.analysis.bottlenecks import count_outcomes
from leo_telemetry_pipeline.dimension import Bottleneck
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.items import all_items
from leo_telemetry_pipeline.store.server.database import Database, Target
from leo_telemetry_pipeline_tests.analysis_job import before, items
from leo_telemetry_pipeline_tests.builders import DAY, configure, decide, execute, midnight, one, running, week

pytestmark = [pytest.mark.usefixtures("settings"), pytest.mark.counted_days]


def summary(*keys: str, kind: str = "gate") -> findings.Summary:
    """Return a summary in which some dimensions are bottlenecks, worst first."""
    bottlenecks = [Bottleneck(kind, key, 500.0 - rank, 100.0, "configured", 2.0, 10) for rank, key in enumerate(keys)]
    outcomes = count_outcomes([]) | {"bottleneck": len(keys)}
    return findings.Summary(tuple(bottlenecks), outcomes, 10, 10, "exact", {})


def conclude(db: Database, end: datetime, *keys: str, project: str | None = None) -> dict[str, Any]:
    """End a run of the week before ``end`` with some bottlenecks."""
    run_id, mine = running(db, window_end=end, window_days=7, project=project)
    return findings.conclude(db, summary(*keys), week(end, project), run_id=run_id, dagster_run_id=mine, errors=[])


def test_limits_written_by_people_take_effect(db: Database):
    """Lost: max_items_per_run, max_items_per_day and cooldown_hours would have no effect."""
    end = midnight()
    configure(db, "global", None, None, None, max_items_per_run=2)
    configure(db, "gate", None, None, None, max_items_per_day=3, cooldown_hours=48)
    assert conclude(db, end, *"ABCD")["items_created"] == 2
    third = conclude(db, end, *"ABCD")
    assert (third["items_created"], third["items_skipped_rate_limit"], third["items_skipped_dedupe"]) == (1, 1, 2)
    assert conclude(db, end, *"ABCD")["items_created"] == 0
    # Days are those of the window, however soon the next one is analysed.
    assert conclude(db, end + DAY, *"ABCD")["items_created"] == 1
    for item in all_items(db):
        decide(db, item, "DISMISSED", at=end + DAY, dismissed_until=end + DAY)
    assert conclude(db, end + 2 * DAY, "A")["items_skipped_dedupe"] == 1
    assert conclude(db, end + 3 * DAY, "A")["items_created"] == 1


def test_items_of_a_project_and_of_all_projects_are_independent(db: Database):
    """Lost: closing one would close or block the other."""
    assert conclude(db, midnight(), "A")["items_created"] == 1
    assert conclude(db, midnight(), "A", project="shop")["items_created"] == 1
    assert conclude(db, midnight(), "A", project="shop")["items_skipped_dedupe"] == 1
    assert one(db, "SELECT count(*) FROM continuous_improvements") == 2


def test_an_item_that_is_closed_while_the_run_ends_is_not_reopened_at_once(
    db: Database, target: Target, monkeypatch: pytest.MonkeyPatch
):
    """Lost: a dismissed item would be back within a second, past every cooldown and limit."""
    configure(db, "gate", None, None, None, cooldown_hours=48)
    conclude(db, midnight(), "A")

    def dismiss(*_: Any) -> None:
        with closing(Database(target)) as own:
            execute(own, "UPDATE continuous_improvements SET status = 'DISMISSED'")

    before(monkeypatch, runs, "get", dismiss)
    conclude(db, midnight(), "A")
    assert [status for _, status in items(db)] == ["DISMISSED"]
