"""Queue and lifecycle of analysis runs.

Belongs here: statements on ``telemetry_analysis_runs``, and calls of the database functions that change its rows.
Does not: the rules of the lifecycle, which these functions enforce for every caller.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import psycopg2.extensions

from leo_telemetry_pipeline.store.days import Window
from leo_telemetry_pipeline.store.server.database import Database

FINAL = ("SUCCEEDED", "FAILED", "TIMED_OUT", "CANCELLED")


class LostRun(Exception):
    """The row is no longer RUNNING for this Dagster run, so the run may not write."""


@dataclass(frozen=True)
class Run:
    """Row of ``telemetry_analysis_runs``."""

    run_id: str
    scope_type: str
    scope_id: str
    status: str
    triggered_by: str
    triggered_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    heartbeat_at: datetime | None
    deadline_at: datetime | None
    window_start: datetime | None
    window_end: datetime | None
    attempt: int
    retry_of: str | None
    dagster_run_id: str | None
    correlation_id: str | None
    findings_count: int | None
    top_bottleneck_category: str | None
    reason_code: str | None
    error_detail: str | None
    duration_ms: int | None
    output_ref: dict[str, Any] | None
    metadata: dict[str, Any]

    @property
    def window(self) -> Window:
        """Window of a claimed run."""
        assert self.window_start is not None
        assert self.window_end is not None
        return Window(self.window_start, self.window_end, self.scope_id if self.scope_type == "PROJECT" else None)


_COLUMNS = ", ".join(
    f"{field.name}::text" if field.name in ("run_id", "retry_of") else field.name for field in fields(Run)
)

# An output holds every bottleneck of its run.
_WITHOUT_OUTPUT = _COLUMNS.replace("output_ref", "NULL::jsonb")


_LAST = (
    "WHERE status = 'SUCCEEDED' AND scope_type = %s AND scope_id = %s"
    " ORDER BY window_end DESC NULLS LAST, finished_at DESC NULLS LAST LIMIT 1"
)


def enqueue(
    database: Database, *, if_stale: bool = False, triggered_by: str = "MANUAL", stale_after_s: int = 7 * 86_400
) -> tuple[str | None, str, str]:
    """Enqueue an analysis of all projects; return (run id, outcome, detail).

    Outcomes: ENQUEUED, ALREADY_QUEUED, and with ``if_stale`` also ALREADY_RUNNING, FRESH, BACKING_OFF.
    """
    return database.rows(
        "SELECT run_id::text, outcome, detail FROM enqueue_telemetry_analysis("
        "if_stale => %s, triggered_by => %s, stale_after => make_interval(secs => %s))",
        (if_stale, triggered_by, stale_after_s),
    )[0]


def claim(database: Database, run_id: str, dagster_run_id: str, deadline_s: int) -> tuple[str, str | None]:
    """Claim a QUEUED run for a Dagster run; return (outcome, detail): CLAIMED, WAIT or GONE."""
    return database.rows(
        "SELECT outcome, detail FROM claim_telemetry_run(%s::uuid, %s, %s)", (run_id, dagster_run_id, deadline_s)
    )[0]


def begin(
    database: Database,
    dagster_run_id: str,
    deadline_s: int,
    *,
    triggered_by: str = "MANUAL",
    project: str | None = None,
    window_days: int | None = None,
    window_end: datetime | None = None,
    re_executes: str | None = None,
) -> tuple[str, str | None]:
    """Create a RUNNING row without queueing; return (outcome, run id): CLAIMED or WAIT.

    ``re_executes`` is the Dagster run whose window, P50s and judgements are copied.
    """
    return database.rows(
        "SELECT outcome, run_id::text FROM begin_telemetry_run(%s, %s, %s, %s, %s, %s, %s, %s)",
        (
            dagster_run_id,
            triggered_by,
            "ALL" if project is None else "PROJECT",
            project or "",
            window_days,
            window_end,
            re_executes,
            deadline_s,
        ),
    )[0]


def beat(database: Database, run_id: str, dagster_run_id: str) -> str:
    """Record a heartbeat; return the run's status."""
    return database.rows("SELECT beat_telemetry_run(%s::uuid, %s)", (run_id, dagster_run_id))[0][0]


