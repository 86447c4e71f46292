"""Purge: permanent deletion of collected data on request.

Belongs here: deleting spans, open spans, quarantined lines and their daily history; for one trace, the history of
sealed days stays. Results of analyses stay: P50s, items, trace ids as evidence.
Does not: retention by age, which keeps the history (maintenance), draining the spool first (cli).
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
class Selection:
    """What to delete: spans that started before a UTC day, those of a project, or those of a trace."""

    before: date | None = None
    project: str | None = None
    trace_id: str | None = None

    @property
    def conditions(self) -> dict[str, str]:
        """SQL conditions per table, aliased ``s``; history that can only be recounted in whole days is left out."""
        if self.before is not None:
            spans = "s.start_time_ms < %(before_ms)s"
            return _of(spans, "s.created_at < %(before)s", "s.day < %(before)s::date", "s.first_day < %(before)s::date")
        if self.project is not None:
            # A line belongs to the project that it names, in our column or an OpenTelemetry attribute, or else to the
            # project of its import.
            quarantined = (
                "s.content ~ %(named)s OR s.content ~ %(named_in_ascii)s OR (s.project = %(project)s"
                """ AND (s.project <> '' OR s.content !~ '"(leo[.])?project"\\s*[:,]'))"""
            )
            named = "s.project = %(project)s"
            return _of("coalesce(s.project, '') = %(project)s", quarantined, named, named)
        quarantined = "position(%(trace_id)s in lower(s.content)) > 0 OR position(%(hex)s in lower(s.content)) > 0"
        return _of("s.trace_id = %(trace_id)s::uuid", quarantined)

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
    """Numbers of deleted spans, quarantined lines and rows derived from them."""

    spans: int
    quarantined: int
    others: int = 0


# The last date that Python knows; spans of later days have no history.
_LAST_DAY = (date.max - date(1970, 1, 1)).days
_SPANS, _QUARANTINE = "workflow_trace_log", "telemetry_quarantine"
_BY_DAY = ("duration_histograms", "workflow_trace_counts")


def _of(spans: str, quarantined: str, days: str | None = None, blocks: str | None = None) -> dict[str, str]:
    conditions = {_SPANS: spans, _QUARANTINE: quarantined, "workflow_open_spans": spans}
    if days is None or blocks is None:
        return conditions
    return conditions | dict.fromkeys(_BY_DAY, days) | {"duration_histogram_blocks": blocks}


def _named(project: str | None, *, ensure_ascii: bool) -> str:
    name = re.escape(json.dumps(project or "", ensure_ascii=ensure_ascii))
    return rf'"project"\s*:\s*{name}|"leo[.]project"\s*,\s*"value"\s*:\s*\{{\s*"stringValue"\s*:\s*{name}'


def count(database: Database, selection: Selection) -> Purged:
    """Return how much would be deleted."""
    counts = {
        table: database.rows(f"SELECT count(*) FROM {table} AS s WHERE {condition}", selection.parameters)[0][0]
        for table, condition in selection.conditions.items()
    }
    return _purged(counts)


def purge(database: Database, selection: Selection, on_day: Callable[[int], object] = lambda _: None) -> Purged:
    """Delete day by day, recount days that keep other spans, and return how much was deleted.

    ``on_day`` receives the number of spans deleted, once per day. An interrupted purge can be repeated.
    """
    counts: dict[str, int] = {}
    days = database.rows(
        f"SELECT DISTINCT s.start_time_ms / {DAY_MS} FROM {_SPANS} AS s WHERE {selection.conditions[_SPANS]}"
        f" AND s.start_time_ms / {DAY_MS} < {_LAST_DAY} ORDER BY 1",
        selection.parameters,
    )
    for (number,) in days:
        day = date(1970, 1, 1) + timedelta(days=number)
        with database.transaction() as cursor:
            # A concurrent count of this day would bring the deleted spans back.
            lock(cursor, [day])
            deleted = _delete(
                cursor,
                selection,
                _SPANS,
                "s.start_time_ms >= %(from_ms)s AND s.start_time_ms < %(to_ms)s",
                {"from_ms": number * DAY_MS, "to_ms": (number + 1) * DAY_MS},
            )
            counts[_SPANS] = counts.get(_SPANS, 0) + deleted
            for table in _BY_DAY:
                if table in selection.conditions:
                    counts[table] = counts.get(table, 0) + _delete(
                        cursor, selection, table, "s.day = %(day)s", {"day": day}
                    )
            if _BY_DAY[0] not in selection.conditions:
                histograms.forget_day(cursor, day)
        on_day(deleted)
        if _BY_DAY[0] not in selection.conditions:
            histograms.count_again(database, day)
    with database.transaction() as cursor:
        for table in selection.conditions:
            counts[table] = counts.get(table, 0) + _delete(cursor, selection, table, "true", {})
        if selection.before is not None:
            # A block that extends beyond the day is deleted too, and rebuilt from the rest.
            cursor.execute("DELETE FROM duration_histogram_blocks_made WHERE first_day < %s", (selection.before,))
            cursor.execute("DELETE FROM duration_histogram_days WHERE day < %s", (selection.before,))
    return _purged(counts)


def _purged(counts: dict[str, int]) -> Purged:
    others = sum(count for table, count in counts.items() if table not in (_SPANS, _QUARANTINE))
    return Purged(counts.get(_SPANS, 0), counts.get(_QUARANTINE, 0), others)


def _delete(
    cursor: psycopg2.extensions.cursor, selection: Selection, table: str, more: str, parameters: dict[str, object]
) -> int:
    cursor.execute(
        f"DELETE FROM {table} AS s WHERE ({selection.conditions[table]}) AND {more}", selection.parameters | parameters
    )
    return cursor.rowcount
