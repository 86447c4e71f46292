"""Completion of open spans: a span with the same key and an end completes the row, which then never changes.

Belongs here: completing rows, the required rights, detecting key conflicts. A span without an end has neither
``duration_ms`` nor ``end_time_ms``.
Does not: storing (spans), one start from two sources (first_starts), days that late ends make stale (open_counts).
"""

import copy
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg2.extensions

from leo_telemetry_pipeline.sources.otlp.conventions import has_one_start
from leo_telemetry_pipeline.span import COLUMNS, Span
from leo_telemetry_pipeline.store import intake, json_text
from leo_telemetry_pipeline.store.intake import Noticed

Key = tuple[str, str, int]

WITHOUT_END = "s.duration_ms IS NULL AND s.end_time_ms IS NULL"
KEY = "trace_id, span_id, start_time_ms"
# Rights for completing rows, granted in docs/deployment.md; a role that may read all of WRITES completes rows faster.
READS = ("trace_id", "span_id", "start_time_ms", "end_time_ms", "duration_ms", "queue_wait_ms")
WRITES = ("end_time_ms", "duration_ms", "duration_rest_us", "queue_wait_ms", "status", "attributes")
NAMES = ("span_type", "span_name")
# Ends an INSERT ... SELECT whose rows are counted: without it, Citus counts the rows that conflict, too.
STORED = "RETURNING 1"

_log = logging.getLogger(__name__)
_REFUSED = (
    "open spans in the database cannot be completed: this database user lacks SELECT or UPDATE on columns of"
    " workflow_trace_log; docs/deployment.md has the GRANT"
)
_logged: set[str] = set()


@dataclass(frozen=True)
class Rights:
    """Columns of the span table that a role may read, and those it may change."""

    read: frozenset[str]
    write: frozenset[str]

    @property
    def completes(self) -> bool:
        """Whether the role can complete rows."""
        return self.read.issuperset(READS) and self.write.issuperset(WRITES)


def key_of(span: Span) -> Key:
    """Return a span's primary key."""
    return span.trace_id, span.span_id, span.start_time_ms


def has_end(span: Span) -> bool:
    """Return whether a span is complete."""
    return span.duration_ms is not None or span.end_time_ms is not None


def joined(start: Span, end: Span) -> Span:
    """Return an open span completed by the same span with an end."""
    complete = copy.copy(start)
    complete.end_time_ms, complete.duration_ms, complete.status = end.end_time_ms, end.duration_ms, end.status
    complete.duration_rest_us = end.duration_rest_us
    if end.queue_wait_ms is not None:
        complete.queue_wait_ms = end.queue_wait_ms
    complete.attributes = start.attributes | end.attributes
    return complete


def collapsed(batch: list[Span]) -> tuple[list[Span], int]:
    """Return a batch with open spans completed by ends in the same batch, and the number completed."""
    if all(map(has_end, batch)):
        return batch, 0
    first: dict[Key, Span] = {}
    again: list[Span] = []
    completed = 0
    for span in batch:
        key = key_of(span)
        before = first.setdefault(key, span)
        if before is not span and has_end(span) and not has_end(before):
            first[key] = joined(before, span)
            completed += 1
        elif before is not span:
            again.append(span)
    return [*first.values(), *again], completed


def rights(cursor: psycopg2.extensions.cursor) -> Rights:
    """Return the rights of a transaction's role on columns of the span table."""
    cursor.execute(
        "SELECT name, has_column_privilege('workflow_trace_log', name, 'SELECT'),"
        " has_column_privilege('workflow_trace_log', name, 'UPDATE') FROM unnest(%s) AS name",
        (list(COLUMNS),),
    )
    rows = cursor.fetchall()
    return Rights(
        frozenset(name for name, may_read, _ in rows if may_read),
        frozenset(name for name, _, may_write in rows if may_write),
    )


def complete(cursor: psycopg2.extensions.cursor, batch: Sequence[Span], source: str) -> int:
    """Complete stored rows by the spans of a batch with the same keys; return how many were completed.

    The batch is in the table ``incoming``. Spans that conflict with another span's key are counted as a notice of
    ``source``.
    """
    role = rights(cursor)
    if not role.completes:
        _warn_once(_REFUSED)
    # Without the right to read keys, spans of the batch can only be compared with each other.
    stored = _stored(cursor, batch, role) if role.read.issuperset(READS) else {}
    intake.count_in(cursor, _conflicts(batch, stored, source))
    ends: dict[Key, Span] = {}
    for span in batch:
        row = stored.get(key_of(span))
        if row is not None and row.is_open and has_end(span):
            ends.setdefault(row.key, span)
    if not ends or not role.completes:
        return 0
    # Sorted, so that transactions that complete the same rows cannot deadlock.
    if role.read.issuperset(WRITES):
        return _complete(cursor, sorted(ends))
    return sum(_complete_unread(cursor, ends[key]) for key in sorted(ends))