def finish(
    cursor: psycopg2.extensions.cursor,
    run_id: str,
    dagster_run_id: str,
    status: str,
    reason_code: str,
    *,
    error_detail: str | None = None,
    output_ref: dict[str, Any] | None = None,
) -> bool:
    """End the run inside the caller's transaction; return False if the row is lost."""
    bottlenecks = (output_ref or {}).get("bottlenecks") or []
    cursor.execute(
        "SELECT finish_telemetry_run(%s::uuid, %s, %s, %s, %s, %s, %s, %s)",
        (
            run_id,
            dagster_run_id,
            status,
            reason_code,
            error_detail,
            None if output_ref is None else json.dumps(output_ref, allow_nan=False),
            None if output_ref is None else len(bottlenecks),
            bottlenecks[0]["dimension_type"] if bottlenecks else None,
        ),
    )
    return _one(cursor)


def fail(database: Database, run_id: str, dagster_run_id: str, reason_code: str, error_detail: str) -> bool:
    """End the run as FAILED, or CANCELLED if a user cancelled it; return False if the row is lost."""
    status = "CANCELLED" if reason_code == "CANCELLED_BY_USER" else "FAILED"
    with database.transaction() as cursor:
        return finish(cursor, run_id, dagster_run_id, status, reason_code, error_detail=error_detail or None)


def cancel(database: Database, run_id: str) -> str | None:
    """Cancel a QUEUED or RUNNING run; return its previous status, None for an unknown run."""
    return database.rows("SELECT cancel_telemetry_run(%s::uuid)", (run_id,))[0][0]


def reap(database: Database) -> int:
    """End runs whose worker is lost or whose deadline has passed; return how many."""
    return database.rows("SELECT count(*) FROM reap_telemetry_runs()")[0][0]


def fail_unlaunched(database: Database, run_id: str, error_detail: str) -> bool:
    """Fail a QUEUED run whose Dagster run never began; return False if it is no longer QUEUED."""
    return database.rows("SELECT fail_unlaunched_telemetry_run(%s::uuid, %s)", (run_id, error_detail))[0][0]


def get(database: Database, run_id: str) -> Run | None:
    """Return a run."""
    return _first(database, "WHERE run_id = %s::uuid", (run_id,))


def without_output(database: Database, run_id: str) -> Run | None:
    """Return a run without its ``output_ref``."""
    rows = database.rows(f"SELECT {_WITHOUT_OUTPUT} FROM telemetry_analysis_runs WHERE run_id = %s::uuid", (run_id,))
    return Run(*rows[0]) if rows else None


def output(database: Database, run_id: str) -> dict[str, Any] | None:
    """Return the ``output_ref`` of a run."""
    rows = database.rows("SELECT output_ref FROM telemetry_analysis_runs WHERE run_id = %s::uuid", (run_id,))
    return rows[0][0] if rows else None


def latest(database: Database, limit: int) -> list[Run]:
    """Return the latest runs, newest first."""
    return _select(database, "ORDER BY triggered_at DESC, run_id LIMIT %s", (limit,))


def after(
    database: Database, place: tuple[datetime, str] | None, limit: int, *, statuses: Sequence[str] = ()
) -> list[Run]:
    """Return the next runs after a place (time of the request, id), newest first, without their ``output_ref``."""
    at, run_id = place or (None, None)
    return [
        Run(*row)
        for row in database.rows(
            f"SELECT {_WITHOUT_OUTPUT} FROM telemetry_analysis_runs"
            " WHERE (%(any)s OR status = ANY(%(statuses)s)) AND (%(at)s::timestamptz IS NULL"
            " OR triggered_at <= %(at)s AND (triggered_at < %(at)s OR run_id > %(id)s::uuid))"
            " ORDER BY triggered_at DESC, run_id LIMIT %(limit)s",
            {"any": not statuses, "statuses": list(statuses), "at": at, "id": run_id, "limit": limit},
        )
    ]


