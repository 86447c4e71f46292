"""Insights after an analysis, executed by Dagster: what is stored and shown, when they start, how they fail."""

import random
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from leo_telemetry_pipeline.definitions import defs
from leo_telemetry_pipeline.defs.lifecycle import how_it_ended, selects
from leo_telemetry_pipeline.defs.names import ANALYSIS_JOB, FOLLOWS_TAG, INSIGHTS_JOB, LAST_ASSET, MAINTENANCE_JOB
from leo_telemetry_pipeline.defs.resources import TelemetryDatabase
from leo_telemetry_pipeline.defs.sensors import insights_sensor, run_lifecycle_sensor
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import items, runs
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import (
    QUIET,
    analyse,
    dagster_records,
    execute,
    insert,
    midnight,
    new_id,
    one,
    queued,
    row,
    row_of,
    span,
    succeeded,
)
from leo_telemetry_pipeline_tests.servers import EMBEDDED

pytestmark = pytest.mark.usefixtures("settings")

INSIGHTS = {"dimension_trends", "comparisons", "forecast_backtest", "dimension_forecasts"}
STEP = 10


class Followed:
    """An execution of insights_job in this process."""

    def __init__(self) -> None:
        self.instance = dagster_records()
        job = defs.resolve_job_def(INSIGHTS_JOB)
        result = job.execute_in_process(instance=self.instance, run_config=QUIET, raise_on_error=False)
        self.success = result.success
        self.ending = how_it_ended(self.instance, result.run_id)
        self.metadata: dict[str, dict[str, Any]] = {
            event.step_materialization_data.materialization.asset_key.path[-1]: {
                name: each.value for name, each in event.step_materialization_data.materialization.metadata.items()
            }
            for event in result.get_asset_materialization_events()
        }


def work(rng: random.Random, days_ago: int) -> Iterator[Span]:
    """Yield a day of handoffs, each with a phase and a gate; since STEP the gate is three times as slow, and rarer."""
    slow = days_ago <= STEP
    for number in range(12):
        at = midnight(days_ago) + timedelta(hours=6, minutes=50 * number)
        sd_type = "bugfix" if number % 3 else "feature"
        ids = {"trace_id": new_id(), "at": at}
        lengths = [round(scale * rng.lognormvariate(0, 0.15)) for scale in (9000, 5000, 1000)]
        top = lengths[0] * (2 if sd_type == "feature" else 1)
        yield span("handoff", "LEAD-TO-PLAN", top, attributes={"sd_type": sd_type}, **ids)
        yield span("phase", "LEAD" if number % 2 else "PLAN", lengths[1], **ids)
        yield from (span("gate", "GATE_A", lengths[2] * (3 if slow else 1), **ids) for _ in range(1 if slow else 2))


def fill(db: Database, days: int = 38) -> runs.Run:
    """Store some weeks of work and analyse the last one."""
    rng = random.Random(11)
    insert(db, [each for days_ago in range(days, 0, -1) for each in work(rng, days_ago)])
    return row_of(db, analyse({"leo_telemetry/window_end": midnight().isoformat()}))


def sensing(instance: dg.DagsterInstance) -> dg.SensorEvaluationContext:
    """Return the context of a sensor tick."""
    return dg.build_sensor_context(instance, resources={"telemetry_database": TelemetryDatabase()})


def tick(instance: dg.DagsterInstance) -> dg.RunRequest | str:
    """Return the sensor's run request, or the reason for none."""
    said = insights_sensor(sensing(instance))
    assert isinstance(said, dg.RunRequest | dg.SkipReason)
    return said if isinstance(said, dg.RunRequest) else said.skip_message or ""


