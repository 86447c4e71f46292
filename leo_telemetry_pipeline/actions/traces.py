"""One trace for people: finding it by its id, its tree, and a typical trace to compare it with.

Belongs here: what command and page share. Does not: trees (analysis.trace_tree), SQL (store), formats (perfetto, cli,
web).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from leo_telemetry_pipeline.actions.inert import in_a_line
from leo_telemetry_pipeline.analysis.critical_path import TraceSpan
from leo_telemetry_pipeline.analysis.trace_tree import StepTimes, TraceTree, compared, tree_of
from leo_telemetry_pipeline.errors import UserError
from leo_telemetry_pipeline.store import dimension_results, folded_names, open_spans, runs, traces
from leo_telemetry_pipeline.store.days import midnight, milliseconds
from leo_telemetry_pipeline.store.server.database import Database

# Of a larger trace, the longest spans are read. They take about 100 MB.
MOST_SPANS = 200_000
_MOST_TYPICAL = 20_000
STEPS = 8
_LEAST_DIGITS, _WHOLE = 4, 32
_LONGEST = 80
_DIGITS = re.compile(r"[0-9a-f]{4,32}", re.ASCII).fullmatch
_WHERE = "`leo-telemetry findings --verbose` lists the slowest"


@dataclass(frozen=True)
class Trace:
    """A trace. ``is_part``: it has more than MOST_SPANS spans, of which the longest were read."""

    trace_id: str
    tree: TraceTree
    is_part: bool
    is_running: bool

    @property
    def name(self) -> str:
        """Type and name of its longest root."""
        return self.tree.forest.keys[self.tree.root]

    @property
    def ms(self) -> float:
        """How long its longest root took."""
        return self.tree.length(self.tree.root)


@dataclass(frozen=True)
class Typical:
    """A trace with the same root that took about the normal time, and the steps that differ, most added first."""

    trace: Trace
    normal_ms: float
    steps: list[StepTimes]


def find(database: Database, word: str) -> str:
    """Return the id of the trace with this id, or whose id alone begins with these digits. Raises UserError."""
    asked = in_a_line(word if len(word) <= _LONGEST else f"{word[:_LONGEST]}…")
    digits = word.strip().lower().replace("-", "")
    if not _DIGITS(digits):
        raise UserError(f"{asked!r} is not a trace id, nor its first {_LEAST_DIGITS} or more digits: {_WHERE}")
    found = traces.starting_with(database, digits)
    if not found:
        raise _unknown(asked)
    if len(found) > 1:
        raise UserError(f"Several traces begin with {asked}, such as {' and '.join(found)}: give more digits")
    return found[0]


def whole_id(word: str) -> str | None:
    """Return the trace id that a word is, None if it is not a whole one; whether it was stored is not looked up."""
    digits = word.strip().lower().replace("-", "")
    return str(UUID(digits)) if _DIGITS(digits) and len(digits) == _WHOLE else None


def read(database: Database, trace_id: str, most: int = MOST_SPANS) -> Trace:
    """Read a trace with its spans in progress. Raises UserError if it is gone."""
    spans = [TraceSpan._make(row) for row in traces.tree_rows(database, trace_id, most)]
    known = {span.span_id for span in spans}
    announced = [row for row in open_spans.of_trace(database, trace_id) if row[1] not in known]
    running = [TraceSpan(*row, end_time_ms=None, duration_ms=None) for row in announced]
    now_ms = datetime.now(UTC).timestamp() * 1000 if running else None
    tree = tree_of([*spans, *running], now_ms)
    if tree is None:
        raise _unknown(trace_id)
    return Trace(trace_id, tree, len(spans) == most, bool(running))


def typical(database: Database, trace: Trace) -> Typical | None:
    """Return a trace to compare with, None if none is known. It began before the trace, and before the slowdown."""
    root = trace.tree.span(trace.tree.root)
    run_id = None if trace.is_running else runs.last_succeeded_id(database)
    if run_id is None:
        return None
    dimension = root.span_type, root.span_name
    result = dimension_results.of_dimension(database, run_id, *dimension)
    if result is None and (into := folded_names.folded(database, dimension)):
        result = dimension_results.of_dimension(database, run_id, *into)
    normal_ms = result and (result.baseline_p50_ms or result.p50_ms)
    if not result or not normal_ms:
        return None
    before_ms = root.start_time_ms
    if result.onset_day:
        before_ms = min(before_ms, milliseconds(midnight(result.onset_day)))
    found = traces.alike(database, dimension, normal_ms, before_ms, trace.trace_id)
    if found is None:
        return None
    other = read(database, found, _MOST_TYPICAL)
    return Typical(other, normal_ms, compared(trace.tree, other.tree, STEPS))


def _unknown(trace_id: str) -> UserError:
    return UserError(f"There is no trace {trace_id}: it was never stored, or is older than retention keeps; {_WHERE}")