@dataclass(frozen=True)
class _Row:
    """Stored row; ``names`` are its type and name, if the role may read them."""

    key: Key
    is_open: bool
    names: tuple[str, str] | None


def _stored(cursor: psycopg2.extensions.cursor, batch: Sequence[Span], role: Rights) -> dict[Key, _Row]:
    names = "s.span_type, s.span_name" if role.read.issuperset(NAMES) else "NULL, NULL"
    traces, ids, starts = map(list, zip(*map(key_of, batch), strict=True))
    # Forces one index lookup per span; the planner would otherwise scan whole partitions.
    cursor.execute("SET LOCAL enable_nestloop = on")
    cursor.execute(
        f"SELECT s.trace_id::text, s.span_id::text, s.start_time_ms, {WITHOUT_END}, {names}"
        " FROM workflow_trace_log AS s WHERE s.start_time_ms BETWEEN %s AND %s"
        f" AND ({KEY}) IN (SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::bigint[]))",
        (min(starts), max(starts), traces, ids, starts),
    )
    rows = cursor.fetchall()
    cursor.execute("SET LOCAL enable_nestloop = off")
    return {row[:3]: _Row(row[:3], row[3], row[4:] if row[4] is not None else None) for row in rows}


def _conflicts(batch: Sequence[Span], stored: Mapping[Key, _Row], source: str) -> Counter[Noticed]:
    """Count spans whose key belongs to another operation."""
    names = {key: row.names for key, row in stored.items() if row.names is not None}
    conflicts: Counter[Noticed] = Counter()
    for span in batch:
        own, row = (span.span_type, span.span_name), stored.get(key_of(span))
        # A span's end, or its second source, may have a better name.
        is_taken = has_one_start(span) or (row is not None and row.is_open and has_end(span))
        if names.setdefault(key_of(span), own) != own and not is_taken:
            conflicts[Noticed(source, intake.KEY_CONFLICT, span.span_type)] += 1
    return conflicts


def _complete(cursor: psycopg2.extensions.cursor, waiting: Sequence[Key]) -> int:
    cursor.execute(
        f"INSERT INTO workflow_trace_log AS s ({_COLUMNS}) SELECT DISTINCT ON ({KEY}) {_COLUMNS} FROM incoming"
        " WHERE (duration_ms IS NOT NULL OR end_time_ms IS NOT NULL)"
        f" AND ({KEY}) IN (SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::bigint[])) ORDER BY {KEY}, ctid"
        f" ON CONFLICT ({KEY}) DO UPDATE SET {FROM_EXCLUDED} WHERE {WITHOUT_END} {STORED}",
        tuple(map(list, zip(*waiting, strict=True))),
    )
    return cursor.rowcount


def _complete_unread(cursor: psycopg2.extensions.cursor, end: Span) -> int:
    """Complete a row for a role that may not read all columns that it changes, and so cannot use ``excluded``.

    Attributes of the start cannot be merged: those of the end replace them, if there are any.
    """
    values = {name: getattr(end, name) for name in COLUMNS} | {"attributes": json_text.of(end.attributes)}
    attributes = ", attributes = %(attributes)s::jsonb" if end.attributes else ""
    cursor.execute(
        f"INSERT INTO workflow_trace_log AS s ({_COLUMNS}) VALUES ({', '.join(f'%({name})s' for name in COLUMNS)})"
        f" ON CONFLICT ({KEY}) DO UPDATE SET end_time_ms = %(end_time_ms)s, duration_ms = %(duration_ms)s,"
        " duration_rest_us = %(duration_rest_us)s, status = %(status)s,"
        f" queue_wait_ms = coalesce(%(queue_wait_ms)s, s.queue_wait_ms){attributes}"
        f" WHERE {WITHOUT_END}",
        values,
    )
    return cursor.rowcount


def forget_logged() -> None:
    """Allow warnings that were logged once to be logged again."""
    _logged.clear()


def _warn_once(text: str) -> None:
    if text not in _logged:
        _logged.add(text)
        _log.warning(text)


_COLUMNS = ", ".join(COLUMNS)
# Completes a row; reading a column of ``excluded`` needs the right to SELECT it.
FROM_EXCLUDED = (
    "end_time_ms = excluded.end_time_ms, duration_ms = excluded.duration_ms, status = excluded.status,"
    " duration_rest_us = excluded.duration_rest_us, queue_wait_ms = coalesce(excluded.queue_wait_ms, s.queue_wait_ms),"
    " attributes = coalesce(s.attributes, '{}') || coalesce(excluded.attributes, '{}')"
)
