"""Single traces: finding one by its id, and reading its spans.

Belongs here: lookups by trace id, and the search for a similar trace. Does not: sample traces of dimensions
(trace_samples), trees (analysis).
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from leo_telemetry_pipeline.dimension import Dimension
from leo_telemetry_pipeline.span import COLUMNS, Span
from leo_telemetry_pipeline.store.dimensions import STORED_SPANS, stored_types
from leo_telemetry_pipeline.store.server.database import Database

_AT_ONCE = 2_000
# Larger attributes are read only for exports.
_MOST_BYTES = 20_000
_HEX_DIGITS = 32
# Times before a trace in which a similar one is searched, the shortest first: an hour is read in milliseconds.
_REACHES = (timedelta(hours=1), timedelta(hours=6), timedelta(days=1), timedelta(days=3))
# A similar trace takes at most this much longer or shorter than the duration asked for.
_ALIKE = 0.25

# Attributes that say on which clock and in which service a span ran; the others are not needed for its tree. Only the
# first known one of each line is read, as plain columns: JSON objects would take ten times as long.
_OF_TREES = {
    "service.name": ("service.name", "service", "k8s.deployment.name"),
    "pod": ("pod", "k8s.pod.name"),
    "host": ("host", "host.name"),
    "peer.service": ("peer.service", "server.address", "net.peer.name"),
    "span.kind": ("span.kind",),
}
_NAMED = ", ".join(
    "coalesce(" + ", ".join(f"attributes->>'{name}'" for name in names) + ")" for names in _OF_TREES.values()
)
_TREE = f"""
SELECT '', span_id::text, parent_span_id::text, span_type, span_name, start_time_ms, end_time_ms, duration_ms,
       queue_wait_ms, {_NAMED}
FROM {STORED_SPANS.format(where="s.trace_id = %(trace)s::uuid")}"""

_COUNT = len(_OF_TREES)


def starting_with(database: Database, digits: str) -> list[str]:
    """Return the first and the last trace id, at most two, that start with these hex digits."""
    low, high = (digits.ljust(_HEX_DIGITS, fill) for fill in "0f")
    found: set[str] = set()
    for table in ("workflow_trace_log", "workflow_open_spans"):
        for order in ("ASC", "DESC"):
            rows = database.rows(
                f"SELECT trace_id::text FROM {table} WHERE trace_id >= %s::uuid AND trace_id <= %s::uuid"
                f" ORDER BY trace_id {order} LIMIT 1",
                (low, high),
            )
            found.update(trace for (trace,) in rows)
    return sorted(found)[:2]


def tree_rows(database: Database, trace_id: str, most: int) -> Iterator[tuple]:
    """Yield the spans of a trace, the longest ``most`` of a larger one.

    Columns: an empty text for the trace, ids, type, name, start, end, duration, queue wait in ms, the attributes that a
    tree needs, and None for the host, which is one of them.
    """
    parameters = {"trace": trace_id, "most": most, "enough": most + 1}
    rows = database.rows(f"{_TREE} LIMIT %(enough)s", parameters)
    if len(rows) > most:
        rows = database.rows(f"{_TREE} ORDER BY duration_ms DESC NULLS FIRST, span_id LIMIT %(most)s", parameters)
    # Spans share few combinations of attributes.
    known: dict[tuple, dict[str, str] | None] = {}
    for row in rows:
        yield (*row[:-_COUNT], known.get(row[-_COUNT:]) or _attributes(known, row[-_COUNT:]), None)


def _attributes(known: dict[tuple, dict[str, str] | None], values: tuple) -> dict[str, str] | None:
    if values not in known:
        known[values] = {name: value for name, value in zip(_OF_TREES, values, strict=True) if value} or None
    return known[values]


def some_spans(database: Database, trace_id: str, starts: Mapping[str, float]) -> list[Span]:
    """Return spans of a trace by their ids and starts in ms; too large attributes are replaced by a note."""
    columns = ", ".join(_readable(name) for name in COLUMNS[:-1])
    rows = database.rows(
        f'SELECT {columns}, CASE WHEN pg_column_size(attributes) > %s THEN \'{{"…": "too large to show"}}\'::jsonb'
        f" ELSE {_ATTRIBUTES} END FROM workflow_trace_log AS s WHERE trace_id = %s::uuid AND span_id = ANY(%s::uuid[])"
        # Only the partitions of these days are read.
        " AND start_time_ms BETWEEN %s AND %s",
        (_MOST_BYTES, trace_id, list(starts), int(min(starts.values())), int(max(starts.values()))),
    )
    return [_span(row) for row in rows]


def all_spans(database: Database, trace_id: str) -> Iterator[Span]:
    """Yield all spans of a trace by id, read in parts that fit in memory."""
    columns = ", ".join([*map(_readable, COLUMNS[:-1]), _ATTRIBUTES])
    after: tuple[Any, ...] = ("00000000-0000-0000-0000-000000000000", -1)
    while True:
        rows = database.rows(
            f"SELECT {columns} FROM workflow_trace_log AS s WHERE trace_id = %s::uuid"
            " AND (span_id, start_time_ms) > (%s::uuid, %s) ORDER BY span_id, start_time_ms LIMIT %s",
            (trace_id, *after, _AT_ONCE),
        )
        spans = [_span(row) for row in rows]
        yield from spans
        if len(spans) < _AT_ONCE:
            return
        after = spans[-1].span_id, spans[-1].start_time_ms


def alike(database: Database, root: Dimension, near_ms: float, before_ms: float, but: str) -> str | None:
    """Return a trace that has a span of this type and name with about this duration; None if none is near.

    It is the one with the nearest duration in the shortest time before ``before_ms`` that has any.
    """
    where = (
        "s.start_time_ms >= %(from)s AND s.start_time_ms < %(to)s AND s.span_type = ANY(%(types)s)"
        " AND s.trace_id <> %(but)s::uuid"
    )
    for reach in _REACHES:
        rows = database.rows(
            f"SELECT trace_id::text FROM {STORED_SPANS.format(where=where)} WHERE span_type = %(type)s"
            " AND span_name = %(name)s AND abs(duration_ms - %(near)s) <= %(most)s"
            " ORDER BY abs(duration_ms - %(near)s), trace_id LIMIT 1",
            {
                "from": int(before_ms - reach.total_seconds() * 1000),
                "to": int(before_ms),
                "types": stored_types([root[0]]),
                "type": root[0],
                "name": root[1],
                "near": near_ms,
                "most": _ALIKE * near_ms,
                "but": but,
            },
        )
        if rows:
            return rows[0][0]
    return None


# Rows written by SQL may hold attributes of any kind.
_ATTRIBUTES = "CASE jsonb_typeof(attributes) WHEN 'object' THEN attributes ELSE '{}' END"
_READABLE = {"project": "coalesce(project, '')"} | {
    name: f"{name}::text" for name in ("trace_id", "span_id", "parent_span_id")
}


def _readable(column: str) -> str:
    return _READABLE.get(column, column)


def _span(row: tuple) -> Span:
    return Span(**dict(zip(COLUMNS, row, strict=True)))
