"""One analysis run: its times, its output in numbers, why it failed, and its run in Dagster.

Belongs here: the model of the page and its step. Does not: the list (runs), cancelling (actions.analysis_requests).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from leo_telemetry_pipeline.actions import analysis_requests
from leo_telemetry_pipeline.actions.analysis_requests import NO_WORKER, SLOW_START
from leo_telemetry_pipeline.actions.items import ratio_of
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.runs import FINAL, Run
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.web.dashboard import outputs, version
from leo_telemetry_pipeline.web.dashboard.page import Asked, Page, Step, refusals, subject

MOST_BOTTLENECKS = 20
# Numbers of the output, and what each counts.
_COUNTS = {
    "traces_scanned": "spans read",
    "trace_count": "traces",
    "dimensions_evaluated": "dimensions judged",
    "items_created": "items opened or reopened",
    "items_skipped_dedupe": "bottlenecks that have an item already",
    "items_skipped_rate_limit": "bottlenecks without an item, because of rate limits",
}


@dataclass(frozen=True)
class FoundSlow:
    """Bottleneck that a run found: its ratio in words, and the id of its item, if it has one."""

    name: str
    times: str
    item_id: str


@dataclass(frozen=True)
class RunPage:
    """Everything on the page. ``detail``: lines of the error. ``dagster``: address of its run in Dagster's UI."""

    run: Run
    times: tuple[tuple[str, datetime], ...]
    took: timedelta | None
    counts: tuple[tuple[str, int], ...]
    found: tuple[FoundSlow, ...]
    more: int
    errors: tuple[str, ...]
    detail: tuple[str, ...]
    dagster: str
    warning: str
    is_over: bool
    now: datetime
    version: str


def read(database: Database, asked: Asked) -> RunPage:
    """Read the page of a run. Raises Missing."""
    runs.reap(database)
    run, now = subject(database, asked, runs.without_output, "analysis run"), datetime.now(UTC)
    output = outputs.of(database, run.run_id)
    is_stuck = run.status == "QUEUED" and now - run.triggered_at > SLOW_START
    return RunPage(
        run=run,
        times=tuple(times_of(run)),
        took=took(run, now),
        counts=tuple((means, output[name]) for name, means in _COUNTS.items() if isinstance(output.get(name), int)),
        found=tuple(found_in(output)),
        more=max(0, len(output.get("bottlenecks") or ()) - MOST_BOTTLENECKS),
        errors=tuple(map(str, output.get("errors") or ())),
        detail=tuple((run.error_detail or "").splitlines()),
        dagster=dagster_address(asked.settings, run),
        warning=NO_WORKER if is_stuck else "",
        is_over=run.status in FINAL,
        now=now,
        version=version.read(database),
    )


def make(database: Database, asked: Asked) -> str:
    """Cancel the run. Raises Missing or Refused."""
    run = subject(database, asked, runs.without_output, "analysis run")
    with refusals():
        analysis_requests.cancel(database, run.run_id)
    return f"/runs/{run.run_id}"


def times_of(run: Run) -> list[tuple[str, datetime]]:
    """Return the times of a run that are known, with labels."""
    times = {
        "requested": run.triggered_at,
        "started": run.started_at,
        "finished": run.finished_at,
        "last sign of life": None if run.status in FINAL else run.heartbeat_at,
        "ends as TIMED_OUT": None if run.status in FINAL else run.deadline_at,
    }
    return [(label, moment) for label, moment in times.items() if moment]


def took(run: Run, now: datetime) -> timedelta | None:
    """Return how long a run took, or has taken until now; None before it starts."""
    if run.duration_ms is not None:
        return timedelta(milliseconds=run.duration_ms)
    return (run.finished_at or now) - run.started_at if run.started_at else None


def found_in(output: Mapping[str, Any]) -> list[FoundSlow]:
    """Return the bottlenecks of an output that are shown, worst first."""
    return [
        FoundSlow(f"{one['dimension_type']}:{one['dimension_key']}", ratio_of(one), one.get("improvement_id") or "")
        for one in (output.get("bottlenecks") or ())[:MOST_BOTTLENECKS]
    ]


def dagster_address(settings: Settings, run: Run) -> str:
    """Return the address of a run in Dagster's UI, which listens only on the server itself; empty if it has none."""
    return f"http://127.0.0.1:{settings.ui_port}/runs/{run.dagster_run_id}" if run.dagster_run_id else ""


PAGE = Page("/runs/{id}", "run.html", read)
STEP = Step("/runs/{id}", make)
