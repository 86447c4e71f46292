"""Deleting what was collected, for good, because somebody asked for it.

Belongs here: spans, those that are open, what was put aside, and the daily history that was made of them, except that
of one trace, which goes from days that are not sealed. What analyses said of them stays: P50s, items, the ids of
traces as evidence.
Does not: retention by age, which keeps the history. What still lies in a spool is drained first (cli).
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import psycopg2.extensions

from leo_telemetry_pipeline.store.days import DAY_MS, midnight, milliseconds
from leo_telemetry_pipeline.store.history import histograms
from leo_telemetry_pipeline.store.history.watermark import lock
from leo_telemetry_pipeline.store.server.database import Database


@dataclass(frozen=True)
class What:
    """What is to go: spans that started before a UTC day, those of a project, or those of a trace."""

    before: date | None = None
    project: str | None = None
    trace_id: str | None = None

    @property
    def conditions(self) -> dict[str, str]:
        """SQL by table, for its rows ``s``; a table of which only a whole day can be counted again is left out."""
        if self.before is not None:
            spans = "s.start_time_ms < %(before_ms)s"
            return _of(spans, "s.created_at < %(before)s", "s.day < %(before)s::date", "s.first_day < %(before)s::date")
        if self.project is not None:
            # A line belongs to the project that it names, in our columns or OpenTelemetry's attributes, and else to
            # the one that its import was told.
            aside = (
                "s.content ~ %(named)s OR s.content ~ %(named_in_ascii)s OR (s.project = %(project)s"
                """ AND (s.project <> '' OR s.content !~ '"(leo[.])?project"\\s*[:,]'))"""
            )
            named = "s.project = %(project)s"
            return _of("coalesce(s.project, '') = %(project)s", aside, named, named)
        aside = "position(%(trace_id)s in lower(s.content)) > 0 OR position(%(hex)s in lower(s.content)) > 0"
        return _of("s.trace_id = %(trace_id)s::uuid", aside)

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of the conditions."""
        before = midnight(self.before or date(1970, 1, 1))
        return {
            "before": before,
            "before_ms": milliseconds(before),
            "project": self.project,
            "named": _named(self.project, ensure_ascii=False),
            "named_in_ascii": _named(self.project, ensure_ascii=True),
            "trace_id": self.trace_id,
            "hex": (self.trace_id or "").replace("-", ""),
        }


@dataclass(frozen=True)
class Purged:
    """How much there was of it: spans, lines put aside, and rows of what else was made of them."""

    spans: int
    quarantined: int
    others: int = 0


# Beyond the calendar, and what is there is in no history.
_LAST_DAY = (date.max - date(1970, 1, 1)).days
_SPANS, _ASIDE = "workflow_trace_log", "telemetry_quarantine"
_BY_DAY = ("duration_histograms", "workflow_trace_counts")


def _of(spans: str, aside: str, days: str | None = None, blocks: str | None = None) -> dict[str, str]:
    found = {_SPANS: spans, _ASIDE: aside, "workflow_open_spans": spans}
    if days is None or blocks is None:
        return found
    return found | dict.fromkeys(_BY_DAY, days) | {"duration_histogram_blocks": blocks}


def _named(project: str | None, *, ensure_ascii: bool) -> str:
    name = re.escape(json.dumps(project or "", ensure_ascii=ensure_ascii))
    return rf'"project"\s*:\s*{name}|"leo[.]project"\s*,\s*"value"\s*:\s*\{{\s*"stringValue"\s*:\s*{name}'


def count(database: Database, what: What) -> Purged:
    """Return how much would go."""
    counts = {
        table: database.rows(f"SELECT count(*) FROM {table} AS s WHERE {condition}", what.parameters)[0][0]
        for table, condition in what.conditions.items()
    }
    return _purged(counts)


def purge(database: Database, what: What, on_day: Callable[[int], object] = lambda _: None) -> Purged:
    """Delete it, a day at a time, and count the days again that keep other spans; return how much went.

    ``on_day`` gets how many spans went with each day. Interrupted, it can be begun again.
    """
    counts: dict[str, int] = {}
    days = database.rows(
        f"SELECT DISTINCT s.start_time_ms / {DAY_MS} FROM {_SPANS} AS s WHERE {what.conditions[_SPANS]}"
        f" AND s.start_time_ms / {DAY_MS} < {_LAST_DAY} ORDER BY 1",
        what.parameters,
    )
    for (number,) in days:
        day = date(1970, 1, 1) + timedelta(days=number)
        with database.transaction() as cursor:
            # A count of this day that is under way would bring back what it has seen.
            lock(cursor, day)
            gone = _delete(
                cursor,
                what,
                _SPANS,
                "s.start_time_ms >= %(from_ms)s AND s.start_time_ms < %(to_ms)s",
                {"from_ms": number * DAY_MS, "to_ms": (number + 1) * DAY_MS},
            )
            counts[_SPANS] = counts.get(_SPANS, 0) + gone
            for table in _BY_DAY:
                if table in what.conditions:
                    counts[table] = counts.get(table, 0) + _delete(cursor, what, table, "s.day = %(day)s", {"day": day})
            if _BY_DAY[0] not in what.conditions:
                histograms.forget_day(cursor, day)
        on_day(gone)
        if _BY_DAY[0] not in what.conditions:
            histograms.count_again(database, day)
    with database.transaction() as cursor:
        for table in what.conditions:
            counts[table] = counts.get(table, 0) + _delete(cursor, what, table, "true", {})
        if what.before is not None:
            # A block that goes beyond the day is gone too, and is made again of what is left.
            cursor.execute("DELETE FROM duration_histogram_blocks_made WHERE first_day < %s", (what.before,))
            cursor.execute("DELETE FROM duration_histogram_days WHERE day < %s", (what.before,))
    return _purged(counts)


def _purged(counts: dict[str, int]) -> Purged:
    others = sum(count for table, count in counts.items() if table not in (_SPANS, _ASIDE))
    return Purged(counts.get(_SPANS, 0), counts.get(_ASIDE, 0), others)


def _delete(
    cursor: psycopg2.extensions.cursor, what: What, table: str, more: str, parameters: dict[str, object]
) -> int:
    cursor.execute(
        f"DELETE FROM {table} AS s WHERE ({what.conditions[table]}) AND {more}", what.parameters | parameters
    )
    return cursor.rowcount
