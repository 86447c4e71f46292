"""Stored rows of Claude Code sessions, compared with what happened.

Belongs here: reading rows, matching them with facts, deviations of their times. Does not: limits.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.claude.reports import Report
from leo_telemetry_pipeline_tests.claude.truth import Fact

# Types that both ways must report alike. Model requests and hooks are seen only by OpenTelemetry.
COMPARED = ("handoff", "tool", "skill", "subagent", "mcp_server")
# Types that hooks do not report.
EXPORTED = ("llm", "wait", "command", "compaction")
_ROWS = """
    SELECT c.attributes->>'session.id', c.span_type, c.span_name, c.status, p.span_type, p.span_name,
        c.start_time_ms, c.duration_ms, coalesce(c.attributes->>'tool_use_id', c.attributes->>'agent_id', '')
    FROM workflow_trace_log AS c LEFT JOIN workflow_trace_log AS p
      ON p.trace_id = c.trace_id AND p.span_id = c.parent_span_id
    WHERE c.attributes->>'session.id' = ANY(%s)
    ORDER BY c.start_time_ms
"""
_TEXT = "SELECT t::text FROM workflow_trace_log AS t WHERE attributes->>'session.id' = ANY(%s)"


@dataclass(frozen=True)
class Row:
    """A stored span."""

    session: str
    type: str
    name: str
    status: str | None
    parent: tuple[str, str] | None
    start_ms: int
    duration_ms: int | None
    key: str


@dataclass(frozen=True)
class Deviation:
    """Deviation of a stored duration in seconds, and the fact it deviates from."""

    of: str
    seconds: float


def rows(db: Database, sessions: Iterable[str]) -> list[Row]:
    """Return the stored rows of sessions, ordered by start."""
    found = []
    for session, kind, name, status, parent_kind, parent_name, start, duration, key in db.rows(
        _ROWS, (list(sessions),)
    ):
        parent = (parent_kind, parent_name) if parent_kind else None
        found.append(Row(session, kind, name, status, parent, int(start), duration, key))
    return found


def text(db: Database, sessions: Iterable[str]) -> str:
    """Return everything that is stored of sessions, as text."""
    return "\n".join(line for (line,) in db.rows(_TEXT, (list(sessions),)))


def shapes_of_facts(facts: Iterable[Fact], types: Sequence[str] = COMPARED) -> Counter[tuple]:
    """Count the expected rows by session, type, name, status and parent."""
    return Counter((fact.session, *fact.shape) for fact in facts if fact.type in types)


def shapes_of_rows(stored: Iterable[Row], types: Sequence[str] = COMPARED) -> Counter[tuple]:
    """Count the stored rows in the same way."""
    return Counter((row.session, row.type, row.name, row.status, row.parent) for row in stored if row.type in types)


def pairs(facts: Iterable[Fact], stored: Iterable[Row]) -> Iterator[tuple[Fact, Row]]:
    """Match facts with rows of the same type, name and parent: by id, then by the nearest start."""
    by_name: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in stored:
        by_name[row.session, row.type, row.name, row.parent].append(row)
    for fact in sorted(facts, key=lambda fact: (fact.begin, fact.least)):
        candidates = by_name[fact.session, fact.type, fact.name, fact.parent]
        if candidates:
            row = min(candidates, key=lambda row: (row.key != fact.key, abs(row.start_ms / 1000 - fact.begin)))
            candidates.remove(row)
            yield fact, row


def outside_bounds(matched: Iterable[tuple[Fact, Row]]) -> Iterator[Deviation]:
    """Return how far durations are outside the bounds that the fake model saw."""
    for fact, row in matched:
        if fact.most is not None:
            seconds = (row.duration_ms or 0) / 1000
            yield Deviation(f"{fact.type}:{fact.name}", max(fact.least - seconds, seconds - fact.most, 0))


def off_reports(
    matched: Iterable[tuple[Fact, Row]], reported: Iterable[Report], types: Sequence[str]
) -> Iterator[Deviation]:
    """Return how far durations deviate from Claude Code's own reports."""
    left = list(reported)
    for fact, row in matched:
        kind = "tool" if fact.type == "skill" else fact.type
        if row.type not in types or row.duration_ms is None:
            continue
        end = fact.begin + (fact.most or 0)
        near = [
            report
            for report in left
            if (report.session, report.type) == (row.session, kind)
            and (report.key == fact.key if fact.key else fact.begin - 1 < report.begin < end)
        ]
        if near:
            # Between two prompts of a person, Claude Code may submit one of its own.
            nearest = min(near, key=lambda report: 0 if fact.key else abs(report.begin + report.seconds - end))
            left.remove(nearest)
            yield Deviation(f"{fact.type}:{fact.name}", abs(row.duration_ms / 1000 - nearest.seconds))
