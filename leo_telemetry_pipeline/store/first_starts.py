"""Deduplication of spans that two sources report with different starts: the first one stored fixes the start.

Belongs here: finding the stored start, moving a span to it. Does not: which spans have two sources
(sources.otlp.conventions), completing rows (ends). Other spans are never merged, since two services may use the same
span id.
"""

import copy
from collections.abc import Iterable, Mapping

import psycopg2.errors
import psycopg2.extensions

from leo_telemetry_pipeline.sources.otlp.conventions import has_one_start
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store.days import DAY_MS

Ids = tuple[str, str]

# Starts further apart belong to different spans; this limits the search to three partitions.
_APART_MS = DAY_MS
# Limits the locks of a transaction, however many traces a batch has.
_LOCKS = 64


def kept(cursor: psycopg2.extensions.cursor, batch: list[Span]) -> list[Span]:
    """Return a batch with each span of two sources moved to its stored start, or else to its first start in the batch.

    Locks the traces until the transaction ends. A role that may not read stored keys only compares within the batch.
    """
    ours = [span for span in batch if has_one_start(span)]
    if not ours:
        return batch
    known = _stored_starts(cursor, ours)
    return [_placed(span, known) if has_one_start(span) else span for span in batch]


def moved(span: Span, start_time_ms: int) -> Span:
    """Return a span moved to another start, with the same duration."""
    if span.start_time_ms == start_time_ms:
        return span
    other = copy.copy(span)
    other.start_time_ms = start_time_ms
    if span.end_time_ms is not None:
        lasted = span.end_time_ms - span.start_time_ms if span.duration_ms is None else span.duration_ms
        other.end_time_ms = start_time_ms + lasted
    return other


def _placed(span: Span, known: dict[Ids, list[int]]) -> Span:
    starts = known.setdefault((span.trace_id, span.span_id), [])
    near = [start for start in starts if abs(start - span.start_time_ms) <= _APART_MS]
    if not near:
        starts.append(span.start_time_ms)
        return span
    return moved(span, min(near, key=lambda start: (abs(start - span.start_time_ms), start)))


def _stored_starts(cursor: psycopg2.extensions.cursor, spans: list[Span]) -> dict[Ids, list[int]]:
    # Take the write lock before reading, or a transaction that makes partitions could deadlock with this one.
    cursor.execute("LOCK TABLE ONLY workflow_trace_log IN ROW EXCLUSIVE MODE")
    cursor.execute("SAVEPOINT looking")
    try:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtext('first start'), number) FROM"
            " (SELECT DISTINCT hashtext(trace_id) & %s AS number FROM unnest(%s) AS trace_id ORDER BY 1) AS numbers",
            (_LOCKS - 1, list({span.trace_id for span in spans})),
        )
        known: dict[Ids, list[int]] = {}
        for _, of_day in sorted(_by_day(spans).items()):
            _read_starts(cursor, of_day, known)
    except psycopg2.errors.InsufficientPrivilege:
        cursor.execute("ROLLBACK TO SAVEPOINT looking")
        return {}
    return known


def _by_day(spans: Iterable[Span]) -> Mapping[int, list[Span]]:
    days: dict[int, list[Span]] = {}
    for span in spans:
        days.setdefault(span.start_time_ms // DAY_MS, []).append(span)
    return days


def _read_starts(cursor: psycopg2.extensions.cursor, spans: list[Span], known: dict[Ids, list[int]]) -> None:
    starts = [span.start_time_ms for span in spans]
    cursor.execute(
        "SELECT s.trace_id::text, s.span_id::text, s.start_time_ms FROM workflow_trace_log AS s"
        " WHERE s.trace_id = ANY(%s::uuid[]) AND s.start_time_ms BETWEEN %s AND %s",
        (list({span.trace_id for span in spans}), min(starts) - _APART_MS, max(starts) + _APART_MS),
    )
    wanted = {(span.trace_id, span.span_id) for span in spans}
    for trace_id, span_id, start in cursor.fetchall():
        known_starts = known.setdefault((trace_id, span_id), []) if (trace_id, span_id) in wanted else None
        if known_starts is not None and start not in known_starts:
            known_starts.append(start)