@pytest.mark.with_days
def test_forecasts_backtest_trends_and_comparisons_are_made_from_the_last_run_and_leave_its_row_unchanged(db: Database):
    """Lost: forecasts, their reliability, trends and comparisons; nobody would see any of them."""
    run = fill(db)
    assert run.status == "SUCCEEDED", run.error_detail
    [item] = items.all_items(db)
    assert item.dimension == ("gate", "GATE_A")
    opened = "UPDATE continuous_improvements SET source_detail = source_detail || jsonb_build_object(%s, %s)"
    execute(db, opened, ("opened_window_end", midnight(STEP).isoformat()))
    before = row(db, run.run_id)
    made = Followed()
    assert made.success, made.ending
    assert set(made.metadata) >= INSIGHTS
    assert row(db, run.run_id) == before
    assert one(db, "SELECT count(*) FROM telemetry_analysis_runs") == 1

    kept = db.rows("SELECT run_id::text, dimension_type || ':' || dimension_key, probability, reason"
                   " FROM dimension_forecasts ORDER BY 2")  # fmt: skip
    assert {each[0] for each in kept} == {run.run_id}
    [likely, _] = [each[2] for each in kept if each[1] == "gate:GATE_A"]
    [unlikely, _] = [each[2] for each in kept if each[1] == "sd_type:bugfix"]
    assert likely > 0.5 > unlikely
    assert all((each[2] is None) == bool(each[3]) for each in kept)
    assert one(db, "SELECT run_id::text FROM telemetry_backtests") == run.run_id
    assert one(db, "SELECT jsonb_array_length(scores) FROM telemetry_backtests") == 3
    assert made.metadata["forecast_backtest"]["verdict"] == one(db, "SELECT verdict FROM telemetry_backtests")

    trends = made.metadata["dimension_trends"]
    [changed] = [line for line in trends["what changed"].splitlines() if "`gate:GATE_A` |" in line]
    assert changed.count(str(midnight(STEP).date())) == 2, changed
    assert "24 to 12" in changed.replace("\N{NO-BREAK SPACE}", " ")
    assert trends["day by day"].count("![trend](data:image/svg+xml;base64,") == trends["dimensions drawn"] >= 8

    # Names are in code spans, where Markdown has no effect.
    parts = made.metadata["comparisons"]["differences"].replace("`", "").split("### ")
    compared = {part.partition("\n")[0]: lines(part) for part in parts}
    [[said, *_, verdict]] = compared["SD types"]
    assert (said, verdict) == ("sd_type:feature against sd_type:bugfix", "slower")
    [[said, *_, verdict]] = compared["phases"]
    assert (said, verdict.replace("\N{NO-BREAK SPACE}", " ")) == ("phase:PLAN against phase:LEAD", "no evidence")
    assert {said.split(" ")[0] for said, *_ in compared["last week"]} >= {"gate:GATE_A", "phase:LEAD"}
    [[said, _, a, b, *_, verdict]] = compared["items"]
    assert (said, verdict) == (f"gate:GATE_A since {midnight(STEP).date()}", "slower")
    assert (a[0], a[-1]) != (b[0], b[-1])


def lines(table: str) -> list[list[str]]:
    """Return the cells of a Markdown table's rows about P50s."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return [each for each in cells if len(each) > 1 and each[1] == "P50"]


def test_before_any_analysis_each_insight_names_the_remedy(db: Database):
    """Lost: a click on an insight before the first analysis ends in a stack trace."""
    made = Followed()
    assert not made.success
    assert made.ending is not None
    assert "No analysis has succeeded yet" in made.ending.error_detail
    assert "leo-telemetry analyze" in made.ending.error_detail
    # Directives and impact follow from items, which need no analysis of their own.
    assert made.metadata.keys() == {"directives", "impact"}
    assert made.metadata["directives"]["drafted"] == 0
    assert runs.latest(db, 1) == []


@pytest.mark.parametrize("days", [0, 1])
def test_insights_of_no_spans_or_of_one_day_are_short_and_do_not_fail(db: Database, days: int):
    """Lost: a new user's first run fails."""
    run = fill(db, days)
    assert (run.status, run.reason_code) == ("SUCCEEDED", "INSUFFICIENT_DATA")
    made = Followed()
    assert made.success, made.ending
    assert "Not enough history" in made.metadata["forecast_backtest"]["verdict"]
    assert made.metadata["dimension_forecasts"]["forecast"] == 0
    assert "### last week\n\nNothing to compare yet." in made.metadata["comparisons"]["differences"]
    assert (made.metadata["dimension_trends"]["dimensions drawn"] > 0) == (days > 0)
    assert one(db, "SELECT bool_and(probability IS NULL AND reason <> '') IS NOT false FROM dimension_forecasts")


