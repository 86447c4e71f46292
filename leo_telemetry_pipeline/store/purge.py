"""Deleting what was collected, for good, because somebody asked for it.

Belongs here: every trace of some spans in every table, and the history that was made of them.
Does not: retention by age, which keeps the history. What still lies in a spool is drained first (cli).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from leo_telemetry_pipeline.store import histograms
from leo_telemetry_pipeline.store.database import Database
from leo_telemetry_pipeline.store.spans import Window, count_by_type_and_day, milliseconds

DAY_MS = 86_400_000


@dataclass(frozen=True)
class What:
    """What is to go: spans that started before a UTC day, those of a project, or those of a trace."""

    before: date | None = None
    project: str | None = None
    trace_id: str | None = None

    @property
    def condition(self) -> str:
        """SQL that holds for a row of spans ``s``."""
        if self.before is not None:
            return "s.start_time_ms < %(before_ms)s"
        return (
            "coalesce(s.project, '') = %(project)s" if self.project is not None else "s.trace_id = %(trace_id)s::uuid"
        )

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of the condition."""
        midnight = datetime.combine(self.before or date(1970, 1, 1), time(), UTC)
        return {
            "before": midnight,
            "before_ms": milliseconds(midnight),
            "project": self.project,
            "trace_id": self.trace_id,
        }


@dataclass(frozen=True)
class Purged:
    """How much there was of it."""

    spans: int
    quarantined: int


def count(database: Database, what: What) -> Purged:
    """Return how much would go."""
    [(spans,)] = database.rows(f"SELECT count(*) FROM workflow_trace_log AS s WHERE {what.condition}", what.parameters)
    [(quarantined,)] = database.rows(
        f"SELECT count(*) FROM telemetry_quarantine WHERE {_ASIDE[_kind(what)]}", _like(what)
    )
    return Purged(spans, quarantined)


def purge(database: Database, what: What, on_day: Callable[[int], object] = lambda _: None) -> Purged:
    """Delete it, a day at a time, and count the days again that keep other spans; return how much went.

    ``on_day`` gets how many spans went with each day. Interrupted, it can be begun again.
    """
    days = database.rows(
        f"SELECT DISTINCT s.start_time_ms / 86400000 FROM workflow_trace_log AS s WHERE {what.condition} ORDER BY 1",
        what.parameters,
    )
    gone = 0
    for (day,) in days:
        with database.transaction() as cursor:
            cursor.execute(
                f"DELETE FROM workflow_trace_log AS s WHERE {what.condition}"
                " AND s.start_time_ms >= %(from_ms)s AND s.start_time_ms < %(to_ms)s",
                what.parameters | {"from_ms": day * DAY_MS, "to_ms": (day + 1) * DAY_MS},
            )
            gone += cursor.rowcount
            on_day(cursor.rowcount)
    with database.transaction() as cursor:
        cursor.execute(f"DELETE FROM workflow_open_spans AS s WHERE {what.condition}", what.parameters)
        cursor.execute(f"DELETE FROM telemetry_quarantine WHERE {_ASIDE[_kind(what)]}", _like(what))
        quarantined = cursor.rowcount
        if what.before is not None:
            cursor.execute("DELETE FROM duration_histograms WHERE day < %(before)s::date", what.parameters)
        elif what.project is not None:
            cursor.execute("DELETE FROM duration_histograms WHERE project = %(project)s", what.parameters)
    if what.trace_id is not None:
        _count_again(database, [date(1970, 1, 1) + timedelta(days=day) for (day,) in days])
    return Purged(gone, quarantined)


# What was put aside has no columns, so it is known by what it says.
_ASIDE = {
    "before": "created_at < %(before)s",
    "project": "position(%(quoted)s in content) > 0 AND position('project' in content) > 0",
    "trace_id": "position(%(trace_id)s in lower(content)) > 0 OR position(%(hex)s in lower(content)) > 0",
}


def _kind(what: What) -> str:
    if what.before is not None:
        return "before"
    return "project" if what.project is not None else "trace_id"


def _like(what: What) -> dict[str, object]:
    return what.parameters | {
        "quoted": f'"{what.project}"',
        "hex": (what.trace_id or "").replace("-", ""),
    }


def _count_again(database: Database, days: Sequence[date]) -> None:
    for day in days:
        types = database.rows("SELECT dimension_type FROM duration_histogram_days WHERE day = %s ORDER BY 1", (day,))
        midnight = datetime.combine(day, time(), UTC)
        seen = count_by_type_and_day(database, Window(midnight, midnight + timedelta(days=1)))
        if types:
            histograms.rebuild(database, [day], [name for (name,) in types], sorted({row[0] for row in seen}))
