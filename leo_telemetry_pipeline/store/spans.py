"""Span storage: each span once; input that cannot be stored goes into quarantine.

Belongs here: storing spans, quarantine, partitions for new spans.
Does not: measuring (exact_percentiles), daily history (history.histograms).
"""

import hashlib
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple, TextIO, cast

import psycopg2

from leo_telemetry_pipeline import redact
from leo_telemetry_pipeline.span import COLUMNS, Span
from leo_telemetry_pipeline.store import collection_stats, ends, first_starts, json_text
from leo_telemetry_pipeline.store.server.database import Database

BATCH = 20_000


@dataclass(frozen=True)
class Stored:
    """Numbers of spans: ``new``, refused and ``quarantined``, and those that ``completed`` an open span."""

    new: int
    quarantined: int
    completed: int = 0


def insert(database: Database, spans: Iterable[Span]) -> int:
    """Store spans in transactions of 20,000; return how many were new."""
    new, spans = 0, iter(spans)
    while batch := list(islice(spans, BATCH)):
        new += _insert(database, batch, {}).new
    return new


def store(
    database: Database, spans: Sequence[Span], removed: Mapping[str, int] | None = None, *, source: str = "writer"
) -> Stored:
    """Store spans that are not stored yet, making partitions for their days; return the counts.

    ``removed`` counts removed attributes by name; it is stored unless all spans were stored before. A span that the
    database refuses is quarantined under ``source``, without affecting others. Raises psycopg2.Error if nothing can be
    stored.
    """
    if spans:
        starts = [span.start_time_ms for span in spans]
        ensure_partitions(database, _moment(min(starts)), _moment(max(starts)))
    new = quarantined = completed = first_seen = 0
    waiting = [list(spans[at : at + BATCH]) for at in range(0, len(spans), BATCH)] or [[]]
    to_note = dict(removed or {})
    while waiting:
        batch = waiting.pop()
        try:
            stored = _insert(database, batch, to_note, source)
            new += stored.new
            completed += stored.completed
            if stored.new or stored.completed:
                to_note = {}
        except psycopg2.Error as error:
            if not batch or not _is_about_values(error):
                raise
            if len(batch) > 1:
                half = len(batch) // 2
                waiting += [batch[half:], batch[:half]]
            else:
                reason = str(error).strip().splitlines()[0]
                first_seen += quarantine(
                    database, source, [QuarantinedLine(0, reason, json_text.of(_as_dict(batch[0])), batch[0].project)]
                )
                quarantined += 1
    if first_seen and to_note:
        _insert(database, [], to_note)
    return Stored(new, quarantined, completed)


def _is_about_values(error: psycopg2.Error) -> bool:
    """Return whether a row is at fault, so that a retry would fail again but other rows may be stored."""
    code = error.pgcode or ""
    # Data exceptions, violated constraints and check options, exceeded limits, errors raised by user triggers.
    return code[:2] in ("22", "23", "44", "54", "P0") or (code == "42501" and "row-level security" in str(error))


def _insert(database: Database, batch: list[Span], removed: Mapping[str, int], source: str = "writer") -> Stored:
    new = completed = 0
    with database.transaction() as cursor:
        if batch:
            batch = first_starts.kept(cursor, batch)
            batch, completed = ends.collapsed(batch)
            # COPY cannot skip existing rows, so it fills a temporary table, whose columns are listed because LIKE
            # would need the right to SELECT.
            cursor.execute(f"CREATE TEMPORARY TABLE incoming ({_TYPED_COLUMNS}) ON COMMIT DROP")
            lines = cast("TextIO", _LineFile(copy_lines(batch)))
            cursor.copy_expert(f"COPY incoming ({COLUMN_LIST}) FROM STDIN (NULL '{NULL}')", lines)
            cursor.execute(
                f"INSERT INTO workflow_trace_log ({COLUMN_LIST}) SELECT {COLUMN_LIST} FROM incoming"
                f" ON CONFLICT DO NOTHING {ends.STORED}"
            )
            new = cursor.rowcount
            if new < len(batch):
                completed += ends.complete(cursor, batch, source)
        if new or completed or not batch:
            collection_stats.count_removed(cursor, removed)
    return Stored(new, 0, completed)


def ensure_partitions(database: Database, first: datetime, last: datetime) -> int:
    """Make missing day partitions between two moments, as far as the database allows; return how many."""
    return database.rows("SELECT ensure_trace_partitions(%s, %s)", (first.date(), last.date()))[0][0]


class QuarantinedLine(NamedTuple):
    """Line that is not a span: its number, the reason, the content that may be stored, and its project."""

    line: int
    reason: str
    content: str
    project: str = ""


def quarantine(database: Database, source: str, lines: Sequence[tuple]) -> int:
    """Store lines as quarantined, each with the fields of QuarantinedLine; return how many are new."""
    new = 0
    with database.transaction() as cursor:
        for given in lines:
            line = QuarantinedLine(*given)
            reason, content = map(redact.text, (line.reason, line.content))
            digest = hashlib.sha256(content.encode()).hexdigest()
            cursor.execute(
                "INSERT INTO telemetry_quarantine (source, line, reason, content, content_hash, project)"
                " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (source, line.line, reason, content, digest, redact.name(line.project, redact.MAX_NAME)),
            )
            new += cursor.rowcount
    return new


def count_quarantined(database: Database, since: datetime) -> int:
    """Return how many lines were quarantined since a given time."""
    return database.rows("SELECT count(*) FROM telemetry_quarantine WHERE created_at >= %s", (since,))[0][0]


def newest(database: Database) -> datetime | None:
    """Return when the newest span was stored, None if that was over a year ago."""
    # Short ranges first, so that usually only the newest spans are read.
    for reach in ("1 hour", "1 day", "7 days", "1 year"):
        [[moment]] = database.rows(
            "SELECT max(created_at) FROM workflow_trace_log WHERE created_at > now() - %s::interval", (reach,)
        )
        if moment is not None:
            return moment
    return None


COLUMN_LIST = ", ".join(COLUMNS)
_TYPES = {"trace_id": "uuid", "span_id": "uuid", "parent_span_id": "uuid", "attributes": "jsonb"} | {
    "duration_rest_us": "smallint"
}
_TYPED_COLUMNS = ", ".join(
    f"{name} {_TYPES.get(name, 'bigint' if name.endswith('_ms') else 'text')}" for name in COLUMNS
)
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_plain_values = operator.attrgetter(*COLUMNS[:-1])


def copy_lines(spans: Iterable[Span]) -> Iterator[str]:
    """Yield one line of COPY input per span, with the columns COLUMNS and null written as NULL."""
    for span in spans:
        values = _plain_values(span)
        attributes = json_text.of(span.attributes) if span.attributes else "{}"
        line = _LINE % (*values, attributes)
        # Values rarely need escaping, and checking the whole line is faster than checking each value.
        if line.count("\t") != _TABS or "\\" in line or "\r" in line or line.count("\n") > 1 or NULL in values:
            line = _LINE % (*map(_escaped, values), _escaped(attributes))
        yield line


NULL = "None"
_LINE = "\t".join(["%s"] * len(COLUMNS)) + "\n"
_TABS = len(COLUMNS) - 1
_LINES_AT_ONCE = 500


class _LineFile:
    """File of lines that are generated while the database reads."""

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