@pytest.mark.with_days
def test_when_insights_fail_the_analysis_is_unchanged(db: Database):
    """Lost: an error in a forecast would discard the findings of the week."""
    run = fill(db, 12)
    for table in ("telemetry_backtests", "dimension_forecasts"):
        execute(db, f"ALTER TABLE {table} RENAME TO away_{table}")
    made = Followed()
    assert not made.success
    assert made.ending is not None
    assert "telemetry_backtests" in made.ending.error_detail
    assert set(made.metadata) >= {"dimension_trends", "comparisons"}
    assert runs.latest(db, 9) == [run]


@pytest.mark.only_on(EMBEDDED, reason="the server makes no difference")
def test_insights_are_requested_once_for_the_last_successful_run_of_everything(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    """Lost: there are no insights if an analysis did not run under the daemon, or the same ones every few seconds."""
    with dg.DagsterInstance.ephemeral() as instance:
        assert tick(instance) == "No analysis has succeeded yet"
        succeeded(db, project="shop")
        assert tick(instance) == "No analysis has succeeded yet"
        first = succeeded(db)
        asked = tick(instance)
        assert isinstance(asked, dg.RunRequest)
        assert (asked.run_key, asked.tags[FOLLOWS_TAG]) == (first, first)
        monkeypatch.setenv("LEO_TELEMETRY_ENABLED", "false")
        assert isinstance(tick(instance), str)
        monkeypatch.delenv("LEO_TELEMETRY_ENABLED")

        instance.add_run(dg.DagsterRun(INSIGHTS_JOB, status=dg.DagsterRunStatus.FAILURE, tags=asked.tags))
        assert tick(instance) == f"Insights were already started for {first}"
        waiting = queued(db)
        assert tick(instance) == "Waiting for a queued or running analysis"
        execute(db, "DELETE FROM telemetry_analysis_runs WHERE run_id = %s::uuid", (waiting,))
        second = succeeded(db)
        asked = tick(instance)
        assert isinstance(asked, dg.RunRequest)
        assert asked.run_key == second


@pytest.mark.only_on(EMBEDDED, reason="it is about Dagster's own records")
def test_killed_insights_runs_do_not_block_analyses_forever(db: Database, monkeypatch: pytest.MonkeyPatch):
    """Lost: after four power cuts at bad moments, Dagster starts nothing any more."""
    with dg.DagsterInstance.local_temp() as instance:
        lost = instance.add_run(dg.DagsterRun(INSIGHTS_JOB, status=dg.DagsterRunStatus.STARTED))
        run_lifecycle_sensor(sensing(instance))
        assert status_of(instance, lost) == dg.DagsterRunStatus.STARTED
        monkeypatch.setenv("LEO_TELEMETRY_DEADLINE", "1s")
        time.sleep(1.1)
        run_lifecycle_sensor(sensing(instance))
        assert status_of(instance, lost) == dg.DagsterRunStatus.FAILURE
    assert runs.latest(db, 1) == []


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    """Return Dagster's current status of a run."""
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


@pytest.mark.only_on(EMBEDDED, reason="it is about Dagster's own records")
@pytest.mark.parametrize(
    ("name", "is_analysis"), [(ANALYSIS_JOB, True), (INSIGHTS_JOB, False), (MAINTENANCE_JOB, False)]
)
def test_only_the_analysis_takes_an_analysis_run(db: Database, name: str, is_analysis: bool):
    """Lost: each maintenance leaves a run that never ends, and so causes an analysis that nobody asked for."""
    with dg.DagsterInstance.ephemeral() as instance:
        # A daemon launches such a run in this way: a whole job, by name.
        made = instance.create_run_for_job(defs.resolve_job_def(name))
        run = dg.DagsterRun(name, execution_plan_snapshot_id=made.execution_plan_snapshot_id)
        assert selects(instance, run, LAST_ASSET) == is_analysis
    assert runs.latest(db, 1) == []
