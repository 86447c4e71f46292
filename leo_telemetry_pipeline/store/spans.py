"""Spans into the span table and out of it: storing them once each, counting and measuring those of a window.

Belongs here: statements on ``workflow_trace_log`` and ``telemetry_quarantine``.
Does not: what a dimension is (dimensions), daily history (histograms).
"""

import hashlib
import json
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TextIO, cast

import psycopg2

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.span import COLUMNS, Span
from leo_telemetry_pipeline.store import collected
from leo_telemetry_pipeline.store.database import Database
from leo_telemetry_pipeline.store.dimensions import SEEN_TYPES, observations

BATCH = 20_000


@dataclass(frozen=True)
class Window:
    """The time that an analysis looks at: UTC midnight ``start`` up to, not including, ``end``."""

    start: datetime
    end: datetime
    project: str | None = None

    def parameters(self) -> dict[str, object]:
        """Return the parameters that every query over a window takes; times in UTC epoch ms."""
        return {"from_ms": milliseconds(self.start), "to_ms": milliseconds(self.end), "project": self.project}


def milliseconds(moment: datetime) -> int:
    """Return UTC epoch milliseconds, exactly."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@dataclass(frozen=True)
class Stored:
    """What became of spans: those that were not there yet, and those that the database would not take."""

    new: int
    quarantined: int


def insert(database: Database, spans: Iterable[Span]) -> int:
    """Store spans that are not stored yet, in transactions of 20,000, and return how many were new."""
    new, spans = 0, iter(spans)
    while batch := list(islice(spans, BATCH)):
        new += _insert(database, batch, {})
    return new


def store(
    database: Database, spans: Sequence[Span], removed: Mapping[str, int] | None = None, *, source: str = "writer"
) -> Stored:
    """Store spans that are not stored yet, with partitions for their days; return what became of them.

    ``removed`` counts attributes that were not kept, by name; it is noted unless all spans were stored before. A span
    that the database refuses is put into quarantine under ``source``, and keeps none of the others out. Raises
    psycopg2.Error when nothing can be stored.
    """
    if spans:
        starts = [span.start_time_ms for span in spans]
        ensure_partitions(database, _moment(min(starts)), _moment(max(starts)))
    new = quarantined = first_seen = 0
    waiting = [list(spans[at : at + BATCH]) for at in range(0, len(spans), BATCH)] or [[]]
    to_note = dict(removed or {})
    while waiting:
        batch = waiting.pop()
        try:
            added = _insert(database, batch, to_note)
            new += added
            if added:
                to_note = {}
        except psycopg2.Error as error:
            if not batch or not _is_about_values(error):
                raise
            if len(batch) > 1:
                half = len(batch) // 2
                waiting += [batch[half:], batch[:half]]
            else:
                reason = str(error).strip().splitlines()[0]
                first_seen += quarantine(database, source, [(0, reason, _json(_as_dict(batch[0])))])
                quarantined += 1
    if first_seen and to_note:
        _insert(database, [], to_note)
    return Stored(new, quarantined)


def _is_about_values(error: psycopg2.Error) -> bool:
    """Tell whether some row is at fault: another attempt would meet that again, and other rows may do."""
    code = error.pgcode or ""
    # Data exceptions, violated constraints and options, exceeded limits, what somebody's own trigger raises.
    return code[:2] in ("22", "23", "44", "54", "P0") or (code == "42501" and "row-level security" in str(error))


def _insert(database: Database, batch: list[Span], removed: Mapping[str, int]) -> int:
    with database.transaction() as cursor:
        new = 0
        if batch:
            # COPY cannot skip what is there already, so it goes through a table of this transaction's own; its
            # columns are written out, so that whoever may only insert needs no right to look.
            cursor.execute(f"CREATE TEMPORARY TABLE incoming ({_TYPED_COLUMNS}) ON COMMIT DROP")
            lines = cast("TextIO", _Source(copy_lines(batch)))
            cursor.copy_expert(f"COPY incoming ({COLUMN_LIST}) FROM STDIN (NULL '{NULL}')", lines)
            cursor.execute(
                f"INSERT INTO workflow_trace_log ({COLUMN_LIST}) SELECT {COLUMN_LIST} FROM incoming"
                " ON CONFLICT DO NOTHING"
            )
            new = cursor.rowcount
        if new or not batch:
            collected.count_removed(cursor, removed)
        return new


def ensure_partitions(database: Database, first: datetime, last: datetime) -> int:
    """Make the day partitions that are missing between two moments, as far as the database allows."""
    return database.rows("SELECT ensure_trace_partitions(%s, %s)", (first.date(), last.date()))[0][0]


def quarantine(database: Database, source: str, lines: Sequence[tuple[int, str, str]]) -> int:
    """Put aside (line number, reason, content) of a source; return how many were not there yet."""
    new = 0
    with database.transaction() as cursor:
        for number, *texts in lines:
            reason, content = map(redact.text, texts)
            digest = hashlib.sha256(content.encode()).hexdigest()
            cursor.execute(
                "INSERT INTO telemetry_quarantine (source, line, reason, content, content_hash)"
                " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (source, number, reason, content, digest),
            )
            new += cursor.rowcount
    return new


def count_quarantined(database: Database, since: datetime) -> int:
    """Return how many lines were put aside since a moment."""
    return database.rows("SELECT count(*) FROM telemetry_quarantine WHERE created_at >= %s", (since,))[0][0]


def newest(database: Database) -> datetime | None:
    """Return when the newest span was stored, of those of the last year."""
    return database.rows("SELECT max(created_at) FROM workflow_trace_log WHERE created_at > now() - interval '1 year'")[
        0
    ][0]


def count_by_type_and_day(database: Database, window: Window) -> list[tuple]:
    """Return (span type, day, spans, spans with a duration, traces) of a window, sorted."""
    return database.rows(SEEN_TYPES, window.parameters())


def count(database: Database, window: Window) -> tuple[int, int]:
    """Return how many spans and traces started in a window."""
    return database.rows(
        "SELECT count(*), count(DISTINCT s.trace_id) FROM workflow_trace_log AS s"
        " WHERE s.start_time_ms >= %(from_ms)s AND s.start_time_ms < %(to_ms)s"
        " AND (%(project)s::text IS NULL OR coalesce(s.project, '') = %(project)s)",
        window.parameters(),
    )[0]


def count_skewed(database: Database, window: Window) -> tuple[int, int]:
    """Return (children outside their parent's time by over a second, children with a parent) of a window."""
    return database.rows(
        """
        SELECT count(*) FILTER (WHERE c.start_time_ms < p.start_time_ms - 1000
                                   OR coalesce(c.end_time_ms, c.start_time_ms + c.duration_ms, c.start_time_ms)
                                    > coalesce(p.end_time_ms, p.start_time_ms + p.duration_ms) + 1000), count(*)
        FROM workflow_trace_log AS c JOIN workflow_trace_log AS p
          ON p.trace_id = c.trace_id AND p.span_id = c.parent_span_id
        WHERE c.start_time_ms >= %(from_ms)s AND c.start_time_ms < %(to_ms)s
          AND (%(project)s::text IS NULL OR coalesce(c.project, '') = %(project)s)
        """,
        window.parameters(),
    )[0]


def exact_p50(database: Database, window: Window, types: Sequence[str], seen: Sequence[str]) -> list[tuple]:
    """Measure each dimension of some types over a window, exactly.

    Rows: dimension_type, dimension_key, sample_count, p50_ms, p90_ms, p95_ms, p99_ms, sum_ms, queue_p50_ms,
    by PostgreSQL's ``percentile_cont``, which interpolates linearly between the two nearest ranks.
    """
    sql, parameters = observations(types, seen)
    return database.rows(
        f"""
        SELECT dimension_type, dimension_key, n, p[1], p[2], p[3], p[4], sum_ms, queue_p50_ms FROM (
            SELECT dimension_type, dimension_key, count(*) AS n, sum(judged_ms)::double precision AS sum_ms,
                   percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY judged_ms) AS p,
                   percentile_cont(0.5) WITHIN GROUP (ORDER BY queue_wait_ms) AS queue_p50_ms
            FROM ({sql}) AS o (day, project, dimension_type, dimension_key, trace_id, judged_ms, queue_wait_ms)
            GROUP BY 1, 2) AS measured
        ORDER BY dimension_type, dimension_key
        """,
        parameters | window.parameters(),
    )


def evidence(
    database: Database, window: Window, dimensions: Sequence[tuple[str, str]], seen: Sequence[str]
) -> dict[tuple[str, str], list[str]]:
    """Return up to three traces of each dimension, those with its longest judged times first."""
    if not dimensions:
        return {}
    sql, parameters = observations(sorted({dimension_type for dimension_type, _ in dimensions}), seen)
    rows = database.rows(
        f"""
        SELECT dimension_type, dimension_key,
               (array_agg(trace_id::text ORDER BY longest_ms DESC, trace_id))[1:3]
        FROM (SELECT dimension_type, dimension_key, trace_id, max(judged_ms) AS longest_ms
              FROM ({sql}) AS o (day, project, dimension_type, dimension_key, trace_id, judged_ms, queue_wait_ms)
              WHERE (dimension_type, dimension_key) IN (SELECT * FROM unnest(%(wanted_types)s, %(wanted_keys)s))
              GROUP BY 1, 2, 3) AS of_traces
        GROUP BY 1, 2
        """,
        parameters
        | window.parameters()
        | {"wanted_types": [a for a, _ in dimensions], "wanted_keys": [b for _, b in dimensions]},
    )
    return {(dimension_type, key): traces for dimension_type, key, traces in rows}


COLUMN_LIST = ", ".join(COLUMNS)
_TYPES = {"trace_id": "uuid", "span_id": "uuid", "parent_span_id": "uuid", "attributes": "jsonb"}
_TYPED_COLUMNS = ", ".join(
    f"{name} {_TYPES.get(name, 'bigint' if name.endswith('_ms') else 'text')}" for name in COLUMNS
)
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_plain_values = operator.attrgetter(*COLUMNS[:-1])
_as_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def copy_lines(spans: Iterable[Span]) -> Iterator[str]:
    """Yield spans as COPY reads them with NULL written as NULL: a line each, the columns of COLUMNS."""
    for span in spans:
        values = _plain_values(span)
        attributes = _json(span.attributes) if span.attributes else "{}"
        line = _LINE % (*values, attributes)
        # Nearly no value needs care; looking at all of them together is quicker than at each.
        if line.count("\t") != _TABS or "\\" in line or "\r" in line or line.count("\n") > 1 or NULL in values:
            line = _LINE % (*map(_escaped, values), _escaped(attributes))
        yield line


def _json(attributes: dict) -> str:
    try:
        return _as_json(attributes)
    except (TypeError, ValueError):  # a value that JSON does not have, which its source should have cleaned
        return _as_json(redact.clean_attributes(attributes))


NULL = "None"
_LINE = "\t".join(["%s"] * len(COLUMNS)) + "\n"
_TABS = len(COLUMNS) - 1
_LINES_AT_ONCE = 500


class _Source:
    """Lines as a file, made while the database reads those before."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines

    def read(self, size: int = -1) -> str:  # noqa: ARG002  # a file's signature
        return "".join(islice(self._lines, _LINES_AT_ONCE))


def _escaped(value: object) -> object:
    if value == NULL:
        return "\\" + NULL
    return value.translate(_ESCAPES) if isinstance(value, str) else value


def _as_dict(span: Span) -> dict[str, object]:
    return {name: value for name in COLUMNS if (value := getattr(span, name)) is not None}


def _moment(start_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=start_ms)
