"""Builders of common test data: spans, runs, and executions of the analysis job."""

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import items, runs, spans
from leo_telemetry_pipeline.store.days import Window, milliseconds
from leo_telemetry_pipeline.store.items import Item, Transition
from leo_telemetry_pipeline.store.server.database import Database

DAY = timedelta(days=1)


def new_id() -> str:
    """Return an id for a trace, a span or a Dagster run."""
    return str(uuid.uuid4())


def midnight(days_ago: int = 0) -> datetime:
    """Return the UTC midnight at the start of today or of an earlier day."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - days_ago * DAY


# The default start of spans.
NOON = midnight(2) + timedelta(hours=12)


def week(end: datetime | None = None, project: str | None = None) -> Window:
    """Return the window of seven days before ``end``, by default the last UTC midnight."""
    end = end or midnight()
    return Window(end - 7 * DAY, end, project)


def span(
    span_type: str = "gate",
    span_name: str = "GATE_PRD_REQUIRED",
    duration_ms: int | None = 100,
    *,
    at: datetime | None = None,
    trace_id: str | None = None,
    **more: Any,
) -> Span:
    """Build a span that by default started at noon two days ago; with a duration of None it has no end."""
    start = milliseconds(at or midnight(2) + timedelta(hours=12))
    return Span(
        trace_id=trace_id or new_id(),
        span_id=more.pop("span_id", None) or new_id(),
        span_type=span_type,
        span_name=span_name,
        start_time_ms=start,
        end_time_ms=None if duration_ms is None else start + duration_ms,
        duration_ms=duration_ms,
        **more,
    )


def spans_of(span_type: str, span_name: str, durations: Iterable[int | None], **more: Any) -> list[Span]:
    """Build one span per duration, each in its own trace."""
    return [span(span_type, span_name, duration, **more) for duration in durations]


def insert(db: Database, made: Iterable[Span]) -> int:
    """Store spans, with partitions for the last 40 days."""
    made = list(made)
    lately = (datetime.fromtimestamp(span.start_time_ms / 1000, UTC) for span in made)
    days = [start for start in lately if midnight(40) <= start < midnight(-1)]
    if days:
        spans.ensure_partitions(db, min(days), max(days))
    return spans.insert(db, made)


@contextmanager
def with_newer_columns(db: Database) -> Iterator[None]:
    """Let today's code store spans in a database of an earlier version, which lacks a column."""
    execute(db, "ALTER TABLE workflow_trace_log ADD COLUMN duration_rest_us smallint")
    yield
    execute(db, "ALTER TABLE workflow_trace_log DROP COLUMN duration_rest_us")


def slow(db: Database, *names: str, span_type: str = "gate", count: int = 10, **more: Any) -> None:
    """Store spans that are ten times as slow as their configured baseline; the last name is the worst."""
    for rank, name in enumerate(names):
        insert(db, spans_of(span_type, name, [1000 + 100 * rank] * count, **more))
        configure(db, span_type, name, 100, 2.0)


def configure(
    db: Database, dimension_type: str, key: str | None, baseline: float | None, multiplier: float | None, **more: Any
) -> None:
    """Write a row of ``telemetry_thresholds`` as a person would."""
    values = {"baseline_p50_ms": baseline, "multiplier": multiplier} | more
    execute(
        db,
        f"INSERT INTO telemetry_thresholds (dimension_type, dimension_key, {', '.join(values)})"
        f" VALUES (%s, %s, {', '.join(['%s'] * len(values))})",
        (dimension_type, key, *values.values()),
    )


