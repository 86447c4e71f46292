"""Maintenance: creates partitions; seals, archives and drops old days; deletes old records.

Belongs here: the order of these steps, each in its own transactions, and reporting steps that fail.
Does not: what may be dropped (rules), statements that move and drop (partitions), files (archive).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg2

from leo_telemetry_pipeline.errors import NO_DATABASE, UserError
from leo_telemetry_pipeline.settings import Settings
from leo_telemetry_pipeline.store import outbox
from leo_telemetry_pipeline.store.days import DAY, midnight, milliseconds, whole
from leo_telemetry_pipeline.store.history import histograms
from leo_telemetry_pipeline.store.retention import archive, partitions
from leo_telemetry_pipeline.store.retention.rules import (
    Archived,
    Day,
    Dropped,
    Limit,
    Part,
    Report,
    Sealed,
    is_due,
    is_to_seal,
    may_drop,
    near,
    to_archive,
)
from leo_telemetry_pipeline.store.server import distributed
from leo_telemetry_pipeline.store.server.database import Database

KEEP_P50_DAYS = 400
AGAIN_AFTER = timedelta(hours=20)
PARTITIONS_AT_ONCE = 25


def is_time(database: Database) -> bool:
    """Return whether maintenance is due."""
    [(maintained_at, now)] = database.rows("SELECT maintained_at, now() FROM telemetry_upkeep")
    return maintained_at is None or now - maintained_at > AGAIN_AFTER


def maintain(database: Database, settings: Settings, *, dry_run: bool = False) -> Report:
    """Run one round of maintenance and return its report; with ``dry_run`` write nothing and report what would be done.

    A step that fails is reported, and the others still run. Raises UserError if the database is unavailable.
    """
    [(today,)] = database.rows("SELECT (now() AT TIME ZONE 'UTC')::date")
    limit = Limit(today, settings.keep)
    report = Report(dry_run, limit.keep_days, limit.first_kept)
    if not dry_run:
        _execute(database, "UPDATE telemetry_upkeep SET keep_days = %s", (limit.keep_days,))
    _partition(database, limit, report)
    if dry_run:
        _preview(database, limit, settings.archive, report)
    else:
        _seal(database, limit, report)
        _archive_and_drop(database, limit, settings.archive, report)
    _delete_records(database, limit, report)
    if not dry_run:
        with _reporting(report, "grants on columns"):
            distributed.pass_on_column_grants(database)
        outbox.expire(database)
        _execute(database, "UPDATE telemetry_upkeep SET maintained_at = now()", ())
    return report


def _partition(database: Database, limit: Limit, report: Report) -> None:
    wanted = partitions.in_range(limit.today, limit.keep_days)
    with _reporting(report, "partitions"):
        held = partitions.in_default(database, wanted[0], wanted[-1])
        missing = set(wanted) - set(held) - set(partitions.attached(database))
        report.partitions_made = len(missing)
        if report.dry_run:
            report.moved = {str(day): spans for day, spans in held.items()}
            return
        # Partitions are made in small batches, since writers wait meanwhile.
        batches = [wanted[start : start + PARTITIONS_AT_ONCE] for start in range(0, len(wanted), PARTITIONS_AT_ONCE)]
        report.partitions_made = sum(partitions.make(database, days[0], days[-1]) for days in batches)
        if missing and not report.partitions_made:
            report.problems.append(f"partitions: {_IN_USE}")
        for day in held:
            with _reporting(report, f"moving {day}"):
                report.moved[str(day)] = partitions.move(database, day)


def _seal(database: Database, limit: Limit, report: Report) -> None:
    for day in _days(database, limit):
        if is_to_seal(day, limit):
            with _reporting(report, f"sealing {day.day}"):
                number = histograms.seal(database, day.day)
                if number is not None:
                    report.sealed.append((day.day, number))


def _archive_and_drop(database: Database, limit: Limit, archives: str, report: Report) -> None:
    days = _days(database, limit)
    unsealed = [day.day for day in days if is_to_seal(day, limit)]
    due = [day for day in days if is_due(day, limit)]
    report.waiting = [day.day for day in due if near(day.day, unsealed)]
    due = [day for day in due if day.day not in report.waiting]
    into = None
    if archives and any(to_archive(day) and day.spans for day in due):
        with _reporting(report, "archive"):
            into = archive.folder(archives)
        if into is None:
            due = [day for day in due if not (to_archive(day) and day.spans)]
    for day in due:
        with _reporting(report, day.day):
            if into is not None and day.spans:
                report.archived += [archive.write(database, part, into) for part in to_archive(day)]
            dropped = _drop(database, day.day, limit, archives=bool(archives))
            if dropped is None:
                report.waiting.append(day.day)
            else:
                report.dropped.append(dropped)


def _drop(database: Database, day: date, limit: Limit, *, archives: bool) -> Dropped | None:
    with database.transaction() as cursor:
        partitions.hold(cursor, "drop", day)
        # Decide again under the lock, since others write, seal, restore and purge.
        cursor.execute(_SPANS + " AND start_time_ms >= %(from_ms)s GROUP BY 1", whole(day).parameters())
        [(_, spans, newest)] = cursor.fetchall() or [(None, 0, None)]
        cursor.execute(_PARTS + " WHERE day = %s ORDER BY day, part FOR UPDATE", (day,))
        if not may_drop(Day(day, spans, newest, _parts(cursor.fetchall()).get(day, ())), limit, archives=archives):
            return None
        freed = partitions.drop(cursor, day)
        cursor.execute(
            "UPDATE telemetry_sealed_days SET dropped_at = now() WHERE day = %s AND dropped_at IS NULL", (day,)
        )
    return Dropped(day, spans, freed)


def _preview(database: Database, limit: Limit, archives: str, report: Report) -> None:
    days, folder = _days(database, limit), Path(archives).expanduser()
    can_archive = False
    if archives and any(is_due(day, limit) and day.spans for day in days):
        with _reporting(report, "archive"):
            archive.folder(archives, create=False)
            can_archive = True
    for day in days:
        next_part = len(day.parts) + 1
        if is_to_seal(day, limit):
            report.sealed.append((day.day, next_part))
        if is_due(day, limit) and (can_archive or not archives or not day.spans):
            report.dropped.append(Dropped(day.day, day.spans, day.partition_bytes or 0))
            known = {part.part.number: part.spans for part in day.parts if not part.archived and not part.dropped}
            if is_to_seal(day, limit):
                known[next_part] = max(0, day.spans - sum(part.spans for part in day.parts if not part.dropped))
            if archives and day.spans:
                report.archived += [
                    Archived(day.day, number, str(folder / archive.name_of(day.day, number)), spans)
                    for number, spans in known.items()
                ]


# An analysis is dated by the later of its window's end and its run time, so that an analysis of last year that was made
# today is kept.
_OLD_P50 = """
FROM dimension_p50 WHERE run_id IN (
    SELECT run_id FROM telemetry_analysis_runs
    WHERE greatest(window_end, finished_at, triggered_at) < now() - make_interval(days => %(p50_days)s)
      AND run_id NOT IN (
          SELECT DISTINCT ON (scope_type, scope_id) run_id FROM telemetry_analysis_runs WHERE status = 'SUCCEEDED'
          ORDER BY scope_type, scope_id, window_end DESC NULLS LAST, finished_at DESC NULLS LAST))
