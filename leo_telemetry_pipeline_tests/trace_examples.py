"""Traces for tests of the page and the command: a handoff with gates, a wait, and many calls of one tool."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline_tests.builders import NOON, new_id, span

GATE, TOOL, HANDOFF = "GATE_PRD_REQUIRED", "Read", "PLAN-TO-EXEC"


def handoff(gate_ms: int = 2_000, *, at: datetime = NOON, calls: int = 30, **more: str) -> list[Span]:
    """Return a handoff: a gate with calls of one tool, then a wait of a second, then half a second of its own."""
    trace_id = new_id()
    root = span("handoff", HANDOFF, gate_ms + 1_500, at=at, trace_id=trace_id, sd_id="SD-7", project="shop", **more)
    root.attributes = {"sd_type": "feature"}
    gate = _below(root, "gate", GATE, gate_ms, at)
    gate.queue_wait_ms, gate.status = 0, "OK"
    starts = [at + timedelta(milliseconds=50 * number) for number in range(calls)]
    tools = [_below(gate, "tool", TOOL, 10 + number, start) for number, start in enumerate(starts)]
    wait = _below(root, "wait", "APPROVAL", 1_000, at + timedelta(milliseconds=gate_ms))
    return [root, gate, wait, *tools]


def _below(parent: Span, span_type: str, name: str, ms: int, at: datetime) -> Span:
    return span(span_type, name, ms, at=at, trace_id=parent.trace_id, parent_span_id=parent.span_id, project="shop")


def by_id(spans: Iterable[Span]) -> list[Span]:
    """Return spans in the order of their ids."""
    return sorted(spans, key=lambda each: each.span_id)