def execute(db: Database, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> int:
    """Run a statement and return the number of affected rows."""
    with db.transaction() as cursor:
        cursor.execute(sql, parameters)
        return cursor.rowcount


def one(db: Database, sql: str, parameters: Sequence[Any] | None = None) -> Any:
    """Return the only value of a query."""
    [[value]] = db.rows(sql, parameters)
    return value


def partition_of(db: Database, span_id: str) -> str:
    """Return the name of the partition with a span, which must be stored once; on a cluster without its shard."""
    place = one(db, "SELECT tableoid::regclass::text FROM workflow_trace_log WHERE span_id = %s::uuid", (span_id,))
    return re.sub(r"(default|_\d{8})_\d+$", r"\1", place)


def decide(db: Database, item: Item, status: str, *, at: datetime | None = None, **more: Any) -> None:
    """Make a step in the life of an item as a person would, by default now."""
    at = at or datetime.now(UTC)
    with db.transaction() as cursor:
        step = Transition(item.id, item.status, status, item.status_since, at, "ada", "because", **more)
        assert items.move(cursor, step)


def queued(db: Database) -> str:
    """Queue a run as a plain SQL client would, and return its id."""
    return one(db, "INSERT INTO telemetry_analysis_runs (status) VALUES ('QUEUED') RETURNING run_id::text")


def running(db: Database, **more: Any) -> tuple[str, str]:
    """Begin a run and return its id and that of the Dagster run that holds it."""
    mine = new_id()
    outcome, run_id = runs.begin(db, mine, 900, **more)
    assert outcome == "CLAIMED"
    assert run_id is not None
    return run_id, mine


def succeeded(db: Database, **more: Any) -> str:
    """Create a run that succeeded, and return its id."""
    run_id, mine = running(db, **more)
    with db.transaction() as cursor:
        assert runs.finish(cursor, run_id, mine, "SUCCEEDED", "COMPLETED", output_ref={"bottlenecks": []})
    return run_id


def back_date(db: Database, run_id: str, column: str, interval: str) -> None:
    """Move a time of a run into the past."""
    execute(
        db,
        f"UPDATE telemetry_analysis_runs SET {column} = clock_timestamp() - %s::interval WHERE run_id = %s::uuid",
        (interval, run_id),
    )


def statuses(db: Database) -> list[tuple[str, str | None]]:
    """Return status and reason per run, oldest first."""
    return db.rows("SELECT status, reason_code FROM telemetry_analysis_runs ORDER BY triggered_at, attempt")


class Execution:
    """An execution of the analysis job in this process."""

    def __init__(self, result: Any) -> None:
        self.result = result
        self.dagster_run_id: str = result.run_id
        self.success: bool = result.success

    @property
    def materialized(self) -> set[str]:
        """The assets that were computed."""
        return {event.asset_key.path[-1] for event in self.result.get_asset_materialization_events()}

    @property
    def checks(self) -> dict[str, bool]:
        """The checks that ran, and whether each passed."""
        return {each.check_name: each.passed for each in self.result.get_asset_check_evaluations()}


QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def analysis_job() -> Any:
    """Return the analysis job; a module-level function, so that Dagster can rebuild it to re-execute a run."""
    from leo_telemetry_pipeline.definitions import defs
    from leo_telemetry_pipeline.defs.names import ANALYSIS_JOB

    return defs.resolve_job_def(ANALYSIS_JOB)


@cache
def dagster_records() -> Any:
    """Return a shared in-memory Dagster instance for tests that check only the analysis: creating one is slow."""
    import dagster as dg

    return dg.DagsterInstance.ephemeral()


def analyse(
    tags: dict[str, str] | None = None, *, instance: Any = None, selection: Sequence[str] | None = None
) -> Execution:
    """Execute the analysis job in this process, on the database from the environment."""
    from leo_telemetry_pipeline.defs.names import asset_key

    result = analysis_job().execute_in_process(
        instance=instance or dagster_records(),
        tags=tags or {},
        run_config=QUIET,
        raise_on_error=False,
        asset_selection=[asset_key(name) for name in selection] if selection else None,
    )
    return Execution(result)


def analyse_queued(db: Database) -> runs.Run:
    """Queue a run, execute it, and return its row."""
    run_id = queued(db)
    analyse({"leo_telemetry/run_id": run_id})
    return row(db, run_id)


def row(db: Database, run_id: str | None) -> runs.Run:
    """Return an existing run."""
    assert run_id is not None
    found = runs.get(db, run_id)
    assert found is not None
    return found


def row_of(db: Database, execution: Execution) -> runs.Run:
    """Return the run that an execution held."""
    found = runs.of_dagster_run(db, execution.dagster_run_id)
    assert found is not None
    return found


def kill(process: Any) -> None:
    """End a child process that a test started, if it still lives."""
    with suppress(ProcessLookupError):
        process.kill()
    process.wait()