"""


def _delete_records(database: Database, limit: Limit, report: Report) -> None:
    parameters = {"p50_days": KEEP_P50_DAYS, "limit": midnight(limit.first_kept)}
    for name, rows in (
        ("p50_rows", _OLD_P50),
        ("quarantined", "FROM telemetry_quarantine WHERE created_at < %(limit)s"),
        ("drains", "FROM telemetry_drains WHERE drained_at < %(limit)s"),
    ):
        with _reporting(report, name):
            if report.dry_run:
                deleted = database.rows(f"SELECT count(*) {rows}", parameters)[0][0]
            else:
                deleted = _execute(database, f"DELETE {rows}", parameters)
            setattr(report, name, deleted)


_SPANS = (
    f"SELECT start_time_ms / 86400000, count(*), max(created_at) FROM {partitions.TABLE}"
    " WHERE start_time_ms < %(to_ms)s"
)
_PARTS = (
    "SELECT day, part, sealed_before, archive_id::text, spans, archived_at IS NOT NULL, dropped_at IS NOT NULL,"
    " restored_at FROM telemetry_sealed_days"
)


def _days(database: Database, limit: Limit) -> list[Day]:
    """Return the days old enough to be sealed that have spans or a partition, oldest first."""
    end = {"to_ms": milliseconds(midnight(limit.first_unsealed))}
    sizes = {day: size for day, size in partitions.attached(database).items() if day < limit.first_unsealed}
    spans = {
        date(1970, 1, 1) + number * DAY: (count, newest)
        for number, count, newest in database.rows(_SPANS + " GROUP BY 1", end)
    }
    parts = _parts(database.rows(_PARTS + " WHERE day < %s ORDER BY day, part", (limit.first_unsealed,)))
    return [
        Day(day, *spans.get(day, (0, None)), parts.get(day, ()), sizes.get(day)) for day in sorted({*spans, *sizes})
    ]


def _parts(rows: Sequence[tuple]) -> dict[date, tuple[Sealed, ...]]:
    parts: dict[date, tuple[Sealed, ...]] = {}
    for day, number, before, archive_id, *rest in rows:
        earlier = parts.get(day, ())
        since = earlier[-1].part.before if earlier else None
        parts[day] = (*earlier, Sealed(Part(day, number, since, before, archive_id), *rest))
    return parts


@contextmanager
def _reporting(report: Report, what: object) -> Iterator[None]:
    """Report an error of a step and continue; re-raise if the database is unavailable."""
    try:
        yield
    except partitions.Busy:
        report.left_to_others += 1
    except (psycopg2.Error, OSError, UserError) as error:
        if isinstance(error, UserError) and error.exit_code == NO_DATABASE:
            raise
        report.problems.append(f"{what}: {_reason(error)}")


_IN_USE = f"the span table was in use for over {partitions.PATIENCE_S} s; the next maintenance tries again"


def _reason(error: Exception) -> str:
    if isinstance(error, psycopg2.errors.LockNotAvailable):
        return _IN_USE
    if isinstance(error, psycopg2.errors.DuplicateTable):
        return f"{str(error).strip()} but is not a partition: attach it, or rename it"
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _execute(database: Database, sql: str, parameters: Any) -> int:
    with database.transaction() as cursor:
        cursor.execute(sql, parameters)
        return cursor.rowcount