def of_dagster_run(database: Database, dagster_run_id: str) -> Run | None:
    """Return the run that a Dagster run executes or executed."""
    return _first(database, "WHERE dagster_run_id = %s", (dagster_run_id,))


def waiting(database: Database) -> list[Run]:
    """Return the QUEUED and RUNNING runs, oldest first."""
    return _select(database, "WHERE status IN ('QUEUED', 'RUNNING') ORDER BY triggered_at, run_id", ())


def last_succeeded(database: Database, project: str | None = None) -> Run | None:
    """Return the last SUCCEEDED run of a scope."""
    return _first(database, _LAST, _scope(project))


def last_succeeded_id(database: Database) -> str | None:
    """Return the id of the last SUCCEEDED run of all projects."""
    rows = database.rows(
        "SELECT run_id::text FROM telemetry_analysis_runs"
        " WHERE status = 'SUCCEEDED' AND scope_type = 'ALL' AND scope_id = ''"
        " ORDER BY window_end DESC NULLS LAST, finished_at DESC NULLS LAST LIMIT 1"
    )
    return rows[0][0] if rows else None


def last(database: Database, project: str | None = None) -> Run | None:
    """Return the last SUCCEEDED run of a scope, without its ``output_ref``."""
    rows = database.rows(f"SELECT {_WITHOUT_OUTPUT} FROM telemetry_analysis_runs {_LAST}", _scope(project))
    return Run(*rows[0]) if rows else None


def ended_since(database: Database, seconds: int) -> list[Run]:
    """Return claimed runs that ended without success in the last ``seconds``."""
    return _select(
        database,
        "WHERE status IN ('FAILED', 'TIMED_OUT', 'CANCELLED') AND dagster_run_id IS NOT NULL"
        " AND finished_at > now() - make_interval(secs => %s)",
        (seconds,),
    )


def annotate(database: Database, run_id: str, dagster_run_id: str, notes: dict[str, Any]) -> None:
    """Add to the metadata of a run. Raises LostRun like ``fence``."""
    with database.transaction() as cursor:
        fence(cursor, run_id, dagster_run_id)
        cursor.execute(
            "UPDATE telemetry_analysis_runs SET metadata = metadata || %s::jsonb WHERE run_id = %s::uuid",
            (json.dumps(notes, allow_nan=False), run_id),
        )


def fence(cursor: psycopg2.extensions.cursor, run_id: str, dagster_run_id: str) -> None:
    """Lock a run's row until the transaction ends. Raises LostRun unless it is RUNNING for this Dagster run."""
    cursor.execute(
        "SELECT status = 'RUNNING' AND dagster_run_id = %s FROM telemetry_analysis_runs"
        " WHERE run_id = %s::uuid FOR UPDATE",
        (dagster_run_id, run_id),
    )
    if not _one(cursor):
        raise LostRun(f"analysis run {run_id} no longer belongs to this Dagster run")


def no_fence(_cursor: psycopg2.extensions.cursor) -> None:
    """Fence of an analysis without a row: do nothing."""


def _scope(project: str | None) -> tuple[str, str]:
    return "ALL" if project is None else "PROJECT", project or ""


def _one(cursor: psycopg2.extensions.cursor) -> Any:
    row = cursor.fetchone()
    return row[0] if row else None


def _select(database: Database, rest: str, parameters: tuple) -> list[Run]:
    rows = database.rows(f"SELECT {_COLUMNS} FROM telemetry_analysis_runs {rest}", parameters)
    return [Run(*row) for row in rows]


def _first(database: Database, rest: str, parameters: tuple) -> Run | None:
    selected = _select(database, rest, parameters)
    return selected[0] if selected else None
