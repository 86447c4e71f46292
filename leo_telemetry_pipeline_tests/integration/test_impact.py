"""``impact`` and its asset on a real database."""

import json
from datetime import timedelta

import pytest

from leo_telemetry_pipeline.definitions import defs
from leo_telemetry_pipeline.defs.names import INSIGHTS_JOB, asset_key
from leo_telemetry_pipeline.store import items
from leo_telemetry_pipeline.store.items import SYSTEM, Draft, Item, Transition
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import QUIET, dagster_records, decide, midnight
from leo_telemetry_pipeline_tests.in_process import refused, say

pytestmark = [pytest.mark.usefixtures("settings"), pytest.mark.without_days]

EFFECT = {"slow_ms": 60_000.0, "after_ms": 6_000.0, "given_back_ms_per_week": 2.5 * 3_600_000}


def opened(db: Database, name: str, days_ago: int, project: str = "") -> Item:
    """Open an item as an analysis would."""
    detail = {"dimension_type": "gate", "dimension_key": name, "project": project}
    at = midnight(days_ago)
    step = Transition("", "", "OPEN", at, at, SYSTEM, "opened")
    with db.transaction() as cursor:
        item_id = items.write(cursor, Draft(f"{project}{name}", name, "", detail), step)
    assert item_id
    item = items.get(db, item_id)
    assert item
    return item


def resolved(db: Database, item: Item, days_ago: int) -> None:
    """Resolve an item as an analysis would."""
    at = midnight(days_ago)
    step = Transition(item.id, item.status, "RESOLVED", item.status_since, at, SYSTEM, "measured", effect=EFFECT)
    with db.transaction() as cursor:
        assert items.move(cursor, step)


def lived(db: Database) -> None:
    """Store three items of all projects, one of which is resolved and one noise, and one item of a project."""
    resolved(db, opened(db, "FIXED", 30), 20)
    decide(db, opened(db, "NOISE", 10), "DISMISSED", at=midnight(8))
    opened(db, "SLOW|\x1b[31m", 3)
    opened(db, "SLOW", 3, "shop")


def test_the_report_says_what_became_of_items_and_what_it_gave_back(db: Database):
    """Lost: nobody knows whether the system is worth its keep."""
    lived(db)
    lines = say("impact").splitlines()
    assert lines[0] == "Improvement items so far"
    facts = {line[:27].strip(): line[27:].strip() for line in lines[1:11] if line}
    assert facts["opened"] == "3"
    assert facts["resolved"] == "1, after 10 days (median)"
    assert facts["false alarms"] == "1 (50% of those resolved, accepted or a false alarm)"
    assert facts["time given back per week"] == "2.5 h"
    assert lines[-1].split() == [str(midnight(20).date()), "10", "days", "60s", "6s", "2.5", "h", "gate:FIXED"]


def test_a_period_and_a_project_can_be_chosen(db: Database):
    """Lost: the figures of a month, or of one team."""
    lived(db)
    found = json.loads(say("impact", "--since", str(midnight(9).date()), "--format", "json"))
    assert (found["opened"], found["resolved"], found["dismissed"], found["active_now"]) == (1, 0, 1, 1)
    assert found["since"] == midnight(9).isoformat()
    found = json.loads(say("impact", "--project", "shop", "--format", "json"))
    assert (found["opened"], found["resolutions"], found["median_time_to_resolve_s"]) == (1, [], None)
    found = json.loads(say("impact", "--format", "json"))
    assert found["median_time_to_resolve_s"] == timedelta(days=10).total_seconds()
    assert found["resolutions"][0]["took_s"] == timedelta(days=10).total_seconds()
    assert "--since 'May' is not a day" in refused("impact", "--since", "May")


def test_without_items_the_report_says_where_they_come_from(db: Database):
    """Lost: a page of zeros that explains nothing."""
    assert say("impact") == "No improvement items yet: an analysis that finds a bottleneck opens one.\n"


def test_before_anything_is_resolved_nothing_is_given_back(db: Database):
    """Lost: "0ms", which sounds like a measurement."""
    opened(db, "SLOW", 3)
    [line] = [line for line in say("impact").splitlines() if "given back" in line]
    assert line.endswith("nothing yet")


def test_the_asset_shows_the_same_figures(db: Database):
    """Lost: those who look at Dagster's UI only never see the outcome."""
    lived(db)
    job = defs.resolve_job_def(INSIGHTS_JOB)
    done = job.execute_in_process(
        instance=dagster_records(), run_config=QUIET, asset_selection=[asset_key("impact")], raise_on_error=False
    )
    assert done.success
    [event] = done.get_asset_materialization_events()
    metadata = {name: value.value for name, value in event.materialization.metadata.items()}
    assert metadata["hours given back per week"] == 2.5
    assert metadata["false alarms in percent"] == 50
    assert metadata["median days to resolve"] == 10
    assert "`gate:FIXED`" in str(metadata["what was resolved"])
