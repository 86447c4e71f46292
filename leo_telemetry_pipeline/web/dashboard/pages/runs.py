"""List of analysis runs, newest first, and "Analyze now".

Belongs here: the model of the list and its step. Does not: one run (run), the queue (actions.analysis_requests).
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from leo_telemetry_pipeline.actions import analysis_requests
from leo_telemetry_pipeline.actions.analysis_requests import NO_WORKER, SLOW_START
from leo_telemetry_pipeline.store import runs
from leo_telemetry_pipeline.store.runs import FINAL, Run
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline.web.dashboard import listing, version
from leo_telemetry_pipeline.web.dashboard.page import Asked, Page, Step, identifier, refusals
from leo_telemetry_pipeline.web.dashboard.rendering import link
from leo_telemetry_pipeline.web.dashboard.tables import Table

STATUSES = ("QUEUED", "RUNNING", *FINAL)


@dataclass(frozen=True)
class Runs:
    """The list. ``state``: what it is filtered by; ``place``: where its next part begins.

    ``notice``: what the queue answered to "Analyze now". ``warning``: why a queued run does not start.
    """

    rows: tuple[Run, ...]
    place: str
    state: str
    filters: tuple[str, ...]
    is_start: bool
    notice: str
    warning: str
    now: datetime
    version: str


def read(database: Database, asked: Asked) -> Runs:
    """Read a part of the list."""
    runs.reap(database)
    state = asked.query.get("state", "").upper()
    if state not in STATUSES:
        state = ""
    place = listing.parsed(asked.query.get("after", ""), (listing.moment, identifier))
    found = runs.after(database, place, listing.SIZE + 1, statuses=(state,) if state else ())
    part = listing.cut(found, lambda run: (run.triggered_at, run.run_id))
    now = datetime.now(UTC)
    return Runs(
        part.rows,
        part.place,
        state.lower(),
        ("", *(status.lower() for status in STATUSES)),
        place is None,
        _notice(asked),
        NO_WORKER if any(_is_stuck(run, now) for run in runs.waiting(database)) else "",
        now,
        version.read(database),
    )


def make(database: Database, asked: Asked) -> str:
    """Queue an analysis, and return the list with the answer. Raises Refused."""
    with refusals():
        requested = analysis_requests.enqueue(database, asked.settings, if_stale=False, triggered_by="MANUAL")
    return link("/runs", outcome=requested.outcome, run=requested.run_id)


def _notice(asked: Asked) -> str:
    """Return what the queue answered, by what its redirection says."""
    outcome, run_id = asked.query.get("outcome", ""), asked.query.get("run", "")
    try:
        return analysis_requests.answer(identifier(run_id), outcome) if outcome in analysis_requests.ANSWERS else ""
    except ValueError:
        return ""


def _is_stuck(run: Run, now: datetime) -> bool:
    return run.status == "QUEUED" and now - run.triggered_at > SLOW_START


QUERY = {
    "state": f"Only runs in one state: {', '.join(STATUSES).lower()}",
    "after": "Where a part of the list begins: the place that the part before it ends with",
    "outcome": "What the queue answered to a request",
    "run": "The run that the answer is about",
}
TABLE = Table(
    {
        "id": lambda row: row.run_id,
        "state": lambda row: row.status.lower(),
        "requested": lambda row: row.triggered_at,
        "requested_by": lambda row: row.triggered_by.lower(),
        "started": lambda row: row.started_at,
        "finished": lambda row: row.finished_at,
        "took_ms": lambda row: row.duration_ms,
        "slow": lambda row: row.findings_count,
        "reason": lambda row: row.reason_code,
        "attempt": lambda row: row.attempt,
        "project": lambda row: row.scope_id if row.scope_type == "PROJECT" else None,
    }
)
PAGE = Page("/runs", "runs.html", read, "Runs", QUERY, TABLE)
STEP = Step("/runs", make)
