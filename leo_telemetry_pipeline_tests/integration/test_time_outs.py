"""Operations that have been running for longer than any before them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from leo_telemetry_pipeline.cli.running import running
from leo_telemetry_pipeline.span import Span
from leo_telemetry_pipeline.store import open_spans, spans
from leo_telemetry_pipeline.store.history import histograms
from leo_telemetry_pipeline.store.server.database import Database
from leo_telemetry_pipeline_tests.builders import midnight, span, spans_of

pytestmark = pytest.mark.usefixtures("settings")


def past(db: Database, count: int) -> None:
    """Store ``count`` spans of a minute in each of two dimensions, and count their days."""
    at = midnight(2)
    stored = [each for kind in ("gate", "handoff") for each in spans_of(kind, "A", [60_000] * count, at=at)]
    spans.insert(db, stored)
    histograms.rebuild(db, [at.date()], ["gate", "handoff"], ["gate", "handoff"])


def minutes_ago(minutes: float) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


def shown(db: Database, opened: Sequence[Span]) -> dict[str, dict]:
    """Return what `running --json` says of open spans, by span id."""
    open_spans.announce(db, opened, [], host="h", pid=1)
    printed = CliRunner().invoke(running, ["--json"], catch_exceptions=False).output
    return {row["span_id"]: row for row in json.loads(printed)}


def test_a_gate_that_runs_longer_than_its_time_out_is_overdue(db: Database):
    """Lost: a gate that hangs looks like one that works."""
    past(db, 100)
    late, early = (span("gate", "A", None, at=minutes_ago(minutes)) for minutes in (3, 1))
    rows = shown(db, [late, early])
    assert rows[late.span_id]["time_out_s"] == pytest.approx(1.85 * 60)
    printed = CliRunner().invoke(running, catch_exceptions=False).output.splitlines()
    assert ["overdue" in line for line in printed[1:]] == [True, False]


def test_a_gate_with_little_history_has_no_time_out(db: Database):
    """Lost: the second run of a new gate is called overdue."""
    past(db, 79)
    one = span("gate", "A", None, at=minutes_ago(30))
    assert shown(db, [one])[one.span_id]["time_out_s"] is None
    assert "overdue" not in CliRunner().invoke(running, catch_exceptions=False).output


@pytest.mark.parametrize("is_open", [True, False], ids=["still waiting", "has waited"])
def test_time_spent_waiting_for_a_person_is_not_counted(db: Database, is_open: bool):
    """Lost: each handoff that waits for an answer over lunch is called overdue."""
    past(db, 100)
    handoff = span("handoff", "A", None, at=minutes_ago(31))
    wait = span(
        "wait",
        "answer",
        None if is_open else 30 * 60_000,
        at=minutes_ago(30),
        trace_id=handoff.trace_id,
        parent_span_id=handoff.span_id,
    )
    if not is_open:
        spans.insert(db, [wait])
    row = shown(db, [handoff, wait] if is_open else [handoff])[handoff.span_id]
    assert row["waited_s"] == pytest.approx(30 * 60, abs=30)
    assert "overdue" not in CliRunner().invoke(running, catch_exceptions=False).output
